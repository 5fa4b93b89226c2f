"""Inference without a wire: what the files in `local`, one for each library that runs a model here, have in common.

They say what was asked and how to read a result; here it becomes one span, told as the client SDK tells it. Never two:
a library's functions call each other, a call of the client SDK may stand around, and a server in this same process may
be answering a call that the tap has seen already.
"""

import inspect
import os
import socket
import time
from collections.abc import Callable, Generator, Mapping
from functools import partial
from types import GeneratorType
from typing import Any, Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_llm import boundary, listeners, semconv
from otel_llm.calls import Call
from otel_llm.record import peers, recording, transport
from otel_llm.record.account import UNNAMED_ERROR
from otel_llm.record.client import ManualCall
from otel_llm.record.exchange import Facts, Opening, text
from otel_llm.suppression import is_instrumentation_enabled

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_REMEMBERED: Final = 2.0
"""How long the ports that this process listens on are taken for the same [s]."""


class Inference(ManualCall):
    """One call of a model in this process; inside a call of somebody's own it completes that one's span.

    Attributes:
        facts: What its results said so far.
        estimated: The counts are no one's report.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(
            Call(
                operation=opening.operation,
                provider=opening.provider,
                request_model=opening.model,
            )
        )
        self._said.update(opening.request)
        self._chunks = 0
        self._output_chunks = 0
        self._chunk_at: float | None = None
        self._body = opening.body
        self.facts = Facts()
        self.estimated = False

    @property
    def context(self) -> Context:
        """To be current while the library works: what it calls in turn is part of this call."""
        return otel_context.set_value(recording.UNDER_WAY, self._once, super().context)

    def chunk(self, *, carries: bool) -> None:
        """The next message of a stream came; ``carries`` output or not."""
        now = time.perf_counter()
        self._chunks += 1
        if self._chunk_at is None:
            self._said["time_to_first_chunk"] = now - self._started_at
        else:
            gap = now - self._chunk_at
            self._said["stream_max_gap"] = max(gap, self._said.get("stream_max_gap", 0.0))
        self._chunk_at = now
        if carries:
            self._output_chunks += 1
            self.first_token()

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take the content of a result in OpenAI's format, or of one event of it, where content is asked for."""
        if self._content is not None:
            with boundary.guard("record.content"):
                self._content.hear(message)

    def begin(self) -> None:
        """Start the span, and take what was asked."""
        super().begin()
        body, self._body = self._body, None
        if body is not None:
            with boundary.guard("record.content"):
                taken = self._take_content()
                if taken is not None:
                    taken.ask(body)

    def first_token_after(self, seconds: float) -> None:
        """The library itself says when its first token came, after the start [s]."""
        self._first_token_at = self._started_at + seconds

    def _open(self, recorder: "recording.Recorder") -> Span:
        outer = peers.outer_span(otel_context.get_current())
        self._is_outer = outer is not None
        return outer or super()._open(recorder)

    def _conclude(self, error: BaseException | None, ended_at: float) -> None:
        outer = self._span
        if not self._is_outer or self._recorder is None:
            super()._conclude(error, ended_at)
            return
        told = {**self._tell(error, ended_at), "provider": self._known.provider}
        call = Call(**told, request_model=self._known.request_model)
        if self._stay is not None:
            with boundary.guard("record.cost"):
                self._stayed = self._stay(ended_at)
        call = self._recorder.price(call, self._stayed)
        peers.enrich(outer, call)
        self._publish(call)
        if not peers.is_told_by_hand(outer):
            context, shared = trace.set_span_in_context(outer), not peers.is_measured(outer)
            self._recorder.metrics.record(call, ended_at - self._started_at, context, self.key, shared=shared)

    def _describe(self, error: BaseException | None) -> str | None:
        return super()._describe(error) or self.facts.error_message

    def _tell(self, error: BaseException | None, ended_at: float) -> dict[str, Any]:
        facts = self.facts
        facts.tell(self._said)
        if facts.finish:
            self._said["finish_reasons"] = tuple(reason for _, reason in sorted(facts.finish.items()))
        if self._chunks:
            self._said["stream_chunks"] = self._chunks
        counted = facts.input_tokens is not None or facts.output_tokens is not None
        if self._output_chunks and not counted and not facts.failed:
            self._said["output_tokens"] = self._output_chunks
            self.estimated = True
        if self.estimated:
            self._said["usage_source"] = semconv.USAGE_SOURCE_ESTIMATED
        told = super()._tell(error, ended_at)
        if facts.failed and error is None:
            told["outcome"] = semconv.OUTCOME_ERROR
            told["error_type"] = facts.error_code or UNNAMED_ERROR
        return told


