"""Room probe: the limits of the container that this process runs in, from its control groups, versions 1 and 2.

What limits a process may be its own group or any above it that is visible; the tightest counts, and usage is taken from
the group that has it. Source: the kernel's ``admin-guide/cgroup-v2.rst``, ``admin-guide/cgroup-v1/memory.rst`` and
``scheduler/sched-bwc.rst``.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

import msgspec

from otel_llm.probe import kernel

_V2: Final = "cgroup2"
_MAX_DEPTH: Final = 32


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on CPU time and what was used of it.

    Attributes:
        limit: CPUs' worth of time.
        total: CPU time used so far [s].
        user: Of it in user mode [s].
        system: Of it in the kernel [s].
    """

    limit: float
    total: float
    user: float
    system: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on memory and what is used of it.

    Attributes:
        limit: [byte]
        usage: Everything that is charged, the page cache included [byte].
        inactive_file: Of it cached file pages that the kernel takes back first [byte].
    """

    limit: int
    usage: int
    inactive_file: int = 0


class Cgroup:
    """The control groups of this process; ``find`` looks for limits, the others say what is used of them.

    Args:
        proc: The process's folder.
        root: Where the paths of mounts begin; for tests.
    """

    def __init__(self, proc: str = "/proc/self", root: str = "") -> None:
        self._folders = {name: tuple(folders) for name, folders in _groups(proc, root)}
        self._cpu: tuple[float, str] | None = None
        self._memory: tuple[int, str] | None = None

    def find(self, *, cpus: int, memory: int) -> None:
        """Look for the tightest limits; one that is not below the machine's own is none.

        Args:
            cpus: The machine's CPUs.
            memory: The machine's memory [byte].
        """
        quotas = [(limit, folder) for folder in self._of("cpu") if (limit := self._quota(folder)) is not None]
        sets = [(limit, folder) for folder in self._of("cpuset")[:1] if (limit := _set_size(folder)) is not None]
        self._cpu = min(((limit, folder) for limit, folder in quotas + sets if limit < cpus), default=None)
        file = "memory.max" if self._unified("memory") else "memory.limit_in_bytes"
        sizes = [(limit, folder) for folder in self._of("memory") if (limit := _number(f"{folder}/{file}")) is not None]
        self._memory = min(((limit, folder) for limit, folder in sizes if limit < memory), default=None)

    @property
    def cpu_limit(self) -> float | None:
        """The limit on CPU time that was found [CPUs]."""
        return self._cpu[0] if self._cpu else None

    def cpu(self) -> Cpu | None:
        """The limit on CPU time that was found, and what is used; ``None`` where there is none.

        Raises:
            OSError: The group cannot be read.
            LookupError: It does not say it.
        """
        if self._cpu is None:
            return None
        limit, folder = self._cpu
        if self._unified("cpu"):
            used = _keyed(kernel.text(f"{folder}/cpu.stat"))
            total, user, system = (used[name] / 1e6 for name in ("usage_usec", "user_usec", "system_usec"))
            return Cpu(limit=limit, total=total, user=user, system=system)
        folder = self._accounted(folder)
        used = _keyed(kernel.text(f"{folder}/cpuacct.stat"))
        nanoseconds = kernel.number(f"{folder}/cpuacct.usage") or 0
        return Cpu(
            limit=limit, total=nanoseconds / 1e9, user=used["user"] * kernel.TICK, system=used["system"] * kernel.TICK
        )

    def memory(self) -> Memory | None:
        """The limit on memory that was found, and what is used; ``None`` where there is none.

        Raises:
            OSError: The group cannot be read.
        """
        if self._memory is None:
            return None
        limit, folder = self._memory
        unified = self._unified("memory")
        usage = kernel.number(f"{folder}/{'memory.current' if unified else 'memory.usage_in_bytes'}") or 0
        cache = _keyed(kernel.text(f"{folder}/memory.stat")).get("inactive_file" if unified else "total_inactive_file")
        return Memory(limit=limit, usage=usage, inactive_file=min(cache or 0, usage))

    def _unified(self, controller: str) -> bool:
        """Whether a controller is version 2's: one that version 1 has mounted is not."""
        return controller not in self._folders

    def _of(self, controller: str) -> tuple[str, ...]:
        return self._folders.get(controller) or self._folders.get(_V2, ())

    def _quota(self, folder: str) -> float | None:
        if self._unified("cpu"):
            return _quota(folder)
        quota, period = _number(f"{folder}/cpu.cfs_quota_us"), _number(f"{folder}/cpu.cfs_period_us")
        return quota / period if quota and period else None

    def _accounted(self, folder: str) -> str:
        """The folder of the same group where version 1 accounts for CPU time; it may be mounted elsewhere."""
        for controller in ("cpu", "cpuset"):
            folders = self._of(controller)
            accounts = self._folders.get("cpuacct", ())
            if folder in folders and folders.index(folder) < len(accounts):
                return accounts[folders.index(folder)]
        return folder


def _groups(proc: str, root: str) -> Iterator[tuple[str, Iterator[str]]]:
    """For each controller the folders of this process's group and of those above it, its own first."""
    try:
        memberships, mounts = kernel.text(f"{proc}/cgroup"), kernel.text(f"{proc}/mountinfo")
    except OSError:
        return
    paths: dict[str, str] = {}
    for line in memberships.splitlines():
        _, names, path = line.split(":", 2)
        paths |= dict.fromkeys(names.split(",") if names else (_V2,), path)
    for controllers, below, point in _mounts(mounts):
        for controller in controllers:
            if controller in paths:
                yield controller, _upwards(root + point, below, paths[controller])


def _mounts(mountinfo: str) -> Iterator[tuple[list[str], str, str]]:
    """Controllers, root within the hierarchy, and mount point of each mounted hierarchy."""
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        words, kind = before.split(), after.split()
        if not dash or not kind or kind[0] not in {"cgroup", _V2}:
            continue
        controllers = [_V2] if kind[0] == _V2 else kind[-1].split(",")
        yield controllers, words[3], words[4].replace("\\040", " ")


def _upwards(point: str, below: str, path: str) -> Iterator[str]:
    """Folders from the group at ``path`` up to the mount point; only that where the group lies outside of it."""
    try:
        relative = PurePosixPath(path).relative_to(below)
    except ValueError:
        relative = PurePosixPath()  # the group's own namespace begins elsewhere; the mount is what can be seen
    parts = [part for part in relative.parts if part != ".."][:_MAX_DEPTH]
    for length in range(len(parts), -1, -1):
        yield "/".join((point, *parts[:length]))


def _number(path: str) -> int | None:
    try:
        return kernel.number(path)
    except OSError:
        return None


def _quota(folder: str) -> float | None:
    try:
        quota, _, period = kernel.text(f"{folder}/cpu.max").strip().partition(" ")
    except OSError:
        return None
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _set_size(folder: str) -> int | None:
    """How many CPUs a group may run on; ``0-3,8`` are five."""
    for name in ("cpuset.cpus.effective", "cpuset.effective_cpus"):
        try:
            spans = kernel.text(f"{folder}/{name}").strip().split(",")
            return sum(int(span.rpartition("-")[2]) - int(span.partition("-")[0]) + 1 for span in spans)
        except (OSError, ValueError):
            continue
    return None


def _keyed(said: str) -> dict[str, int]:
    pairs = (line.split() for line in said.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}  # noqa: PLR2004 - a pair
