"""Room probe: whether this host has NVIDIA's driver. Apart from `nvml`, for most processes need no more than this."""

import ctypes
import sys
from typing import Final

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
