"""What becomes of the content of calls: whether it is wanted, by what it passes, where it goes.

The convention's variable says whether: nowhere (as long as it is not set), on the span, in an event, or both. On its
way it loses keys, is cut to its bounds and passes the user's own hook; a hook that fails lets nothing pass.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import msgspec
from opentelemetry import _logs, trace
from opentelemetry.trace import Span

from otel_llm import boundary, semconv
from otel_llm.calls import Call
from otel_llm.record import framing
from otel_llm.record.content import Content, Redact, anthropic, bedrock, gemini, hooks, openai, plain
from otel_llm.record.content.fit import fit
from otel_llm.record.content.listening import HELD, Listening
from otel_llm.record.content.shape import Answer, Asked
from otel_llm.record.content.told import Told
from otel_llm.record.exchange import Format, Request
from otel_llm.record.reading import Reading
from otel_llm.record.settings import ContentConfig

_LARGEST_REQUEST: Final = 16 * 1024 * 1024
"""[byte] A larger body is not read a second time."""

_READERS: Final[
    Mapping[str, tuple[Callable[[Mapping[str, Any]], Asked], Callable[[Mapping[str, Any], Answer], None]]]
] = {
    "openai": (openai.asked, openai.heard),
    "anthropic": (anthropic.asked, anthropic.heard),
    "gemini": (gemini.asked, gemini.heard),
    "bedrock": (bedrock.asked, bedrock.heard),
    "ollama": (plain.asked, plain.hear_ollama),
    "cohere": (plain.asked, plain.hear_cohere),
    "llamacpp": (plain.asked, plain.hear_llamacpp),
    "tgi": (plain.asked, plain.hear_tgi),
    "watsonx": (plain.ask_watsonx, plain.hear_watsonx),
    "interactions": (openai.asked, plain.hear_interactions),
}
"""By format, what reads its requests and its answers."""

_EMITTING_SCOPES: Final = ("opentelemetry.instrumentation.", "opentelemetry.util.genai")
"""Instrumentations that emit the convention's event themselves, from the same variable."""

_PLACES: Final[Mapping[str, tuple[bool, bool]]] = {
    "NO_CONTENT": (False, False),
    "SPAN_ONLY": (True, False),
    "EVENT_ONLY": (False, True),
    "SPAN_AND_EVENT": (True, True),
    "TRUE": (True, False),
    "FALSE": (False, False),
}


