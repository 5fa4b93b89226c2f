"""Room probe: what otel-llm itself saw, kept, lost and takes, as a source like the others. No I/O.

What the parts count is theirs; `upkeep` gathers it, for rooms do not know each other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from otel_llm import labour, semconv, supervisor
from otel_llm.probe import shares
from otel_llm.probe.reading import Reading

_LEAST: Final = 0.001
"""Between two looks at the threads' CPU time [s]."""


class Fate(NamedTuple):
    """What became of spans.

    Attributes:
        part: Who says so: ``store``, ``alerts``, ``exporters``.
        state: ``seen``, ``stored``, ``judged``, ``exported``, ``dropped``.
        number: Spans so far, in this process.
        reason: Why they were dropped.
    """

    part: str
    state: str
    number: int
    reason: str | None = None


class Accounts:
    """Otel-llm's own figures.

    Args:
        fates: Says what became of spans so far.
        depths: Says how much waits, by part.
        joined: Says whether this process judges with others; ``None`` where it is not to.
    """

    name = "self"

    def __init__(
        self,
        fates: Callable[[], Iterable[Fate]],
        depths: Callable[[], Mapping[str, int]],
        joined: Callable[[], bool | None] = lambda: None,
    ) -> None:
        self._fates = fates
        self._depths = depths
        self._joined = joined
        self._last: tuple[float, Mapping[str, float]] | None = None

    def read(self, now: float) -> Sequence[Reading]:
        """The figures at ``now`` [s]; shares of the processor from the second time on."""
        own = shares.process()
        readings: list[Reading] = []
        for fate in self._fates():
            named: dict[str, str | int] = {**own, semconv.SELF_PART: fate.part, semconv.SELF_STATE: fate.state}
            if fate.reason is not None:
                named[semconv.SELF_REASON] = fate.reason
            readings.append(Reading(semconv.METRIC_SELF_SPANS, fate.number, named))
        for part, depth in self._depths().items():
            readings.append(Reading(semconv.METRIC_SELF_QUEUE_DEPTH, depth, {**own, semconv.SELF_PART: part}))
        if (joined := self._joined()) is not None:
            readings.append(Reading(semconv.METRIC_SELF_FLEET_JOINED, int(joined), own))
        for part, share in self._cpu(now).items():
            readings.append(Reading(semconv.METRIC_SELF_CPU_UTILIZATION, share, {**own, semconv.SELF_PART: part}))
        for loop in supervisor.standing():
            named = {**own, semconv.SELF_PART: loop.name, semconv.SELF_STATE: loop.state}
            if loop.error is not None:
                named[semconv.SELF_REASON] = loop.error
            readings.append(Reading(semconv.METRIC_SELF_RESTARTS, loop.restarts, named))
        return readings

    def close(self) -> None:
        """Nothing is held."""

    def _cpu(self, now: float) -> dict[str, float]:
        """Shares of one processor since the reading before, by part."""
        spent = labour.spent()
        before, self._last = self._last, (now, spent)
        if before is None or now - before[0] < _LEAST:
            return {}
        passed = now - before[0]
        return {part: max(0.0, time - before[1].get(part, 0.0)) / passed for part, time in spent.items()}
