"""Room probe: readings of CPU, memory and swap from plain figures. No I/O, no clock.

The series of a utilisation without a mode or state is the whole: the one to alert on.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Final

from otel_llm import semconv
from otel_llm.probe.reading import Reading

HOST: Final = {semconv.LIMIT_SOURCE: semconv.LIMIT_SOURCE_HOST}
"""Attributes of a share of the machine."""

CGROUP: Final = {semconv.LIMIT_SOURCE: semconv.LIMIT_SOURCE_CGROUP}
"""Attributes of a share of a container's limit."""

_IDLE: Final = (semconv.CPU_MODE_IDLE, semconv.CPU_MODE_IOWAIT)


def cpu_times(before: Mapping[str, float], times: Mapping[str, float]) -> Iterator[Reading]:
    """Utilisation by mode between two sums of CPU time [s]; nothing where no time passed, or there is no before."""
    # A mode may go back: iowait does, and a CPU that is taken out takes its times with it.
    spent = {mode: max(0.0, time - before.get(mode, time)) for mode, time in times.items()}
    total = sum(spent.values())
    if total > 0:
        shares = {mode: time / total for mode, time in spent.items()}
        yield from cpu(1 - sum(shares.get(mode, 0.0) for mode in _IDLE), shares, HOST)


def cpu(total: float, shares: Mapping[str, float], source: Mapping[str, str]) -> Iterator[Reading]:
    """Utilisation as a whole and by mode; ``source`` is `HOST` or `CGROUP`."""
    yield Reading(semconv.METRIC_SYSTEM_CPU_UTILIZATION, total, source)
    for mode, share in shares.items():
        yield Reading(semconv.METRIC_SYSTEM_CPU_UTILIZATION, share, {semconv.CPU_MODE: mode, **source})


def memory(limit: int, taken: int, states: Mapping[str, int], source: Mapping[str, str]) -> Iterator[Reading]:
    """Memory as a whole and by state [byte].

    Args:
        limit: What there is.
        taken: What cannot be had; what the kernel would give back on demand is not in it.
        states: What becomes of it, by state.
        source: `HOST` or `CGROUP`.
    """
    yield Reading(semconv.METRIC_SYSTEM_MEMORY_LIMIT, limit, source)
    yield Reading(semconv.METRIC_SYSTEM_MEMORY_UTILIZATION, taken / limit, source)
    for state, size in states.items():
        attributes = {semconv.MEMORY_STATE: state, **source}
        yield Reading(semconv.METRIC_SYSTEM_MEMORY_USAGE, size, attributes)
        yield Reading(semconv.METRIC_SYSTEM_MEMORY_UTILIZATION, size / limit, attributes)


def swap(total: int, free: int) -> Iterator[Reading]:
    """Swap by state [byte]; nothing where there is none."""
    for state, size in ((semconv.PAGING_STATE_USED, total - free), (semconv.PAGING_STATE_FREE, free)) if total else ():
        yield Reading(semconv.METRIC_SYSTEM_PAGING_USAGE, size, {semconv.PAGING_STATE: state})
        yield Reading(semconv.METRIC_SYSTEM_PAGING_UTILIZATION, size / total, {semconv.PAGING_STATE: state})


def _moved(name: str, key: str, directions: tuple[str, str], counts: tuple[int, int] | None) -> Iterator[Reading]:
    """Bytes moved in two directions; nothing where they are not known."""
    for direction, count in zip(directions, counts or (), strict=False):
        yield Reading(name, count, {key: direction})


def disk(counts: tuple[int, int] | None) -> Iterator[Reading]:
    """Bytes read and written."""
    directions = (semconv.DISK_IO_READ, semconv.DISK_IO_WRITE)
    return _moved(semconv.METRIC_SYSTEM_DISK_IO, semconv.DISK_IO_DIRECTION, directions, counts)


def network(counts: tuple[int, int] | None) -> Iterator[Reading]:
    """Bytes received and sent."""
    directions = (semconv.NETWORK_IO_RECEIVE, semconv.NETWORK_IO_TRANSMIT)
    return _moved(semconv.METRIC_SYSTEM_NETWORK_IO, semconv.NETWORK_IO_DIRECTION, directions, counts)


def load(averages: tuple[float, float, float]) -> Iterator[Reading]:
    """Load averages of 1, 5 and 15 minutes."""
    names = (semconv.METRIC_SYSTEM_LOAD_1, semconv.METRIC_SYSTEM_LOAD_5, semconv.METRIC_SYSTEM_LOAD_15)
    for name, value in zip(names, averages, strict=True):
        yield Reading(name, value, {})


def process() -> dict[str, int]:
    """What tells this process's series from those of others that share its resource, as forked workers do."""
    return {semconv.PROCESS_PID: os.getpid()}


def process_cpu(
    user: float, system: float, before: tuple[float, float] | None, now: float, cpus: float
) -> Iterator[Reading]:
    """CPU time of a process, and its share of what it may use.

    Args:
        user: CPU time in user mode so far [s].
        system: CPU time in the kernel so far [s].
        before: When it was last asked, and both times together then [s]; ``None`` the first time.
        now: Monotonic clock [s].
        cpus: How many it may use.
    """
    own = process()
    yield Reading(semconv.METRIC_PROCESS_CPU_TIME, user, {semconv.CPU_MODE: semconv.CPU_MODE_USER, **own})
    yield Reading(semconv.METRIC_PROCESS_CPU_TIME, system, {semconv.CPU_MODE: semconv.CPU_MODE_SYSTEM, **own})
    if before is not None and now > before[0]:
        share = (user + system - before[1]) / (now - before[0]) / cpus
        yield Reading(semconv.METRIC_PROCESS_CPU_UTILIZATION, max(0.0, share), own)
