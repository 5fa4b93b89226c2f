"""Room probe: machine and process where there is no Linux ``/proc``, through psutil: the same readings, no limits.

It takes some five times what `host` and `process` take, and what psutil does not know on a system is absent.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil

from otel_llm import semconv
from otel_llm.probe import shares
from otel_llm.probe.absence import Absences
from otel_llm.probe.reading import Reading

_MODES: Final = {
    "user": semconv.CPU_MODE_USER,
    "nice": semconv.CPU_MODE_NICE,
    "system": semconv.CPU_MODE_SYSTEM,
    "idle": semconv.CPU_MODE_IDLE,
    "iowait": semconv.CPU_MODE_IOWAIT,
    "irq": semconv.CPU_MODE_INTERRUPT,
    "softirq": semconv.CPU_MODE_INTERRUPT,
    "interrupt": semconv.CPU_MODE_INTERRUPT,
    "steal": semconv.CPU_MODE_STEAL,
}


class Host:
    """The machine as psutil tells it."""

    name = "host"

    def __init__(self) -> None:
        self._times: Mapping[str, float] = {}
        self._absences = Absences("the host", psutil.Error)

    def read(self, now: float) -> list[Reading]:  # noqa: ARG002 - psutil's times need no clock
        """What the machine does now; utilisations of CPUs from the second time on."""
        part = self._absences.read
        return [
            *part("CPU times", self._cpu),
            *part("load", lambda: shares.load(psutil.getloadavg())),
            *part("memory", _memory),
            *part("swap", _swap),
            *part("disks", lambda: shares.disk(_pair(psutil.disk_io_counters(), "read_bytes", "write_bytes"))),
            *part("network", lambda: shares.network(_pair(psutil.net_io_counters(), "bytes_recv", "bytes_sent"))),
        ]

    def close(self) -> None:
        """Nothing is held."""

    def _cpu(self) -> Iterator[Reading]:
        before, now = self._times, psutil.cpu_times()
        times: dict[str, float] = {}
        for field, mode in _MODES.items():
            if hasattr(now, field):
                times[mode] = times.get(mode, 0.0) + getattr(now, field)
        self._times = times
        return shares.cpu_times(before, times)


class Process:
    """This process as psutil tells it."""

    name = "process"

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._last: tuple[float, float] | None = None
        self._absences = Absences("this process", psutil.Error, AttributeError)

    def read(self, now: float) -> list[Reading]:
        """What the process uses at ``now`` [s]; its share of the CPUs from the second time on."""
        part = self._absences.read
        return [
            *part("CPU time", lambda: self._cpu(now)),
            *part("memory", self._memory),
            *part("threads", self._threads),
            *part("open files", self._files),
        ]

    def close(self) -> None:
        """Nothing is held."""

    def _cpu(self, now: float) -> Iterator[Reading]:
        times = self._process.cpu_times()
        before, self._last = self._last, (now, times.user + times.system)
        return shares.process_cpu(times.user, times.system, before, now, psutil.cpu_count() or 1)

    def _memory(self) -> Iterator[Reading]:
        yield Reading(semconv.METRIC_PROCESS_MEMORY_USAGE, self._process.memory_info().rss, shares.process())

    def _threads(self) -> Iterator[Reading]:
        yield Reading(semconv.METRIC_PROCESS_THREAD_COUNT, self._process.num_threads(), shares.process())

    def _files(self) -> Iterator[Reading]:
        if os.name == "posix":
            yield Reading(semconv.METRIC_PROCESS_FILE_DESCRIPTOR_COUNT, self._process.num_fds(), shares.process())


def _memory() -> Iterator[Reading]:
    said = psutil.virtual_memory()
    states = {semconv.MEMORY_STATE_USED: said.total - said.available, semconv.MEMORY_STATE_FREE: said.available}
    return shares.memory(said.total, said.total - said.available, states, shares.HOST)


def _swap() -> Iterator[Reading]:
    said = psutil.swap_memory()
    return shares.swap(said.total, said.free)


def _pair(said: Any, first: str, second: str) -> tuple[int, int] | None:
    return None if said is None else (getattr(said, first), getattr(said, second))
