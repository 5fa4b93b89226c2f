"""One call while it happens: from the request to one span that ends exactly once, whatever becomes of the stream.

Sans-I/O: the shells in `transport` tell a `Recording` what they see (head, pieces, end), sync and async alike. Every
public method is safe on the host's path: no `Exception` leaves it. A call that has ended becomes a `Call`, then span
attributes and client metrics, and goes on through the SDK to exporters and the store.
"""

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from otel_llm import boundary, semconv, shortcut
from otel_llm.calls import Call, Value
from otel_llm.record import framing, peers, queues, resends
from otel_llm.record.account import Attempt, End, draw_up
from otel_llm.record.exchange import Format, Opening, Request
from otel_llm.record.head import Head, read_head
from otel_llm.record.limits import Key
from otel_llm.record.metrics import ClientMetrics
from otel_llm.record.price import Stay
from otel_llm.record.reading import INFLATED, Reading
from otel_llm.record.registry import Registry
from otel_llm.record.settings import Config, CostConfig
from otel_llm.record.spans import Spans
from otel_llm.record.tally import identity
from otel_llm.record.transport import ignore
from otel_llm.redaction import scrub
from otel_llm.suppression import is_instrumentation_enabled

if TYPE_CHECKING:
    from otel_llm.record.content.capture import Capture, Captured
    from otel_llm.record.cost import Costs

_FROM_START: Final = (
    *(semconv.OPERATION_NAME, semconv.PROVIDER_NAME, semconv.REQUEST_MODEL),
    *(semconv.SERVER_ADDRESS, semconv.SERVER_PORT),
)
"""What a span says from its start, so that samplers can see it."""

_MOST_STARTS: Final = 1000
"""Names and attributes of starts that are kept."""


UNDER_WAY: Final = otel_context.create_key("otel_llm-under-way")
"""In the context of a request that is being sent: what is true until its call ends.

A library that carries the request for another one, as aiohttp may for httpx, sees it there and leaves it alone.
"""

_CURRENT: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""Under which key a context holds its span."""

Statement = Callable[[int | None], Mapping[str, Value]]
"""Called at a call's end with its output tokens: what was seen of it, by attribute."""

Witness = Callable[[str | None, int | None], Statement | None]
"""Called at a call's begin with the server's address and port; ``None`` where there will be nothing to say.

Rooms that see something else of a call than its bytes add it here, for nothing can be added to a span that has ended.
"""


class Recorder:
    """Begins recordings into the given providers; ``open`` holds those that have not ended.

    Args:
        config: The user's settings.
        tracer_provider: ``None`` for the global one.
        meter_provider: ``None`` for the global one.
        clock: Monotonic [s].
        witness: Told of each call's begin and end; adds what it saw.
        cost: The user's settings of prices.
    """

    def __init__(
        self,
        config: Config,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        clock: Callable[[], float] = time.perf_counter,
        witness: Witness | None = None,
        cost: CostConfig | None = None,
    ) -> None:
        self.witness = witness
        self.registry = Registry.load(config)
        self.capture = _capture(config)
        self.costs = _costs(cost or CostConfig())
        self.stay = self.costs.stay if self.costs is not None and self.costs.override.gpu_hour else None
        self.clock = clock
        self.tracer = trace.get_tracer(semconv.SCOPE_NAME, semconv.SCOPE_VERSION, tracer_provider)
        self.spans = Spans(self.tracer)
        with boundary.guard("record.peers"):
            peers.watch(tracer_provider or trace.get_tracer_provider())
        if meter_provider is None:
            self.metrics = _global_metrics()
        else:
            self.metrics = ClientMetrics(meter_provider.get_meter(semconv.SCOPE_NAME, semconv.SCOPE_VERSION))
        self.open = self.metrics.open

    def price(self, call: Call, seconds: float | None = None, *, counted: bool = True) -> Call:
        """``call`` with what it cost; ``seconds`` is its share of its server's time [s]."""
        if self.costs is not None:
            try:
                return self.costs.price(call, seconds, counted=counted)
            except Exception as error:  # noqa: BLE001 - the boundary, cheaper than `guard`
                boundary.swallow("record.cost", error)
        return call

    def begin_request(self, scheme: str, **said: Any) -> "Recording | None":
        """`begin`, of a request with these fields: for a shell that cannot import `Request` before it needs it."""
        return self.begin(Request(**said), scheme)

    def begin(self, request: Request, scheme: str) -> "Recording | None":
        """A recording of ``request``, or ``None`` when it is no inference or must not be seen."""
        context = otel_context.get_current()
        if context and (not is_instrumentation_enabled() or context.get(UNDER_WAY)):  # an empty one forbids nothing
            return None
        opened = self.registry.open(request)
        return Recording(self, request, scheme, *opened) if opened is not None else None


