"""Cohere's own bodies: chat and embed of version 2, chat, generate and embed of version 1. Pure.

Tokens are those that the model saw (``tokens``); where only billed ones are told, those. A stream of version 1 is one
JSON object a line or server-sent events. Source: Cohere API reference v1 and v2 (chat, chat-stream, generate, embed).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.record.exchange import (
    Facts,
    Opening,
    Request,
    count,
    first,
    flag,
    integer,
    items,
    mapping,
    number,
    parse,
    stated,
    text,
    texts,
)
from otel_llm.record.providers import hosts as host_names

PATHS: Final = ("/v2/chat", "/v2/embed", "/v1/chat", "/v1/generate", "/v1/embed")

_OPERATIONS: Final = {
    "chat": semconv.OPERATION_CHAT,
    "generate": semconv.OPERATION_TEXT_COMPLETION,
    "embed": semconv.OPERATION_EMBEDDINGS,
}


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type."""

    model: Any = None
    stream: Any = None
    message: Any = None
    messages: Any = None
    prompt: Any = None
    texts: Any = None
    chat_history: Any = None
    connectors: Any = None
    documents: Any = None
    input_type: Any = None
    temperature: Any = None
    p: Any = None
    k: Any = None
    max_tokens: Any = None
    seed: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    stop_sequences: Any = None
    num_generations: Any = None
    embedding_types: Any = None
    output_dimension: Any = None


class _PlainChat(msgspec.Struct, forbid_unknown_fields=True):
    """A chat of version 1 that names no model, and states nothing that Cohere does not know."""

    message: str = ""
    stream: bool | None = None
    num_generations: int | None = None
    preamble: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    p: float | None = None
    k: int | None = None
    seed: int | None = None

    @property
    def asks(self) -> bool:
        """Whether it is one: a message alone is any web application's."""
        return bool(self.message) and (self.stream is not None or self.num_generations is not None)


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    _, version, name = request.path.rsplit("/", 2)
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    known = provider == "cohere" or request.certain or _is_ours(version + name, body)
    if not (known or (version + name == "v1chat" and parse(request.body, _PlainChat).asks)):
        return None
    choices = count(body.num_generations)
    return Opening(
        operation=_OPERATIONS[name],
        provider=provider or "cohere",
        model=text(body.model),
        request=stated(
            stream=flag(body.stream),
            temperature=number(body.temperature),
            top_p=number(body.p),
            top_k=number(body.k),
            max_tokens=count(body.max_tokens),
            seed=integer(body.seed),
            frequency_penalty=number(body.frequency_penalty),
            presence_penalty=number(body.presence_penalty),
            stop_sequences=texts(body.stop_sequences),
            choice_count=choices if choices != 1 else None,
            encoding_formats=texts(body.embedding_types),
            dimension_count=count(body.output_dimension),
        ),
    )


def _is_ours(door: str, body: _Body) -> bool:
    """Whether a body at a host that nobody knows looks like Cohere's; version 1 has a default model."""
    named = text(body.model) is not None
    if door == "v2chat":
        return named and isinstance(body.messages, list)
    if door == "v1chat":
        others = (body.chat_history, body.connectors, body.documents)
        return isinstance(body.message, str) and (named or any(isinstance(value, list) for value in others))
    if door == "v1generate":
        return isinstance(body.prompt, str)
    return isinstance(body.texts, list) if named else text(body.input_type) is not None


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    kind = text(message.get("event_type"))
    if kind:
        return _read_event_of_1(kind, message, facts)
    kind = text(message.get("type"))
    if kind:
        return _read_event_of_2(kind, message, facts)
    return read_body(message, facts)


def read_body(body: Mapping[str, Any], facts: Facts) -> bool:
    """Add what a whole answer says, or the one that the last event of a stream holds; whether it carries output."""
    if isinstance(body.get("message"), str) and not body.get("text"):
        facts.failed = True  # an error is a bare sentence; its id is no answer's
        facts.error_message = text(body["message"])
        return False
    facts.response_id = text(body.get("response_id")) or facts.response_id or text(body.get("id"))
    facts.response_id = facts.response_id or text(body.get("generation_id"))
    _read_finish(body.get("finish_reason"), 0, facts)
    for position, generation in enumerate(items(body.get("generations"))):
        _read_finish(mapping(generation).get("finish_reason"), position, facts)
    read_usage(mapping(body.get("usage")) or mapping(body.get("meta")), facts)
    return any(body.get(name) for name in ("message", "text", "generations", "tool_calls", "embeddings"))


def _read_event_of_1(kind: str, event: Mapping[str, Any], facts: Facts) -> bool:
    facts.promised = True
    if kind == "stream-start":
        facts.response_id = text(event.get("generation_id")) or facts.response_id
    elif kind == "stream-end":
        facts.done = True
        read_body(mapping(event.get("response")), facts)
        _read_finish(event.get("finish_reason"), 0, facts)
    else:
        return any(event.get(name) for name in ("text", "tool_calls", "tool_call_delta"))
    return False


def _read_event_of_2(kind: str, event: Mapping[str, Any], facts: Facts) -> bool:
    facts.promised = True
    delta = mapping(event.get("delta"))
    if kind == "message-start":
        facts.response_id = text(event.get("id")) or facts.response_id
    elif kind == "message-end":
        facts.done = True
        _read_finish(delta.get("finish_reason"), 0, facts)
        if text(delta.get("error")):
            facts.failed = True
            facts.error_message = text(delta["error"])
        read_usage(mapping(delta.get("usage")), facts)
    else:
        message = mapping(delta.get("message"))
        content = mapping(message.get("content"))
        return bool(
            content.get("text") or content.get("thinking") or message.get("tool_plan") or message.get("tool_calls")
        )
    return False


def _read_finish(reason: object, index: int, facts: Facts) -> None:
    named = text(reason)
    if named:
        facts.finish[index] = named
        facts.failed |= named == "ERROR"


def read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    """Tokens of a ``usage`` (version 2) or ``meta`` (version 1)."""
    seen, billed = mapping(usage.get("tokens")), mapping(usage.get("billed_units"))
    facts.input_tokens = first(count(seen.get("input_tokens")), count(billed.get("input_tokens")), facts.input_tokens)
    facts.output_tokens = first(
        count(seen.get("output_tokens")), count(billed.get("output_tokens")), facts.output_tokens
    )
    facts.cache_read_input_tokens = first(count(usage.get("cached_tokens")), facts.cache_read_input_tokens)
