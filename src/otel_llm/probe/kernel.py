"""Room probe: what the Linux kernel says in ``/proc``, read and parsed. Plain files, opened and closed each time.

A third of what psutil takes for the same figures (`bench/probe.py`): each file is read once, and only what is used is
parsed. No handle is kept, for a daemon closes handles that it does not know and would have us read another file.
Source of the formats: the kernel's ``Documentation/filesystems/proc.rst`` and ``admin-guide/iostats.rst``.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final

from otel_llm import semconv

TICK: Final = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
"""[s] The kernel's unit of CPU time."""

_PIECE: Final = 1 << 16
"""[byte] Room for a read: more would cost more than the read itself. The kernel may give less and yet have more."""

_MAX_BYTES: Final = 1 << 20
_SECTOR: Final = 512
"""[byte] The unit of ``diskstats``, whatever the device's own is."""


def text(path: str) -> str:
    """What the file at ``path`` says, at most 1 MiB.

    Raises:
        OSError: It cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        said = piece = os.read(handle, _PIECE)
        while piece and len(said) < _MAX_BYTES:
            piece = os.read(handle, _PIECE)
            said += piece
    finally:
        os.close(handle)
    return said.decode("ascii", "replace")


def number(path: str) -> int | None:
    """The whole number in a file; ``None`` where it says anything else, such as ``max``.

    Raises:
        OSError: It cannot be read.
    """
    said = text(path).strip()
    return int(said) if said.isdecimal() else None


def cpu_times(stat: str) -> dict[str, float]:
    """CPU time since boot by ``cpu.mode`` [s], from ``/proc/stat``. A guest's time is in ``user`` and ``nice``.

    Raises:
        ValueError: It is not what Linux says since 2.6.11.
    """
    counts = stat[: stat.index("\n")].split()[1:9]
    user, nice, system, idle, iowait, interrupt, soft, steal = (int(count) * TICK for count in counts)
    return {
        semconv.CPU_MODE_USER: user,
        semconv.CPU_MODE_NICE: nice,
        semconv.CPU_MODE_SYSTEM: system,
        semconv.CPU_MODE_IDLE: idle,
        semconv.CPU_MODE_IOWAIT: iowait,
        semconv.CPU_MODE_INTERRUPT: interrupt + soft,
        semconv.CPU_MODE_STEAL: steal,
    }


def memory(meminfo: str, names: Iterable[str]) -> dict[str, int]:
    """Those of ``names`` that ``/proc/meminfo`` says [byte]. Looked for one by one: it has fifty others."""
    found = {}
    for name in names:
        start = meminfo.find(f"{name}:")
        if start >= 0:
            found[name] = int(meminfo[start + len(name) + 1 : meminfo.index("kB", start)]) * 1024
    return found


def disk_bytes(diskstats: str, devices: Iterable[str]) -> tuple[int, int] | None:
    """Bytes read from and written to ``devices`` since boot; ``None`` when none of them is listed."""
    wanted = set(devices)
    read = written = 0
    found = False
    for line in diskstats.splitlines():
        words = line.split(maxsplit=10)
        if len(words) > 9 and words[2] in wanted:  # noqa: PLR2004 - the ninth is the last that is used
            read += int(words[5])
            written += int(words[9])
            found = True
    return (read * _SECTOR, written * _SECTOR) if found else None


def network_bytes(dev: str, devices: Iterable[str]) -> tuple[int, int] | None:
    """Bytes received and sent by ``devices`` since each came up; ``None`` when none of them is listed."""
    wanted = set(devices)
    received = sent = 0
    found = False
    for line in dev.splitlines():
        name, colon, counts = line.partition(":")
        if not colon or name.strip() not in wanted:
            continue
        words = counts.split()
        received += int(words[0])
        sent += int(words[8])
        found = True
    return (received, sent) if found else None


def disks(block: str = "/sys/block") -> list[str]:
    """Whole devices with hardware behind them: what lies on top of others (dm, md, loop, zram) would count twice."""
    return _with_device(block)


def interfaces(net: str = "/sys/class/net") -> list[str]:
    """Network interfaces with hardware behind them; where there is none, as in a container, all but the loopback."""
    return _with_device(net) or [name for name in _listed(net) if name != "lo"]


def process(stat: str) -> Mapping[str, int]:
    """Threads and resident pages, from ``/proc/self/stat``. The command in it may hold blanks and brackets."""
    words = stat[stat.rindex(")") + 2 :].split()
    return {"threads": int(words[17]), "pages": int(words[21])}


def _with_device(folder: str) -> list[str]:
    return [name for name in _listed(folder) if os.path.exists(f"{folder}/{name}/device")]  # noqa: PTH110 - a tenth


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names only
    except OSError:
        return []
