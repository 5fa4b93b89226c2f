"""Room probe: the machine, or the container that this process runs in. Its readings go to `observation`.

Where control groups limit CPU time or memory, their limits and their usage are what is told, and the attribute
``otel_llm.limit.source`` says so. A file that cannot be read is told once, and what would stand in it is absent.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from otel_llm import semconv
from otel_llm.probe import kernel, shares
from otel_llm.probe.absence import Absences
from otel_llm.probe.cgroup import Cgroup, Cpu
from otel_llm.probe.reading import Reading

_LOOK_EVERY: Final = 30
"""Snapshots between two looks for limits and devices, which change seldom and cost more than what they say."""

_MEMORY: Final = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree", "SReclaimable")

_ANY: Final = 1 << 60
"""[byte] A limit below this is one, where the machine's own memory is not known."""


class Host:
    """The machine as the Linux kernel tells it.

    Args:
        proc: Where ``/proc`` is.
        sys: Where ``/sys`` is.
        cgroup: The control groups of this process.
    """

    name = "host"

    def __init__(self, proc: str = "/proc", sys: str = "/sys", cgroup: Cgroup | None = None) -> None:
        self._proc = proc
        self._sys = sys
        self._cgroup = cgroup or Cgroup()
        self._cpus = os.cpu_count() or 1
        self._reads = 0
        self._meminfo: Mapping[str, int] = {}
        self._disks: Sequence[str] = ()
        self._interfaces: Sequence[str] = ()
        self._times: Mapping[str, float] = {}
        self._used: tuple[float, Cpu] | None = None
        self._absences = Absences("the host")

    def read(self, now: float) -> list[Reading]:
        """What the machine does at ``now`` [s]; utilisations of CPUs from the second time on."""
        part = self._absences.read
        part("memory", self._look)
        part("devices", self._find)
        return [
            *part("CPU times", lambda: self._cpu(now)),
            *part("load", lambda: shares.load(os.getloadavg())),
            *part("memory", self._memory),
            *part("swap", lambda: shares.swap(self._meminfo.get("SwapTotal", 0), self._meminfo.get("SwapFree", 0))),
            *part("disks", self._disk),
            *part("network", self._network),
        ]

    def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> Iterator[Reading]:
        """Read what several parts need."""
        self._meminfo = {}
        self._meminfo = kernel.memory(kernel.text(f"{self._proc}/meminfo"), _MEMORY)
        return iter(())

    def _find(self) -> Iterator[Reading]:
        """Find devices and limits, once in a while."""
        if self._reads % _LOOK_EVERY == 0:
            self._disks = kernel.disks(f"{self._sys}/block")
            self._interfaces = kernel.interfaces(f"{self._sys}/class/net")
            self._cgroup.find(cpus=self._cpus, memory=self._meminfo.get("MemTotal", _ANY))
        self._reads += 1
        return iter(())

    def _cpu(self, now: float) -> Iterator[Reading]:
        limited = self._cgroup.cpu()
        if limited is not None:
            last, self._used = self._used, (now, limited)
            return _of_limit(last, (now, limited))
        before, self._times = self._times, kernel.cpu_times(kernel.text(f"{self._proc}/stat"))
        return shares.cpu_times(before, self._times)

    def _memory(self) -> Iterator[Reading]:
        limited = self._cgroup.memory()
        if limited is not None:
            used = limited.usage - limited.inactive_file
            states = {
                semconv.MEMORY_STATE_USED: used,
                semconv.MEMORY_STATE_FREE: max(0, limited.limit - limited.usage),
                semconv.MEMORY_STATE_CACHED: limited.inactive_file,
            }
            return shares.memory(limited.limit, used, states, shares.CGROUP)
        said = self._meminfo
        if not said:
            return iter(())
        total, free, buffers = said["MemTotal"], said["MemFree"], said.get("Buffers", 0)
        cached = said.get("Cached", 0) + said.get("SReclaimable", 0)
        states = {
            semconv.MEMORY_STATE_USED: max(0, total - free - buffers - cached),
            semconv.MEMORY_STATE_FREE: free,
            semconv.MEMORY_STATE_CACHED: cached,
            semconv.MEMORY_STATE_BUFFERS: buffers,
        }
        return shares.memory(total, total - said["MemAvailable"], states, shares.HOST)

    def _disk(self) -> Iterator[Reading]:
        return shares.disk(kernel.disk_bytes(kernel.text(f"{self._proc}/diskstats"), self._disks))

    def _network(self) -> Iterator[Reading]:
        return shares.network(kernel.network_bytes(kernel.text(f"{self._proc}/net/dev"), self._interfaces))


def _of_limit(last: tuple[float, Cpu] | None, current: tuple[float, Cpu]) -> Iterator[Reading]:
    """Utilisation of a limit between two moments [s]; nothing where a clock or a counter went back."""
    now, used = current
    if last is None or now <= last[0] or used.total < last[1].total:
        return
    before = last[1]
    capacity = (now - last[0]) * used.limit
    total = (used.total - before.total) / capacity
    modes = {
        semconv.CPU_MODE_USER: max(0.0, used.user - before.user) / capacity,
        semconv.CPU_MODE_SYSTEM: max(0.0, used.system - before.system) / capacity,
        semconv.CPU_MODE_IDLE: max(0.0, 1 - total),
    }
    yield from shares.cpu(total, modes, shares.CGROUP)
