"""The client SDK: one inference as a context manager or decorator, for code that has no wire or wants its own span.

The span is current inside the block, so a call that the tap sees there enriches it instead of making a second one. An
exception is recorded and goes on its way; nothing of ours raises into the block.
"""

import os
import time
import traceback
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_llm import boundary, semconv
from otel_llm.calls import Call, Value
from otel_llm.record import peers, queues, recording, transport
from otel_llm.record.limits import Key
from otel_llm.record.price import Stay
from otel_llm.record.tally import identity
from otel_llm.redaction import scrub

if TYPE_CHECKING:
    from otel_llm.record.content.told import Told

_MAX_INSTRUMENTS: Final = 500

_CALL: Final = otel_context.create_key("otel_llm-call")

_MOST_FRAMES: Final = 50
_LONGEST_STACK: Final = 16384
"""Most that is kept of where an error came from: the innermost frames, and characters."""


class ManualCall:
    """One inference, told by hand; made by `call`. Durations are taken on the monotonic clock [s].

    Use it once, as ``with`` or ``async with``. Its methods may be called from any thread or task.
    """

    def __init__(self, known: Call, parent: Context | None = None) -> None:
        self._known = known
        self._parent = parent
        self._said: dict[str, Any] = {}
        self._metadata: dict[str, Value] = {}
        self._span: Span = trace.INVALID_SPAN
        self._recorder: recording.Recorder | None = None
        self._token: Token[Context] | None = None
        self.pid = os.getpid()
        self._started_at = 0.0
        self._started_ns = 0
        self._first_token_at: float | None = None
        self._once = [True]
        self._is_outer = False
        self.key: Key = ()
        self._stay: Stay | None = None
        self._stayed: float | None = None
        self._content: Told | None = None

    @property
    def span(self) -> Span:
        """The call's span; an invalid one before the block is entered."""
        return self._span

    def first_token(self) -> None:
        """The first output is here; later calls do nothing."""
        if self._first_token_at is None:
            self._first_token_at = time.perf_counter()

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_input_tokens: int | None = None,
        cache_creation_input_tokens: int | None = None,
        reasoning_output_tokens: int | None = None,
        service_tier: str | None = None,
    ) -> None:
        """Tokens as the model reported them, cached ones included in the input. ``None`` is not said.

        Args:
            input_tokens: Of the prompt.
            output_tokens: Of the answer, reasoning included.
            cache_read_input_tokens: Of the prompt, read from the provider's cache.
            cache_creation_input_tokens: Of the prompt, written into it.
            reasoning_output_tokens: Of the answer.
            service_tier: What else than the provider's standard service it was, e.g. ``batch``: it has another price.
        """
        told = {
            "cache_creation_input_tokens": cache_creation_input_tokens,
            "service_tier": service_tier,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cache_read_input_tokens": cache_read_input_tokens,
            "reasoning_output_tokens": reasoning_output_tokens,
        }
        self._said.update({name: value for name, value in told.items() if value is not None})

    def finish(self, reason: str) -> None:
        """Why the model stopped, e.g. ``stop`` or ``length``; once for each alternative."""
        self._said["finish_reasons"] = (*self._said.get("finish_reasons", ()), str(reason))

    def response(self, *, model: str | None = None, id: str | None = None) -> None:  # noqa: A002 - the field's word
        """Which model answered, and the answer's id."""
        told = {"response_model": model, "response_id": id}
        self._said.update({name: value for name, value in told.items() if value is not None})

    def content(
        self,
        *,
        input: object = None,  # noqa: A002 - the convention's word, like the next
        output: object = None,
        system: object = None,
        tools: object = None,
    ) -> None:
        """What was asked and answered. Dropped unless content is asked for, and bounded and redacted as elsewhere.

        Messages are dictionaries in OpenAI's shape (``role``, ``content``, ``tool_calls``) or in the convention's
        (``role``, ``parts``). What is said again takes the place of what was said before.

        Args:
            input: The history, oldest first: messages, or the text of a user's one.
            output: The answer: its text, or a message for each alternative.
            system: Instructions that stand apart from the history: a text or several.
            tools: Definitions of tools in OpenAI's shape.
        """
        with boundary.guard("record.content"):
            taken = self._take_content()
            if taken is not None:
                taken.say(input=input, output=output, system=system, tools=tools)

    def _take_content(self) -> "Told | None":
        """What takes the call's content, where content is asked for."""
        capture = self._recorder.capture if self._recorder is not None else None
        if self._content is None and capture is not None and self._known.operation != semconv.OPERATION_EMBEDDINGS:
            self._content = capture.told()
        return self._content

    def _publish(self, call: Call) -> None:
        if self._content is not None and self._recorder is not None and self._recorder.capture is not None:
            reasons = dict(enumerate(call.finish_reasons or ()))
            self._recorder.capture.publish(self._span, self._content, reasons, call)

    def metadata(self, **values: Value) -> None:
        """Values of your own, kept on the span under ``otel_llm.metadata.*``."""
        self._metadata.update(values)

    @property
    def context(self) -> Context:
        """To be current while the call's own code runs."""
        return otel_context.set_value(_CALL, self, trace.set_span_in_context(self._span, self._parent))

    @property
    def ended(self) -> bool:
        """Whether the call has ended."""
        return not self._once

    def __enter__(self) -> Self:
        with boundary.guard("client.begin"):
            self.begin()
        with boundary.guard("client.attach"):
            self._token = otel_context.attach(self.context)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with boundary.guard("client.detach"):
            if self._token is not None:
                recording.detach(self._token)
        with boundary.ending(self):
            self.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def begin(self) -> None:
        """Start the span without making it current: for streams, whose context must not span a ``yield``."""
        self._started_at, self._started_ns = time.perf_counter(), time.time_ns()
        with boundary.guard("client.begin"):
            waited = queues.waited()
            if waited is not None:
                self._said["queue_name"], self._said["queue_wait"] = waited
            recorder = transport.recorder()
            self.key = identity(self._known.operation, self._known.provider, self._known.request_model)
            self._span = self._open(recorder)
            self._recorder = recorder
            recorder.open.add(self)
            if recorder.costs is not None and self._known.provider in recorder.costs.OWN_SERVERS:
                self._stay = recorder.costs.stay(None, None, self._started_at)

    def _open(self, recorder: "recording.Recorder") -> Span:
        return recorder.tracer.start_span(
            self._known.span_name,
            context=self._parent,
            kind=SpanKind.CLIENT,
            attributes=self._known.attributes(),
            start_time=self._started_ns,
        )

    def end(self, error: BaseException | None = None) -> None:
        """End the span, once. ``error`` is what ended the call, if anything did."""
        try:
            self._once.pop()
        except IndexError:
            return
        if self._recorder is not None:
            self._recorder.open.discard(self)
        if self.pid != os.getpid():
            return  # a forked child's copy: the call is its parent's to end
        ended_at = time.perf_counter()
        try:
            with boundary.guard("client.end"):
                self._conclude(error, ended_at)
        finally:
            with boundary.ending(self):
                self._close(self._started_ns + round((ended_at - self._started_at) * 1e9))

    def fail(self, error: BaseException) -> None:
        """``error`` ended the call."""
        self.end(error)

    def close(self) -> None:
        """Nobody will read the answer any more."""
        self.end(GeneratorExit())

    def _close(self, ended_ns: int) -> None:
        if not self._is_outer:
            self._span.end(ended_ns)

    def give_up(self) -> None:
        """A fault of ours kept `end` from its work: end the span with what is on it."""
        self._once.clear()
        if self._recorder is not None:
            self._recorder.open.discard(self)
        if self.pid != os.getpid():
            return
        if not self._is_outer and self._span.is_recording():
            self._span.end()

    def _conclude(self, error: BaseException | None, ended_at: float) -> None:
        recorder = self._recorder
        if recorder is None:
            return  # it could not begin
        if self._stay is not None:
            with boundary.guard("record.cost"):
                self._stayed = self._stay(ended_at)
        told = self._tell(error, ended_at)
        if told["outcome"] == semconv.OUTCOME_ERROR:
            self._span.set_status(Status(StatusCode.ERROR, self._describe(error)))
            if error is not None:
                _log(error, self._span, told["error_type"])
        self._span.set_attributes(Call(**told, metadata=self._metadata).attributes())
        # What the tap added on the way is on the span: the metrics tell of both.
        whole = Call.from_attributes(getattr(self._span, "attributes", None) or {})
        if whole is not None:
            if whole.cost is None:
                whole = recorder.price(whole, self._stayed)
                if whole.cost is not None:
                    told = {semconv.COST_CURRENCY: whole.cost_currency, semconv.COST_SOURCE: whole.cost_source}
                    self._span.set_attributes({semconv.COST: whole.cost, **told})
            self._publish(whole)
            context = trace.set_span_in_context(self._span)
            shared = not peers.is_measured(self._span)
            recorder.metrics.record(whole, ended_at - self._started_at, context, self.key, shared=shared)

    def _describe(self, error: BaseException | None) -> str | None:
        """What went wrong, without secrets."""
        return scrub(_text(error)) or None if error is not None else None

    def _tell(self, error: BaseException | None, ended_at: float) -> dict[str, Any]:
        """What is known of the call now, as fields of a `Call`."""
        outcome = recording.outcome_of(error)
        told: dict[str, Any] = {"operation": self._known.operation, **self._said, "outcome": outcome}
        if outcome == semconv.OUTCOME_ERROR and error is not None:
            told["error_type"] = recording.qualified_name(type(error))
        if "input_tokens" in told or "output_tokens" in told:
            told.setdefault("usage_source", semconv.USAGE_SOURCE_PROVIDER)
        if self._first_token_at is not None:
            told["time_to_first_token"] = self._first_token_at - self._started_at
            tokens = told.get("output_tokens")
            measured = told.get("usage_source") == semconv.USAGE_SOURCE_PROVIDER and error is None
            if measured and tokens is not None and tokens > 1 and ended_at > self._first_token_at:
                told["time_per_output_token"] = (ended_at - self._first_token_at) / (tokens - 1)
        return told