class Read(Protocol):
    """Adds what a result, or one item of a stream, says; whether it carries output."""

    def __call__(self, result: Any, inference: Inference, /) -> bool:
        """See above."""
        ...


def perform(ask: Callable[[], Opening], step: Callable[[], Any], read: Read) -> Any:
    """Do ``step`` as one inference: its result, or each item of the generator that it is, is read as it passes."""
    inference = begin(ask)
    if inference is None:
        return step()
    result = run(inference, step)
    if isinstance(result, GeneratorType):
        held = None
        with boundary.guard("local.stream"):
            held = transport.Orphan(inference)
        return _stream(result, inference, read, held)
    with boundary.guard("local.read"):
        read(result, inference)
    with boundary.ending(inference):
        inference.end()
    return result


def begin(ask: Callable[[], Opening]) -> Inference | None:
    """An inference that has begun, as ``ask`` says; ``None`` where it must not be seen or is seen already."""
    with boundary.guard("local.begin"):
        if not transport.is_on() or not is_instrumentation_enabled() or otel_context.get_value(recording.UNDER_WAY):
            return None
        if _is_answer(transport.recorder()):
            return None
        transport.reaper.attend()
        inference = Inference(ask())
        # Last, for a fault after it would leave a span that nobody ends.
        inference.begin()
        return inference
    return None


def run(inference: Inference, step: Callable[[], Any]) -> Any:
    """Do ``step`` with the call's span current; an exception ends the call."""
    token = None
    with boundary.guard("local.enter"):
        token = otel_context.attach(inference.context)
    try:
        return step()
    except BaseException as error:
        with boundary.ending(inference):
            inference.end(error)
        raise
    finally:
        with boundary.guard("local.leave"):
            recording.Recording.leave(token)


def _stream(
    items: Generator[Any, Any, Any], inference: Inference, read: Read, _held: transport.Orphan | None
) -> Generator[Any, Any, Any]:
    """``items`` as they are; ``_held`` ends the call of a stream that is let go before it is begun."""
    context = otel_context.get_current()
    with boundary.guard("local.enter"):
        context = inference.context
    try:
        while True:
            token = otel_context.attach(context)
            try:
                item = next(items)
            except StopIteration as stop:
                return stop.value
            finally:
                with boundary.guard("local.leave"):
                    recording.detach(token)
            with boundary.guard("local.read"):
                inference.chunk(carries=read(item, inference))
            yield item
    except BaseException as error:
        with boundary.ending(inference):
            transport.fail(inference, error)
        raise
    finally:
        items.close()
        with boundary.ending(inference):
            inference.end()


def stated(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a caller of the bound ``function`` says, by the names of its parameters; defaults are not said."""
    if not args:
        return kwargs
    try:
        return inspect.signature(function).bind_partial(*args, **kwargs).arguments | dict(kwargs)
    except (TypeError, ValueError):
        return kwargs


def base_name(model: object) -> str | None:
    """A model's name, of a file without its folders: those tell of the user's machine."""
    name = text(model)
    return os.path.basename(name) if name and os.path.isabs(name) else name  # noqa: PTH117, PTH119 - a string, no file


def _is_answer(recorder: "recording.Recorder") -> bool:
    """Whether a server in this process answers a call that the tap has seen: it goes to a port that we listen on."""
    ports = {port for host, port in map(_place, list(recorder.open)) if host in _HERE or host == _name()}
    ports.discard(None)
    return bool(ports) and not ports.isdisjoint(_listening())


def _place(call: object) -> tuple[str | None, int | None]:
    attempt = getattr(call, "_attempt", None)
    return (attempt.host, attempt.port) if attempt is not None else (None, None)


def _name() -> str:
    return socket.gethostname().lower()


_seen: dict[str, Any] = {}


def _listening() -> frozenset[int]:
    """The TCP ports that this process listens on, as of a moment ago."""
    now = time.monotonic()
    if _seen.get("pid") != os.getpid() or now - _seen["at"] > _REMEMBERED:
        _seen["ports"] = listeners.ports()
        _seen["pid"], _seen["at"] = os.getpid(), now
    ports: frozenset[int] = _seen["ports"]
    return ports


def wrapper(make: Callable[..., tuple[Callable[[], Opening], Read]]) -> Callable[..., Any]:
    """A wrapper for `wrapt` around a library's method: ``make`` says what is asked and how to read what comes."""

    def wrap(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step = partial(wrapped, *args, **kwargs)
        made = None
        with boundary.guard("local.begin"):
            made = make(wrapped, instance, args, kwargs)
        return step() if made is None else perform(made[0], step, made[1])

    return wrap
