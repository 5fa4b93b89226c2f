"""Room store: what time it is for those who delete by age. `trusted` sees no clock; `Clock` asks the system's.

The wall clock may be set forward by a year and back again, and history must not go with it. So time goes on from what
was last believed by the machine's own clock, which counts since it started and which nobody sets, and the wall clock is
believed again where it agrees, or where it has disagreed for a day. What is believed stands in the store's ``meta``,
for all processes and for the next start.
"""

import sqlite3
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
_AGREES: Final = 300.0
"""[s] How far the two clocks may come apart."""

_PATIENCE: Final = 86_400.0
"""[s] After which a wall clock that disagrees is believed."""

_LONGEST_OFF: Final = 30 * 86_400.0
"""[s] How long a machine may have been switched off."""

_KEYS: Final = ("clock_boot", "clock_offset", "clock_seen", "clock_doubt")


class Belief(msgspec.Struct, frozen=True):
    """What is believed of the time.

    Attributes:
        boot: A number of the boot that this was in.
        offset: Since the epoch less since the boot [s].
        seen: Since the epoch, when it was last looked at [s].
        doubt: Since the boot, when the wall clock was first seen to disagree [s]; 0 where it agrees.
    """

    boot: int
    offset: int
    seen: int
    doubt: int = 0


def trusted(known: Belief | None, *, wall: float, uptime: float, boot: int) -> tuple[float, Belief]:
    """The time to delete by, never later than it is believed to be [s since the epoch], and what is believed now.

    Args:
        known: What was believed before.
        wall: The wall clock [s].
        uptime: Since the machine started [s].
        boot: A number of this boot.
    """
    agreed = Belief(boot, round(wall - uptime), int(wall))
    if known is None:
        return wall, agreed
    if known.boot == boot:
        expected, doubt = known.offset + uptime, known.doubt
    elif -_AGREES <= wall - known.seen <= _LONGEST_OFF:
        return wall, agreed
    else:
        expected, doubt = float(known.seen), 0
    if abs(wall - expected) <= _AGREES or (doubt and uptime - doubt >= _PATIENCE):
        return wall, agreed
    doubted = Belief(boot, round(expected - uptime), int(expected), doubt or max(1, int(uptime)))
    return min(wall, expected), doubted


class Clock:
    """The time to delete by."""

    def __init__(self) -> None:
        self._boot: int | None = None

    def now(self, sqlite: sqlite3.Connection) -> float:
        """Since the epoch [s]; keeps what is believed."""
        said: dict[str, int] = dict(sqlite.execute("SELECT key, value FROM meta WHERE key LIKE 'clock%'").fetchall())
        known = Belief(*(said[key] for key in _KEYS)) if said.keys() >= set(_KEYS) else None
        now, belief = trusted(known, wall=time.time(), uptime=_uptime(), boot=self._this_boot())
        if belief != known:
            figures = zip(_KEYS, msgspec.structs.astuple(belief), strict=True)
            sqlite.execute("BEGIN IMMEDIATE")
            sqlite.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", figures)
            sqlite.execute("COMMIT")
        return now

    def _this_boot(self) -> int:
        if self._boot is None:
            self._boot = 0
            with suppress(OSError):
                self._boot = zlib.crc32(_BOOT_ID.read_bytes())
        return self._boot


def _uptime() -> float:
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
