"""Anthropic's Messages bodies, at Anthropic itself, on Vertex and behind proxies; text completions of old. Pure.

Anthropic's ``input_tokens`` exclude cache reads and writes; the convention's include them, so they are added.
Source: Anthropic API reference (Messages, streaming), recorded exchanges.
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
    items,
    mapping,
    number,
    parse,
    stated,
    text,
    texts,
    tier,
)
from otel_llm.record.providers import hosts as host_names

PATHS: Final = ("/v1/messages", "/v1/complete", ":rawPredict", ":streamRawPredict")

_VERTEX: Final = "/publishers/anthropic/models/"
_COUNTING: Final = "count-tokens:"
"""In place of a model: Vertex counts the tokens of a body and asks no model."""


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type."""

    model: Any = None
    stream: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    max_tokens: Any = None
    max_tokens_to_sample: Any = None
    stop_sequences: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    path = request.path
    _, on_vertex, named = path.partition(_VERTEX)
    completes = path.endswith("/v1/complete")
    if not on_vertex and not completes and not path.endswith("/v1/messages"):
        return None
    if named.startswith(_COUNTING):
        return None
    body = parse(request.body, _Body)
    model = text(body.model) or (named.rpartition(":")[0] if on_vertex else None)
    provider = host_names.by_host(request.host, request.port, hosts)
    if provider is None:
        said = body.max_tokens_to_sample if completes else model
        if said is None and "anthropic-version" not in request.headers and not request.certain:
            return None
        provider = "gcp.vertex_ai" if on_vertex else "anthropic"
    stream = flag(body.stream)
    if stream is None and on_vertex and path.endswith(":streamRawPredict"):
        stream = True
    return Opening(
        operation=semconv.OPERATION_TEXT_COMPLETION if completes else semconv.OPERATION_CHAT,
        provider=provider,
        model=model,
        request=stated(
            stream=stream,
            temperature=number(body.temperature),
            top_p=number(body.top_p),
            top_k=number(body.top_k),
            max_tokens=first(count(body.max_tokens), count(body.max_tokens_to_sample)),
            stop_sequences=texts(body.stop_sequences),
        ),
    )


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    kind = message.get("type")
    if kind == "message":
        return _read_message(message, facts)
    if kind == "message_start":
        facts.promised = True
        _read_message(mapping(message.get("message")), facts)
        facts.output_tokens = None  # a placeholder: the last event tells how many there were
    elif kind == "content_block_start":
        block = mapping(message.get("content_block"))
        return block.get("type") not in ("text", "thinking") or bool(block.get("text"))
    elif kind == "content_block_delta":
        delta = mapping(message.get("delta"))
        return any(delta.get(name) for name in ("text", "thinking", "partial_json", "citation"))
    elif kind == "message_delta":
        _read_stop(mapping(message.get("delta")), facts)
        _read_usage(mapping(message.get("usage")), facts)
    elif kind == "completion":
        facts.promised |= "stop_reason" in message
        _read_message(message, facts)
        return bool(message.get("completion"))
    elif kind == "message_stop":
        facts.done = True
    elif kind == "error" or message.get("error"):
        error = mapping(message.get("error"))
        facts.failed = True
        facts.error_code = text(error.get("type")) or text(error.get("code"))
        facts.error_message = text(error.get("message"))
    else:
        return _read_message(message, facts)
    return False


def _read_message(message: Mapping[str, Any], facts: Facts) -> bool:
    facts.response_id = text(message.get("id")) or facts.response_id
    facts.response_model = text(message.get("model")) or facts.response_model
    _read_stop(message, facts)
    _read_usage(mapping(message.get("usage")), facts)
    return bool(items(message.get("content")))


def _read_stop(holder: Mapping[str, Any], facts: Facts) -> None:
    reason = text(holder.get("stop_reason"))
    if reason:
        facts.finish[0] = reason


def _read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    """Add one ``usage``. The last event repeats some fields and leaves others out, or at zero."""
    read = first(count(usage.get("cache_read_input_tokens")), facts.cache_read_input_tokens)
    created = first(count(usage.get("cache_creation_input_tokens")), facts.cache_creation_input_tokens)
    fresh = count(usage.get("input_tokens"))
    if fresh is None or (fresh == 0 and facts.input_tokens):
        known = facts.input_tokens or 0
        before = (facts.cache_read_input_tokens or 0) + (facts.cache_creation_input_tokens or 0)
        fresh = known - before if facts.input_tokens is not None else None
    if fresh is not None:
        facts.input_tokens = fresh + (read or 0) + (created or 0)
    facts.cache_read_input_tokens = read
    facts.cache_creation_input_tokens = created
    facts.output_tokens = first(count(usage.get("output_tokens")), facts.output_tokens)
    facts.service_tier = tier(usage.get("service_tier")) or facts.service_tier
    thinking = mapping(usage.get("output_tokens_details")).get("thinking_tokens")
    facts.reasoning_output_tokens = first(count(thinking), facts.reasoning_output_tokens)