def places(environ: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether content goes on the span, and whether into an event."""
    said = environ.get(semconv.CAPTURE_MESSAGE_CONTENT, "").strip()
    if not said:
        return False, False
    found = _PLACES.get(said.upper())
    if found is None:
        known = ", ".join(name for name in _PLACES if name.isupper() and "_" in name)
        boundary.logger.warning(
            "environment %s: expected one of %s, found %r; no content is recorded",
            *(semconv.CAPTURE_MESSAGE_CONTENT, known, said),
        )
        return False, False
    on_span, in_event = found
    return on_span, in_event and environ.get(semconv.EMIT_EVENT, "").strip().lower() != "false"


def capture_for(config: ContentConfig) -> "Capture | None":
    """What captures content in this process; ``None`` where none is wanted, or its hook cannot be had."""
    on_span, in_event = places(os.environ)
    if not (on_span or in_event):
        return None
    hook = hooks.get("code")
    if hook is None and config.redact is not None:
        try:
            hook = _load(config.redact)
        except Exception as error:  # noqa: BLE001 - it is the user's module that is imported
            boundary.logger.warning(
                "record.content.redact: expected module:function, found %r (%s); no content is recorded",
                *(config.redact, type(error).__name__),
            )
            return None
    return Capture(on_span=on_span, in_event=in_event, limit=min(HELD, config.max_size), redact=hook)


def _load(path: str) -> Redact:
    module, _, name = path.partition(":")
    hook: Any = import_module(module)
    for part in name.split("."):
        hook = getattr(hook, part)
    if not callable(hook):
        raise TypeError(path)
    return hook  # type: ignore[no-any-return]


class Capture:
    """Begins what captures one call's content, and publishes what came of it.

    Args:
        on_span: Publish as attributes of the span.
        in_event: Publish in an event.
        limit: Of one attribute's JSON text [byte].
        redact: The user's hook.
    """

    def __init__(self, *, on_span: bool, in_event: bool, limit: int, redact: Redact | None) -> None:
        self._on_span = on_span
        self._in_event = in_event
        self._limit = limit
        self._redact = redact

    def begin(self, known: Any, operation: str, request: Request) -> "Captured | None":
        """What captures the content of ``request`` and its answer; ``None`` where its format tells none."""
        if operation == semconv.OPERATION_EMBEDDINGS:
            return None
        with boundary.guard("record.content"):
            name = str(getattr(known, "__name__", "")).rpartition(".")[2]
            asked, heard = getattr(known, "asked", None), getattr(known, "heard", None)
            if asked is None or heard is None:
                asked, heard = _READERS.get(name, (None, None))
            if asked is not None and heard is not None:
                return Captured(asked, heard, request, self._limit)
        return None

    def told(self) -> Told:
        """What takes the content of one call as values."""
        return Told(self._limit)

    def publish(self, span: Span, captured: "Captured | Told", reasons: Mapping[int, str], call: Call) -> None:
        """Put what was captured where it is wanted.

        Args:
            span: The call's, perhaps another instrumentation's: what it has already stays.
            captured: All of it.
            reasons: Finish reason of each choice.
            call: As it ended, for the event.
        """
        with boundary.guard("record.content"):
            content, truncated = captured.finish(reasons)
            content = self._redacted(content)
            if not content or not span.is_recording():
                return
            more = {semconv.TRUNCATED: True} if truncated else {}
            if self._on_span:
                said = getattr(span, "attributes", None) or {}
                fresh = {name: value for name, value in content.items() if name not in said}
                span.set_attributes({name: msgspec.json.encode(value).decode() for name, value in fresh.items()})
                span.set_attributes(more if fresh else {})
            if self._in_event and not _emits_itself(span):
                self._emit(span, {**call.attributes(), **content, **more})

    @staticmethod
    def _emit(span: Span, attributes: dict[str, Any]) -> None:
        record = _logs.LogRecord(
            event_name=semconv.EVENT_INFERENCE_DETAILS,
            attributes=attributes,
            context=trace.set_span_in_context(span),
        )
        _logs.get_logger(semconv.SCOPE_NAME, semconv.SCOPE_VERSION).emit(record)

    def _redacted(self, content: Content) -> Content:
        """What the hook lets pass, in bounds again: nothing where it fails."""
        if self._redact is None or not content:
            return content
        kept = self._redact(content)
        if not isinstance(kept, dict):
            return {}
        fitted = {name: fit(kept[name], self._limit)[0] for name in semconv.CONTENT if isinstance(kept.get(name), list)}
        return {name: value for name, value in fitted.items() if value}


class _Aloud(Reading):
    """A reading that hands on each piece, inflated, before it reads it."""

    __slots__ = ("_captured",)

    def __init__(self, captured: "Captured", *values: Any, array: bool) -> None:
        super().__init__(*values, array=array)
        self._captured = captured

    def feed(self, piece: bytes) -> None:
        if self._inflater is None:
            self._captured.feed(piece)
        super().feed(piece)

    def _take(self, piece: bytes, now: float) -> None:
        self._captured.feed(piece)
        super()._take(piece, now)


def _emits_itself(span: Span) -> bool:
    scope = getattr(span, "instrumentation_scope", None)
    return scope is not None and scope.name.startswith(_EMITTING_SCOPES)


class Captured:
    """The content of one call while it happens: `reading`, `feed`, then `finish`.

    Args:
        asked: Reads a request's body.
        heard: Reads a message of the answer.
        request: Its body is read at once and not held.
        limit: Of one attribute's JSON text [byte].
    """

    __slots__ = ("_asked", "_heard", "_limit", "_listening", "_truncated")

    def __init__(
        self,
        asked: Callable[[Mapping[str, Any]], Asked],
        heard: Callable[[Mapping[str, Any], Answer], None],
        request: Request,
        limit: int,
    ) -> None:
        self._heard = heard
        self._limit = limit
        self._listening: Listening | None = None
        self._truncated = False
        self._asked: Content = {}
        body = request.body
        if body is None or len(body) > _LARGEST_REQUEST:
            self._truncated = body is not None
            return
        value = framing.decode(body)
        if isinstance(value, dict):
            said = asked(value)
            self._keep(semconv.SYSTEM_INSTRUCTIONS, said.system)
            self._keep(semconv.INPUT_MESSAGES, said.messages, newest=True)
            self._keep(semconv.TOOL_DEFINITIONS, said.tools)

    def _keep(self, name: str, items: list[dict[str, Any]], *, newest: bool = False) -> None:
        kept, truncated = fit(items, self._limit, newest=newest)
        self._truncated |= truncated
        if kept:
            self._asked[name] = kept

    def reading(
        self,
        format: Format,  # noqa: A002 - the word for it
        clock: Callable[[], float],
        content_type: str,
        inflater: framing.Inflater | None,
        *,
        array: bool = False,
    ) -> Reading:
        """A reading of the answer that lets this hear it too."""
        self._listening = Listening(self._heard, content_type, array=array)
        return _Aloud(self, format, clock, content_type, inflater, array=array)

    def feed(self, piece: bytes) -> None:
        """The next piece of the body; a fault of ours ends the listening and nothing else."""
        if self._listening is not None:
            try:
                self._listening.feed(piece)
            except Exception as error:  # noqa: BLE001 - the boundary
                self._listening, self._truncated = None, True
                boundary.swallow("record.content", error)

    def finish(self, reasons: Mapping[int, str]) -> tuple[Content, bool]:
        """The call's content, and whether some of it was cut.

        Args:
            reasons: Finish reason of each choice.
        """
        content = dict(self._asked)
        truncated = self._truncated
        if self._listening is not None:
            self._listening.finish()
            answer = self._listening.answer
            kept, cut = fit(answer.messages(reasons), self._limit)
            truncated |= answer.truncated or cut
            if kept:
                content[semconv.OUTPUT_MESSAGES] = kept
        return {name: content[name] for name in semconv.CONTENT if name in content}, truncated
