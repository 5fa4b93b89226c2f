"""Room probe: this process, as the Linux kernel tells it. Reported by each process, under its own resource."""

import os
import resource
from collections.abc import Iterator

from otel_llm import semconv
from otel_llm.probe import kernel, shares
from otel_llm.probe.absence import Absences
from otel_llm.probe.cgroup import Cgroup
from otel_llm.probe.reading import Reading


class Process:
    """CPU, memory, threads and open files of the process that asks.

    Args:
        folder: The process's folder in ``/proc``.
        cgroup: Its control groups; their limit on CPU time is what its share is of.
    """

    name = "process"

    def __init__(self, folder: str = "/proc/self", cgroup: Cgroup | None = None) -> None:
        self._folder = folder
        self._cgroup = cgroup or Cgroup()
        self._cgroup.find(cpus=os.cpu_count() or 1, memory=0)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._last: tuple[float, float] | None = None
        self._absences = Absences("this process")

    def read(self, now: float) -> list[Reading]:
        """What the process uses at ``now`` [s]; its share of the CPUs from the second time on."""
        part = self._absences.read
        return [
            *part("CPU time", lambda: self._cpu(now)),
            *part("memory and threads", self._stat),
            *part("open files", self._files),
        ]

    def close(self) -> None:
        """Nothing is held."""

    def _cpu(self, now: float) -> Iterator[Reading]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        before, self._last = self._last, (now, usage.ru_utime + usage.ru_stime)
        cpus = len(os.sched_getaffinity(0))
        limit = self._cgroup.cpu_limit
        return shares.process_cpu(
            usage.ru_utime, usage.ru_stime, before, now, cpus if limit is None else min(cpus, limit)
        )

    def _stat(self) -> Iterator[Reading]:
        said = kernel.process(kernel.text(f"{self._folder}/stat"))
        yield Reading(semconv.METRIC_PROCESS_MEMORY_USAGE, said["pages"] * self._page, shares.process())
        yield Reading(semconv.METRIC_PROCESS_THREAD_COUNT, said["threads"], shares.process())

    def _files(self) -> Iterator[Reading]:
        folder = f"{self._folder}/fd"
        # Linux 6.2 tells the number as the folder's size; before, they are listed, the listing's own among them.
        count = os.stat(folder).st_size or len(os.listdir(folder)) - 1  # noqa: PTH116, PTH208 - a tenth of pathlib's
        yield Reading(semconv.METRIC_PROCESS_FILE_DESCRIPTOR_COUNT, count, shares.process())