def _capture(config: Config) -> "Capture | None":
    """What captures content, where the convention's variable asks for it; imported only there."""
    if not os.environ.get(semconv.CAPTURE_MESSAGE_CONTENT):
        return None
    with boundary.guard("record.content"):
        from otel_llm.record.content.capture import capture_for  # noqa: PLC0415

        return capture_for(config.content)
    return None


def _costs(config: CostConfig) -> "Costs | None":
    """What prices calls, unless that is switched off; faults of the user's file are told."""
    if not config.enabled:
        return None
    with boundary.guard("record.cost"):
        from otel_llm.record.cost import Costs  # noqa: PLC0415

        costs = Costs(config)
        for fault in costs.override.faults:
            boundary.logger.warning("%s; left out", fault)
        return costs
    return None


@functools.cache
def _global_metrics() -> ClientMetrics:
    """The instruments of the global provider: made once, or the SDK would keep two of each."""
    return ClientMetrics(metrics.get_meter(semconv.SCOPE_NAME, semconv.SCOPE_VERSION))


class Recording:
    """One attempt: `respond`, `feed`, then one of `finish`, `close`, `fail`. What comes after an end does nothing.

    Attributes:
        context: To be current while the request is sent, and only then.
        left: The outcome, should the reader let go of the answer now; a shell that sees waits cancelled changes it.
    """

    __slots__ = (
        *("_attempt", "_captured", "_format", "_head", "_is_outer", "_once", "_opening"),
        *("_path", "_reading", "_recorder", "_sent_at", "_span", "_started_ns", "_statement"),
        *("_stay", "_waited", "context", "left", "pid"),
    )

    def __init__(self, recorder: Recorder, request: Request, scheme: str, known: Format, opening: Opening) -> None:
        self._recorder = recorder
        self._format = known
        self._opening = opening
        self._path = request.path
        self.pid = os.getpid()
        self._once = [True]
        self._captured: Captured | None = None
        self._head: Head | None = None
        self._reading: Reading | None = None
        self.left = semconv.OUTCOME_ABANDONED
        self._sent_at: float | None = None
        self._waited = queues.waited()
        resend_count, previous = resends.previous(request)
        started_at = recorder.clock()
        self._started_ns = time.time_ns()
        self._attempt = Attempt(
            host=request.host,
            port=request.port or {"https": 443, "http": 80}.get(scheme),
            started_at=started_at,
            resend_count=resend_count,
            backoff=max(0.0, started_at - previous.ended_at) if previous else None,
        )
        parent = otel_context.get_current()
        outer = peers.outer_span(parent) if parent else None
        self._is_outer = outer is not None
        # Last, for a fault after it would leave a span that nobody ends.
        self._span = outer or self._start_span(parent, previous)
        marked = {UNDER_WAY: self._once} if outer else {UNDER_WAY: self._once, _CURRENT: self._span}
        self.context = Context({**parent, **marked})
        self._statement: Statement | None = None
        self._stay: Stay | None = None
        where = "record.cost"
        try:  # one boundary for both: a `guard` each would cost as much as what they do
            if recorder.stay is not None:
                self._stay = recorder.stay(request.host, self._attempt.port, started_at)
            where = "record.witness"
            if recorder.witness is not None:
                self._statement = recorder.witness(self._attempt.host, self._attempt.port)
        except Exception as error:  # noqa: BLE001 - the boundary
            boundary.swallow(where, error)
        recorder.open.add(self)
        if recorder.capture is not None and self._span.is_recording():
            with boundary.guard("record.content"):
                self._captured = recorder.capture.begin(known, opening.operation, request)
        if outer is not None:
            with boundary.guard("record.peers"):
                peers.join(outer, self)

    def _start_span(self, parent: Context, previous: resends.Sent | None) -> Span:
        opening, attempt = self._opening, self._attempt
        name, attributes = _start(opening.operation, opening.provider, opening.model, attempt.host, attempt.port)
        if previous is None:
            span = self._recorder.spans.begin(name, parent, attributes, self._started_ns)
        else:
            span = self._recorder.tracer.start_span(
                name,
                context=parent,
                kind=SpanKind.CLIENT,
                attributes=attributes.copy(),  # a sampler may change them
                links=(Link(previous.span),),
                start_time=self._started_ns,
            )
        try:
            peers.begin(span, self._started_ns)
        except Exception as error:  # noqa: BLE001 - the boundary
            boundary.swallow("record.peers", error)
        return span

    @property
    def ended(self) -> bool:
        """Whether the call has ended."""
        return not self._once

    @property
    def key(self) -> Key:
        """See `metrics.Closing`."""
        return identity(self._opening.operation, self._opening.provider, self._opening.model)

    def enter(self) -> Token[Context]:
        """Make the span current, while the request is sent and no longer."""
        return otel_context.attach(self.context)

    @staticmethod
    def leave(token: Token[Context] | None) -> None:
        """Undo `enter`, if it was done."""
        if token is not None:
            detach(token)

    def trace(self, event: str) -> None:
        """An event of the transport's trace extension: the wait is over when the request's head is sent."""
        if event.endswith("send_request_headers.started"):
            self.send()

    def send(self) -> None:
        """A connection is there, and the request's head is sent now."""
        self._sent_at = self._recorder.clock()

    def respond(self, status: int, raw_headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The answer's head is here."""
        try:
            self._head = head = read_head(status, raw_headers)
            self._reading = self._read(head)
            if head.tells_limits:
                self._recorder.metrics.hear(self._limited(), head, self._recorder.clock())
        except Exception as error:  # noqa: BLE001 - the boundary
            boundary.swallow("record.respond", error)

    def _read(self, head: Head) -> Reading:
        known, clock, kind = self._format, self._recorder.clock, head.content_type
        encoding = head.content_encoding
        inflater = framing.inflater(encoding, INFLATED, sys.modules) if encoding else None
        array = self._opening.array and not head.is_error
        if self._captured is not None:
            with boundary.guard("record.content"):
                return self._captured.reading(known, clock, kind, inflater, array=array)
        return Reading(known, clock, kind, inflater, array=array)

    def _limited(self) -> Key:
        """What names a rate limit: whose it is, for which model and where."""
        named = identity("", self._opening.provider, self._opening.model)[1:]
        return (*named, (semconv.SERVER_ADDRESS, self._attempt.host))

    def feed(self, piece: bytes) -> None:
        """The next piece of the body, as it came off the wire."""
        reading = self._reading
        if reading is not None:
            try:
                reading.feed(piece)
            except Exception as error:  # noqa: BLE001 - the boundary; a guard would double the cost of a piece
                self.stop_reading(error)

    def feeder(self) -> Callable[[bytes], None]:
        """`feed` without its boundary: who calls it for each piece catches, and goes on with `stop_reading`."""
        return self._reading.feed if self._reading is not None else ignore

    def stop_reading(self, error: Exception) -> None:
        """Read no more of the body, for ``error`` is a fault of ours."""
        self._reading = None
        boundary.swallow("record.feed", error)

    def feed_late(self, body: bytes) -> None:
        """The whole body, which was read before anybody could look: its times are nobody's to tell."""
        self.feed(body)
        if self._reading is not None:
            self._reading.timed = False

    def finish(self) -> None:
        """The body came to its end."""
        self._end(semconv.OUTCOME_COMPLETED)

    def close(self) -> None:
        """The reader closed the body or let go of it; whether that was early shows in what has come."""
        self._end(self.left)

    def fail(self, error: BaseException) -> None:
        """``error`` ended the call."""
        outcome = self.left if isinstance(error, GeneratorExit) else outcome_of(error)
        self._end(outcome, error if outcome == semconv.OUTCOME_ERROR else None)

    def give_up(self) -> None:
        """A fault of ours keeps the call from being followed: end it with what is known and no word on its outcome."""
        with boundary.guard("record.end"):
            self._end(None)
        self._once.clear()
        self._recorder.open.discard(self)
        if self.pid != os.getpid():
            return
        if not self._is_outer and self._span.is_recording():
            self._span.end()

    def _end(self, outcome: str | None, error: BaseException | None = None) -> None:
        try:
            self._once.pop()
        except IndexError:
            return
        self._recorder.open.discard(self)
        if self.pid != os.getpid():
            return  # a forked child's copy: the call is its parent's to end
        ended_at = self._recorder.clock()
        try:
            self._conclude(outcome, error, ended_at)
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.swallow("record.end", fault)
        finally:
            try:
                if self._is_outer:
                    peers.part(self._span, self)
                else:
                    self._span.end(self._started_ns + round((ended_at - self._attempt.started_at) * 1e9))
            except Exception as fault:  # noqa: BLE001 - the boundary
                boundary.swallow("record.span", fault)

    def _conclude(self, outcome: str | None, error: BaseException | None, ended_at: float) -> None:
        """Put what is known on the span and into the metrics."""
        stayed = None
        if self._stay is not None:
            with boundary.guard("record.cost"):
                stayed = self._stay(ended_at)
        if self._reading is not None:
            self._finish_reading(self._reading)
        end = End(
            outcome=outcome,
            at=ended_at,
            error_type=qualified_name(type(error)) if error else None,
            sent_at=self._sent_at,
        )
        call = self._recorder.price(self._draw_up(self._reading, end), stayed)
        if self._is_outer:
            peers.enrich(self._span, call)
        else:
            shortcut.add(self._span, _news(call, self._opening))
            if call.outcome == semconv.OUTCOME_ERROR:
                self._span.set_status(Status(StatusCode.ERROR, self._describe(error)))
        if self._statement is not None:
            with boundary.guard("record.witness"):
                stated = self._statement(call.output_tokens)
                if self._span.is_recording():  # somebody else's may have ended
                    self._span.set_attributes(stated)
        if self._captured is not None and self._recorder.capture is not None:
            reasons = self._reading.facts.finish if self._reading is not None else {}
            with boundary.guard("record.content"):
                self._recorder.capture.publish(self._span, self._captured, reasons, call)
        try:
            if not (self._is_outer and peers.is_told_by_hand(self._span)):
                shared = not peers.is_measured(self._span, own=not self._is_outer)
                lasted = ended_at - self._attempt.started_at
                self._recorder.metrics.record(call, lasted, self.context, self.key, shared=shared)
        except Exception as fault:  # noqa: BLE001 - the boundary
            boundary.swallow("record.metrics", fault)
        failed = call.outcome == semconv.OUTCOME_ERROR
        resends.remember(self._span, self._attempt, self._path, self._head, ended_at, failed=failed)

    def _draw_up(self, reading: Reading | None, end: End) -> Call:
        call = draw_up(self._opening, self._attempt, self._head, reading, end)
        if self._waited is None:
            return call
        return msgspec.structs.replace(call, queue_name=self._waited.name, queue_wait=self._waited.seconds)

    def tell_so_far(self) -> None:
        """Somebody else's span ends, perhaps because the reader has seen the end of the answer before its last byte."""
        reading = self._reading.so_far() if self._reading is not None else None
        if reading is not None:
            self._finish_reading(reading)
        call = self._draw_up(reading, End(outcome=self.left, at=self._recorder.clock(), sent_at=self._sent_at))
        begun = reading is not None and reading.first_chunk_at is not None
        failed = getattr(getattr(self._span, "status", None), "status_code", None) is StatusCode.ERROR
        if call.outcome == self.left and (failed or not begun):
            # Errors that others tell stay theirs; of an answer that nobody has begun to read nobody knows how it ends.
            call = msgspec.structs.replace(call, outcome=None, output_tokens=None, usage_source=None)
        peers.enrich(self._span, self._recorder.price(call, counted=False))

    def _finish_reading(self, reading: Reading) -> None:
        try:
            choices = self._opening.request.get("choice_count", 1)
            reading.finish(choices if isinstance(choices, int) else 1)
        except Exception as error:  # noqa: BLE001 - the boundary
            reading.facts.promised = False  # an end that could not be read is not missing
            boundary.swallow("record.read", error)

    def _describe(self, error: BaseException | None) -> str | None:
        """The error's text, without secrets."""
        if error is not None:
            return scrub(str(error)) or None
        message = self._reading.facts.error_message if self._reading is not None else None
        return scrub(message) if message else None


@functools.lru_cache(_MOST_STARTS)
def _start(
    operation: str, provider: str | None, model: str | None, host: str, port: int | None
) -> tuple[str, dict[str, Value]]:
    """Name and attributes of a span at its start; kept, for most calls are like one before."""
    known = Call(operation=operation, provider=provider, request_model=model, server_address=host, server_port=port)
    return known.span_name, known.attributes()


def _news(call: Call, opening: Opening) -> dict[str, Value]:
    """The attributes that the span did not get at its start."""
    attributes = call.attributes()
    for name in _FROM_START:
        attributes.pop(name, None)
    if call.provider is not None and call.provider != opening.provider:
        attributes[semconv.PROVIDER_NAME] = call.provider
    return attributes


def outcome_of(error: BaseException | None) -> str:
    """What ``error``, leaving a call or thrown into its stream, makes of it."""
    if error is None:
        return semconv.OUTCOME_COMPLETED
    if isinstance(error, GeneratorExit):
        return semconv.OUTCOME_ABANDONED
    if isinstance(error, Exception) and type(error).__name__ not in ("CancelledError", "Cancelled"):
        return semconv.OUTCOME_ERROR
    return semconv.OUTCOME_CANCELLED


def detach(token: Token[Context]) -> None:
    """Leave a context; silently where a cancelled coroutine is closed from another one."""
    with suppress(ValueError):
        otel_context._RUNTIME_CONTEXT.detach(token)  # noqa: SLF001 - the public detach logs what is no error here


def qualified_name(kind: type[BaseException]) -> str:
    """``error.type`` of an exception."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
