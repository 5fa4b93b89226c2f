"""Room probe: whether this host has drivers of cards. Apart from what reads them, for most processes need no more."""

import ctypes
import sys
from pathlib import Path
from typing import Final

DEVICE: Final = Path("/dev/kfd")
"""AMD's compute driver."""

_LIBRARY: Final = "libnvidia-ml.so.1"


def library_fault() -> str | None:
    """Why NVML's library cannot be loaded; ``None`` where it can."""
    if sys.platform == "win32":
        return None  # where it stands there is pynvml's to know
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        return str(error)
    return None
