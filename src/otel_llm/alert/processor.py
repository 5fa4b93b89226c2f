"""Room alert: the span processor. On the host's thread it looks at one attribute and appends; `engine` does the rest.

It counts what any instrumentation finished, sampled or not. A call that never ends is seen too: what has started and
not ended stands in a table.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_llm import boundary, semconv
from otel_llm.alert import clock

QUEUE: Final = 65_536
"""Finished calls that may wait to be counted; beyond, the oldest go and are counted as dropped."""

OPEN: Final = 10_000
"""Calls in flight that are watched."""

READINGS: Final = 10_000
"""Readings that may wait to be taken up."""

Reading = tuple[str, float, Mapping[str, Any], float]
Ended = tuple[Any, int | None, int | None, bool, float | None, float]
"""Attributes, start and end (wall clock) [ns], whether it failed, when it started and ended (monotonic) [s]."""

_INFERENCES: Final = semconv.INFERENCE_OPERATIONS
_OPERATION: Final = semconv.OPERATION_NAME


class Intake:
    """What the host's threads put down and the engine's thread takes up. Each process has its own.

    Attributes:
        ended: Finished calls.
        open: When each call in flight began (monotonic) [s], by span id.
        seen: Finished calls so far.
        taken: Of these, taken up.
        lost: Of these, those that had to make room before they were.
        readings: Of machines: name, value, attributes and when (clock of slots) [s].
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.ended: deque[Ended] = deque(maxlen=QUEUE)
        self.open: dict[int, float] = {}
        self.seen = 0
        self.taken = 0
        self.lost = 0
        self.readings: deque[Reading] = deque(maxlen=READINGS)

    def put(self, one: Ended) -> None:
        """Put a finished call down, in the place of the oldest where there is no room."""
        self.seen += 1
        self.lost += len(self.ended) == self.ended.maxlen
        self.ended.append(one)

    def take(self) -> list[Ended]:
        """All that has ended since the last time."""
        taken: list[Ended] = []
        ended = self.ended
        while ended:
            taken.append(ended.popleft())
        self.taken += len(taken)
        return taken

    def dropped(self) -> int:
        """Finished calls that were never counted."""
        return self.lost

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

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Note that a call is in flight."""
        try:
            if _of(span).get(_OPERATION) in _INFERENCES:
                intake = self._own()
                if len(intake.open) < OPEN:
                    intake.open[_id(span)] = time.monotonic()
                self._start()
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("alert.on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Put a finished call down."""
        try:
            attributes = _of(span)
            if _OPERATION in attributes and attributes[_OPERATION] in _INFERENCES:
                intake = self._own()
                failed = not span.status.is_ok
                started = intake.open.pop(_id(span), None)
                intake.put((attributes, span.start_time, span.end_time, failed, started, time.monotonic()))
                self._start()
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("alert.on_end", error)

    def take(self, readings: Iterable[tuple[str, float, Mapping[str, Any]]]) -> None:
        """Put readings of the machine down: name, value and attributes of each."""
        with boundary.guard("alert.take"):
            intake, now = self._own(), clock.now()
            intake.readings.extend((name, value, {**self._host, **said}, now) for name, value, said in readings)
            self._start()

    def shutdown(self) -> None:
        """What ends later is not judged; `engine` stops by itself."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing waits for a disk here."""
        return True

    def _own(self) -> Intake:
        """This process's; what a fork left behind belongs to the parent."""
        if self.intake.pid != os.getpid():
            self.intake = Intake()
        return self.intake


def _of(span: Any) -> Any:
    """The attributes of ``span``, not by its public door: that one copies, and costs more than all the rest."""
    try:
        return span._attributes._dict  # noqa: SLF001
    except AttributeError:
        return span.attributes or {}


def _id(span: Any) -> int:
    try:
        identity: int = span._context[1]  # noqa: SLF001
    except (AttributeError, TypeError):
        identity = span.get_span_context().span_id
    return identity
