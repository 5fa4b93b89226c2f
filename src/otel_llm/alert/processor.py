"""Room alert: the span processor. On the host's thread it looks at one attribute and appends; `engine` does the rest.

It counts what any instrumentation finished, sampled or not. A call that never ends is seen too: what has started and
not ended stands in a table. At both ends of a span the SDK's own fields are read where there are such: its public doors
copy, and cost more than all the rest.
"""

import os
import socket
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Status

from otel_llm import boundary, semconv
from otel_llm.alert import clock

QUEUE: Final = 65_536
"""Finished calls that may wait to be counted; beyond, the oldest go and are counted as dropped."""

OPEN: Final = 10_000
"""Calls in flight that are watched."""

READINGS: Final = 10_000
"""Readings that may wait to be taken up."""

Reading = tuple[str, float, Mapping[str, Any], float]
Ended = tuple[Mapping[str, Any], int | None, int | None, Status, float | None, float]
"""Attributes, start and end (wall clock) [ns], status, when it started and ended (monotonic) [s]."""

_INFERENCES: Final = semconv.INFERENCE_OPERATIONS
_OPERATION: Final = semconv.OPERATION_NAME


class Intake:
    """What the host's threads put down and the engine's thread takes up. Each process has its own.

    Attributes:
        served: Whether an engine takes it up.
        ended: Finished calls; the oldest make room where there is none.
        open: When each call in flight began (monotonic) [s], by span id.
        seen: Finished calls so far.
        taken: Of these, taken up.
        readings: Of machines: name, value, attributes and when (clock of slots) [s].
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.served = False
        self.ended: deque[Ended] = deque(maxlen=QUEUE)
        self.open: dict[int, float] = {}
        self.seen = 0
        self.taken = 0
        self.readings: deque[Reading] = deque(maxlen=READINGS)
        self._dropped = 0

    def take(self) -> list[Ended]:
        """All that has ended since the last time."""
        ended = self.ended
        count = len(ended)  # a queue that is full stays so, however much is put down meanwhile
        self.taken += count
        return [ended.popleft() for _ in range(count)]

    def dropped(self) -> int:
        """Finished calls that had to make room before they were counted; never less than it was."""
        self._dropped = max(self._dropped, self.seen - self.taken - len(self.ended))
        return self._dropped

    def oldest(self, now: float) -> float | None:
        """Age of the oldest call in flight [s]; ``None`` where there is none."""
        started = min(list(self.open.values()), default=None)
        return None if started is None else max(0.0, now - started)


class AlertProcessor(SpanProcessor):
    """Hands finished inference spans to the engine.

    Args:
        start: Called when there is something to judge and nobody does yet; must return at once.
    """

    def __init__(self, start: Callable[[], object]) -> None:
        self._start = start
        self._host = {"host.name": socket.gethostname()}
        self.intake = Intake()
        _processors.add(self)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Note that a call is in flight."""
        try:
            try:
                attributes: Any = span._attributes._dict  # type: ignore[union-attr]  # noqa: SLF001
            except AttributeError:
                attributes = span.attributes or {}
            if _OPERATION in attributes and attributes[_OPERATION] in _INFERENCES:
                intake = self.intake
                if len(intake.open) < OPEN:
                    intake.open[_id(span)] = monotonic()
                if not intake.served:
                    self._start()
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("alert.on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Put a finished call down."""
        try:
            try:
                attributes: Any = span._attributes._dict  # type: ignore[union-attr]  # noqa: SLF001
            except AttributeError:
                attributes = span.attributes or {}
            if _OPERATION in attributes and attributes[_OPERATION] in _INFERENCES:
                intake = self.intake
                intake.seen += 1
                started = intake.open.pop(_id(span), None)
                intake.ended.append((attributes, span.start_time, span.end_time, span.status, started, monotonic()))
                if not intake.served:
                    self._start()
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("alert.on_end", error)

    def take(self, readings: Iterable[tuple[str, float, Mapping[str, Any]]]) -> None:
        """Put readings of the machine down: name, value and attributes of each."""
        with boundary.guard("alert.take"):
            now = clock.now()
            self.intake.readings.extend((name, value, {**self._host, **said}, now) for name, value, said in readings)
            self._start()

    def shutdown(self) -> None:
        """What ends later is not judged; `engine` stops by itself."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing waits for a disk here."""
        return True


def _id(span: Any) -> int:
    try:
        identity: int = span._context[1]  # noqa: SLF001
    except (AttributeError, TypeError):
        identity = span.get_span_context().span_id
    return identity


_processors: Final[weakref.WeakSet[AlertProcessor]] = weakref.WeakSet()


def _begin_anew() -> None:
    """In a forked child: what the parent put down is the parent's."""
    for processor in list(_processors):
        processor.intake = Intake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