def _text(error: BaseException) -> str:
    """What ``error`` says of itself, if it can."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the user's class may do anything
        return ""


def _log(error: BaseException, span: Span, kind: str) -> None:
    """Log ``error`` beside its span: its text without secrets, and the lines of code it came through."""
    with boundary.guard("client.log"):
        stack = "".join(traceback.format_tb(error.__traceback__, -_MOST_FRAMES))
        get_logger(semconv.SCOPE_NAME, semconv.SCOPE_VERSION).emit(
            LogRecord(
                timestamp=time.time_ns(),
                context=trace.set_span_in_context(span),
                severity_number=SeverityNumber.ERROR,
                severity_text="ERROR",
                event_name=semconv.EVENT_EXCEPTION,
                attributes={
                    semconv.EXCEPTION_TYPE: kind,
                    semconv.EXCEPTION_MESSAGE: scrub(_text(error)),
                    semconv.EXCEPTION_STACKTRACE: scrub(stack[-_LONGEST_STACK:], _LONGEST_STACK),
                },
            )
        )


def call(
    operation: str = semconv.OPERATION_CHAT,
    *,
    model: str | None = None,
    provider: str | None = None,
    parent: Context | None = None,
) -> ManualCall:
    """One inference, as ``with`` or ``async with``.

    Args:
        operation: ``chat``, ``text_completion``, ``generate_content`` or ``embeddings``.
        model: The model asked for.
        provider: Who serves it.
        parent: Context whose span is the parent; the current one where ``None``.
    """
    return ManualCall(Call(operation=operation, provider=provider, request_model=model), parent)


def current_call() -> ManualCall | None:
    """The innermost call told by hand around this code, as in a function under `otel_llm.traced`."""
    found = otel_context.get_value(_CALL)
    return found if isinstance(found, ManualCall) else None


_instruments: dict[tuple[str, str], Any] = {}


def metric(name: str, value: float, *, unit: str = "", **attributes: Value) -> None:
    """Measure something of your own: a histogram named ``name``, exported and stored like every other metric.

    Args:
        name: In dotted lower case, e.g. ``app.answer.score``.
        value: Not negative.
        unit: UCUM, e.g. ``s``, ``By``, ``{document}``.
        **attributes: Few values each; the SDK keeps 2,000 combinations of an instrument.
    """
    with boundary.guard("client.metric"):
        key = (name, unit)
        instrument = _instruments.get(key)
        if instrument is None:
            if len(_instruments) >= _MAX_INSTRUMENTS:
                message = f"metric: expected at most {_MAX_INSTRUMENTS} names, found one more"
                raise ValueError(message)
            meter = metrics.get_meter(semconv.SCOPE_NAME, semconv.SCOPE_VERSION)
            instrument = _instruments.setdefault(key, meter.create_histogram(name, unit=unit))
        instrument.record(value, attributes)
