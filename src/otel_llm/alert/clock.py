"""Room alert: the clock that slots, ``for`` and leases run on. Nothing else of alert looks at one of its own accord.

It counts since the machine started, sleep included, is the same in every process of the host, and no NTP moves it.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Since the machine started [s]. Elsewhere than on Linux ``monotonic``, which is the host's own there too."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


def boot() -> str:
    """Which boot `now` counts from; the same text within one boot, and for all time where the system does not say."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return "unknown"
