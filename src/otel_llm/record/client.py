"""The client SDK: one inference as a context manager or decorator, for code that has no wire or wants its own span.

The span is current inside the block, so a call that the tap sees there enriches it instead of making a second one. An
exception is recorded and goes on its way; nothing of ours raises into the block.
"""

import functools
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_llm import boundary, semconv
from otel_llm.calls import Call, Value
from otel_llm.record import recording
from otel_llm.record.metrics import identity
from otel_llm.redaction import scrub

_F = TypeVar("_F", bound=Callable[..., Any])

_MAX_INSTRUMENTS: Final = 500


class ManualCall:
    """One inference, told by hand; made by `call`. Durations are taken on the monotonic clock [s].

    Use it once, as ``with`` or ``async with``. Its methods may be called from any thread or task.
    """

    def __init__(self, known: Call, parent: Context | None) -> None:
        self._known = known
        self._parent = parent
        self._said: dict[str, Any] = {}
        self._metadata: dict[str, Value] = {}
        self._span: Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None
        self._started_at = 0.0
        self._started_ns = 0
        self._first_token_at: float | None = None
        self._once = [True]
        self._key = identity(known.operation, known.provider, known.request_model)

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
        reasoning_output_tokens: int | None = None,
    ) -> None:
        """Tokens as the model reported them, cached ones included in the input. ``None`` is not said."""
        told = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cache_read_input_tokens": cache_read_input_tokens,
            "reasoning_output_tokens": reasoning_output_tokens,
        }
        self._said.update({name: tokens for name, tokens in told.items() if tokens is not None})

    def finish(self, reason: str) -> None:
        """Why the model stopped, e.g. ``stop`` or ``length``; once for each alternative."""
        self._said["finish_reasons"] = (*self._said.get("finish_reasons", ()), str(reason))

    def response(self, *, model: str | None = None, id: str | None = None) -> None:  # noqa: A002 - the field's word
        """Which model answered, and the answer's id."""
        told = {"response_model": model, "response_id": id}
        self._said.update({name: value for name, value in told.items() if value is not None})

    def metadata(self, **values: Value) -> None:
        """Values of your own, kept on the span under ``otel_llm.metadata.*``."""
        self._metadata.update(values)

    def __enter__(self) -> Self:
        self.begin()
        with boundary.guard("client.attach"):
            self._token = otel_context.attach(trace.set_span_in_context(self._span, self._parent))
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            recording.detach(self._token)
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
            recorder = recording.shared()
            self._span = recorder.tracer.start_span(
                self._known.span_name,
                context=self._parent,
                kind=SpanKind.CLIENT,
                attributes=self._known.attributes(),
                start_time=self._started_ns,
            )
            recorder.metrics.begin(self._key)

    def end(self, error: BaseException | None = None) -> None:
        """End the span, once. ``error`` is what ended the call, if anything did."""
        try:
            self._once.pop()
        except IndexError:
            return
        ended_at = time.perf_counter()
        try:
            with boundary.guard("client.end"):
                self._conclude(error, ended_at)
        finally:
            with boundary.guard("client.span"):
                self._span.end(self._started_ns + round((ended_at - self._started_at) * 1e9))

    def _conclude(self, error: BaseException | None, ended_at: float) -> None:
        recorder = recording.shared()
        recorder.metrics.end(self._key)
        outcome = recording.outcome_of(error)
        told: dict[str, Any] = {"operation": self._known.operation, **self._said, "outcome": outcome}
        if outcome == semconv.OUTCOME_ERROR and error is not None:
            told["error_type"] = recording.qualified_name(type(error))
            self._span.set_status(Status(StatusCode.ERROR, scrub(str(error)) or None))
        if "input_tokens" in told or "output_tokens" in told:
            told["usage_source"] = semconv.USAGE_SOURCE_PROVIDER
        if self._first_token_at is not None:
            told["time_to_first_token"] = self._first_token_at - self._started_at
            tokens = told.get("output_tokens")
            if tokens is not None and tokens > 1 and ended_at > self._first_token_at and error is None:
                told["time_per_output_token"] = (ended_at - self._first_token_at) / (tokens - 1)
        self._span.set_attributes(Call(**told, metadata=self._metadata).attributes())
        # What the tap added on the way is on the span: the metrics tell of both.
        whole = Call.from_attributes(getattr(self._span, "attributes", None) or {})
        if whole is not None:
            context = trace.set_span_in_context(self._span)
            recorder.metrics.record(whole, ended_at - self._started_at, context)


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


def traced(
    operation: str = semconv.OPERATION_CHAT, *, model: str | None = None, provider: str | None = None
) -> Callable[[_F], _F]:
    """Make each call of a function one inference: plain, ``async``, generator or async generator.

    A generator's first item counts as its first token, and its span ends with it, however it ends. For arguments see
    `call`.
    """
    make = functools.partial(call, operation, model=model, provider=provider)

    def decorate(function: _F) -> _F:
        wrap = next(wrap for fits, wrap in _WRAPPERS if fits(function))
        return cast(_F, functools.wraps(function)(wrap(make, function)))

    return decorate


def _wrap(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return wrapper


def _wrap_async(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        async with make():
            return await function(*args, **kwargs)

    return wrapper


def _wrap_generator(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, None, Any]:
        return (yield from _stream(make(), function(*args, **kwargs)))

    return wrapper


def _wrap_async_generator(make: Callable[[], ManualCall], function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with aclosing(_stream_async(make(), function(*args, **kwargs))) as items:
            async for item in items:
                yield item

    return wrapper


_WRAPPERS: Final = (
    (inspect.isasyncgenfunction, _wrap_async_generator),
    (inspect.isgeneratorfunction, _wrap_generator),
    (inspect.iscoroutinefunction, _wrap_async),
    (callable, _wrap),
)
"""By kind of function, the first that fits."""


def _stream(manual: ManualCall, items: Any) -> Generator[Any, None, Any]:
    manual.begin()
    current = trace.set_span_in_context(manual.span)
    try:
        while True:
            token = otel_context.attach(current)
            try:
                item = next(items)
            except StopIteration as stop:
                return stop.value
            finally:
                recording.detach(token)
            manual.first_token()
            yield item
    except BaseException as error:
        manual.end(error)
        raise
    finally:
        items.close()
        manual.end()


async def _stream_async(manual: ManualCall, items: Any) -> AsyncGenerator[Any, None]:
    manual.begin()
    current = trace.set_span_in_context(manual.span)
    try:
        while True:
            token = otel_context.attach(current)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            finally:
                recording.detach(token)
            manual.first_token()
            yield item
    except BaseException as error:
        manual.end(error)
        raise
    finally:
        await items.aclose()
        manual.end()


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
