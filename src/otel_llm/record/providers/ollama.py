"""Ollama's own bodies: chat, generate, embed. Pure.

A stream is one JSON object a line, and the default when the request does not say ``stream``. The last object tells
tokens and the server's own clock, in nanoseconds. Source: Ollama API reference (docs/api.md).
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
    mapping,
    number,
    parse,
    seconds,
    stated,
    text,
    texts,
)
from otel_llm.record.providers import hosts as host_names

PATHS: Final = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings")

_OPERATIONS: Final = {
    "chat": semconv.OPERATION_CHAT,
    "generate": semconv.OPERATION_TEXT_COMPLETION,
    "embed": semconv.OPERATION_EMBEDDINGS,
    "embeddings": semconv.OPERATION_EMBEDDINGS,
}
_NANOSECOND: Final = 1e-9


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type."""

    model: Any = None
    stream: Any = None
    options: Any = None
    think: Any = None
    dimensions: Any = None
    messages: Any = None
    prompt: Any = None
    images: Any = None
    input: Any = None
    id: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    name = request.path.rpartition("/")[2]
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    if not (provider == "ollama" or request.certain or _is_ours(name, body)):
        return None
    options = mapping(body.options)
    return Opening(
        operation=_OPERATIONS[name],
        provider=provider or "ollama",
        model=text(body.model),
        request=stated(
            stream=flag(body.stream),
            temperature=number(options.get("temperature")),
            top_p=number(options.get("top_p")),
            top_k=number(options.get("top_k")),
            max_tokens=count(options.get("num_predict")),
            seed=integer(options.get("seed")),
            frequency_penalty=number(options.get("frequency_penalty")),
            presence_penalty=number(options.get("presence_penalty")),
            stop_sequences=texts(options.get("stop")),
            reasoning_level=text(body.think),
            dimension_count=count(body.dimensions),
        ),
    )


def _is_ours(name: str, body: _Body) -> bool:
    """Whether a body on a path that many web applications have too (``/api/chat``) asks a model server."""
    if text(body.model) is None or body.id is not None:
        return False
    if name == "chat":
        return isinstance(body.messages, list)
    if name == "generate":
        return isinstance(body.prompt, str) or isinstance(body.images, list)
    # OpenAI's bodies come to ``/api/embeddings`` of some gateways, with ``input``.
    return body.input is not None if name == "embed" else isinstance(body.prompt, str)


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one object says to ``facts``; whether it carries output."""
    facts.response_model = text(message.get("model")) or facts.response_model
    facts.promised |= "done" in message
    if message.get("done") is True:
        facts.done = True
        reason = text(message.get("done_reason"))
        if reason:
            facts.finish[0] = reason
    if message.get("error"):
        facts.failed = True
        facts.error_message = text(message["error"])
    _read_counts(message, facts)
    said = mapping(message.get("message"))
    return bool(
        any(message.get(name) for name in ("response", "thinking", "embedding", "embeddings"))
        or any(said.get(name) for name in ("content", "thinking", "tool_calls", "images"))
    )


def _read_counts(message: Mapping[str, Any], facts: Facts) -> None:
    """Tokens and the server's clock; a prompt found in the cache goes uncounted."""
    facts.input_tokens = first(count(message.get("prompt_eval_count")), facts.input_tokens)
    facts.output_tokens = first(count(message.get("eval_count")), facts.output_tokens)
    if "prompt_eval_duration" in message:
        facts.server_prefill_time = seconds(message["prompt_eval_duration"], _NANOSECOND)
    if "eval_duration" in message:
        facts.server_decode_time = seconds(message["eval_duration"], _NANOSECOND)
