"""OpenAI's bodies: chat completions, responses, completions, embeddings; and all the servers that speak them. Pure.

Source: OpenAI API reference (chat, responses, completions, embeddings), the llama.cpp server's ``timings``, Groq's
``usage.queue_time``, and recorded exchanges of some twenty providers.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.call import Value
from otel_llm.record.exchange import Facts, Opening, Request, count, first, items, mapping, number, seconds, text
from otel_llm.record.providers import hosts as host_names

PATHS: Final = ("/chat/completions", "/completions", "/responses", "/embeddings", "/v1/chat")

_OPERATIONS: Final = (
    ("/chat/completions", semconv.OPERATION_CHAT),
    ("/completions", semconv.OPERATION_TEXT_COMPLETION),
    ("/responses", semconv.OPERATION_CHAT),
    ("/embeddings", semconv.OPERATION_EMBEDDINGS),
    ("/v1/chat", semconv.OPERATION_CHAT),
)
_CERTAIN: Final = ("/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")
"""Paths that nobody but a model server has: a body that cannot be read still gives a span."""


class _Body(msgspec.Struct):
    """The request's fields of interest. ``Any`` throughout: a wrong type is the server's to refuse, not ours."""

    model: Any = None
    stream: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    seed: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    stop: Any = None
    n: Any = None
    reasoning_effort: Any = None
    reasoning: Any = None
    encoding_format: Any = None
    dimensions: Any = None
    messages: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Body).decode


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    path = request.path
    operation = next(name for suffix, name in _OPERATIONS if path.endswith(suffix))
    provider = host_names.by_host(request.host, request.port, hosts)
    body = _read_body(request.body)
    if path.endswith("/v1/chat") and provider != "writer" and not _is_chat(body):
        return None
    model = text(body.model) or _deployment(path)
    if provider is None:
        if model is None and not (request.certain or path.endswith(_CERTAIN)):
            return None
        provider = "azure.ai.openai" if "/openai/deployments/" in path else "openai"
    return Opening(operation=operation, provider=provider, model=model, request=_request(body))


def _is_chat(body: _Body) -> bool:
    """Whether a body on Writer's bare path is of this format; Cohere's, on the same path, has a ``message``."""
    return body.model is not None and bytes(body.messages)[:1] == b"["


def _read_body(raw: bytes | None) -> _Body:
    try:
        return _decode(raw) if raw else _Body()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()


def _deployment(path: str) -> str | None:
    """The deployment in an Azure path, ``/openai/deployments/NAME/chat/completions``."""
    _, found, rest = path.partition("/deployments/")
    return rest.partition("/")[0] or None if found else None


def _request(body: _Body) -> dict[str, Value]:
    """The parameters that the body states, as fields of a call."""
    stated: dict[str, Value | None] = {
        "stream": body.stream if isinstance(body.stream, bool) else None,
        "temperature": number(body.temperature),
        "top_p": number(body.top_p),
        "top_k": number(body.top_k),
        "max_tokens": first(count(body.max_completion_tokens), count(body.max_tokens), count(body.max_output_tokens)),
        "seed": body.seed if type(body.seed) is int and abs(body.seed) < 1 << 63 else None,
        "frequency_penalty": number(body.frequency_penalty),
        "presence_penalty": number(body.presence_penalty),
        "choice_count": count(body.n) if body.n != 1 else None,
        "reasoning_level": text(body.reasoning_effort) or text(mapping(body.reasoning).get("effort")),
        "encoding_formats": (body.encoding_format,) if text(body.encoding_format) else None,
        "dimension_count": count(body.dimensions),
    }
    return {name: value for name, value in stated.items() if value is not None}


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    kind = message.get("type")
    if isinstance(kind, str) and (kind.startswith("response.") or "sequence_number" in message):
        return _read_event(kind, message, facts)
    if message.get("object") == "response":
        return _read_response(message, facts)
    if facts.response_id is None:
        facts.response_id = text(message.get("id"))
    if facts.response_model is None:
        facts.response_model = text(message.get("model"))
    if facts.provider is None:
        facts.provider = host_names.by_body(message)
    _read_counts(message, facts)
    if message.get("error"):
        read_error(message, facts)
    carries = bool(text(message.get("value")))
    for position, choice in enumerate(items(message.get("choices"))):
        carries |= _read_choice(mapping(choice), position, facts)
    return carries


def _read_counts(message: Mapping[str, Any], facts: Facts) -> None:
    """Tokens and the server's own clock, wherever they stand."""
    usage = message.get("usage") or mapping(message.get("x_groq")).get("usage")
    if isinstance(usage, dict):
        read_usage(usage, facts)
    if "timings" in message:
        _read_timings(mapping(message["timings"]), facts)
    if "time_info" in message:
        _read_server_times(mapping(message["time_info"]), facts)


def _read_choice(choice: Mapping[str, Any], position: int, facts: Facts) -> bool:
    reason = text(choice.get("finish_reason"))
    facts.promised |= "finish_reason" in choice
    if reason:
        index = choice.get("index")
        facts.finish[index if type(index) is int else position] = reason
    if "usage" in choice and isinstance(choice["usage"], dict):
        read_usage(choice["usage"], facts)
    delta = choice.get("delta") or choice.get("message")
    if isinstance(delta, dict):
        return any(delta.get(name) for name in _OUTPUT)
    return bool(choice.get("text"))


_OUTPUT: Final = (
    *("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "audio"),
    *("reasoning_details", "images"),
)
"""Fields of a delta that hold what the model made; the role alone is none."""


def read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    """Tokens of a ``usage`` object in OpenAI's spelling and those of its imitators. A later one wins."""
    spoken = usage.get("completion_tokens", usage.get("output_tokens"))
    asked = usage.get("prompt_tokens", usage.get("input_tokens"))
    facts.input_tokens = first(count(asked), facts.input_tokens)
    facts.output_tokens = first(count(spoken), facts.output_tokens)
    details = _details(usage, "prompt_tokens_details", "input_tokens_details")
    facts.cache_read_input_tokens = first(
        count(details.get("cached_tokens")),
        count(usage.get("prompt_cache_hit_tokens")),
        count(usage.get("cached_tokens")),
        count(usage.get("cache_read_input_tokens")),
        facts.cache_read_input_tokens,
    )
    facts.cache_creation_input_tokens = first(
        count(details.get("cache_write_tokens")),
        count(details.get("cache_creation_tokens")),
        # Gateways fill this one in for models that have no such cache: their zero says nothing.
        count(usage.get("cache_creation_input_tokens")) or None,
        facts.cache_creation_input_tokens,
    )
    details = _details(usage, "completion_tokens_details", "output_tokens_details")
    facts.reasoning_output_tokens = first(
        count(details.get("reasoning_tokens")), count(usage.get("reasoning_tokens")), facts.reasoning_output_tokens
    )
    if "queue_time" in usage or "prompt_time" in usage:
        _read_server_times(usage, facts)


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})


def _read_server_times(times: Mapping[str, Any], facts: Facts) -> None:
    """Groq's and Cerebras's own clock, in seconds."""
    facts.server_queue_time = seconds(times.get("queue_time"))
    facts.server_prefill_time = seconds(times.get("prompt_time"))
    facts.server_decode_time = seconds(times.get("completion_time"))


def _read_timings(timings: Mapping[str, Any], facts: Facts) -> None:
    """The llama.cpp server's own clock, in milliseconds, and its token counts where ``usage`` is not sent."""
    facts.server_prefill_time = seconds(timings.get("prompt_ms"), 0.001)
    facts.server_decode_time = seconds(timings.get("predicted_ms"), 0.001)
    if facts.output_tokens is None:
        facts.output_tokens = count(timings.get("predicted_n"))
    if facts.input_tokens is None:
        cached, fresh = count(timings.get("cache_n")), count(timings.get("prompt_n"))
        if cached is not None and fresh is not None:
            facts.input_tokens = cached + fresh
            facts.cache_read_input_tokens = cached


def read_error(message: Mapping[str, Any], facts: Facts) -> None:
    """The error object that an answer holds, in any of the shapes seen."""
    error = message.get("error")
    facts.failed = True
    if isinstance(error, dict):
        code = error.get("code")
        facts.error_code = text(code) or (str(code) if type(code) is int else None) or text(error.get("type"))
        facts.error_message = text(error.get("message"))
    else:
        facts.error_code = text(message.get("code")) or text(message.get("error_type"))
        facts.error_message = text(message.get("message")) or text(error)


def _read_event(kind: str, event: Mapping[str, Any], facts: Facts) -> bool:
    """One event of a Responses stream."""
    facts.promised = True
    response = event.get("response")
    if isinstance(response, dict):
        _read_response(response, facts)
    if kind in _LAST_EVENTS:
        facts.done = True
    if kind == "error":
        # Both shapes exist: fields on the event itself, and an ``error`` object.
        read_error(event if isinstance(event.get("error"), dict) else {"error": dict(event)}, facts)
    return kind.endswith(".delta") and bool(event.get("delta"))


_LAST_EVENTS: Final = frozenset(
    {"response.completed", "response.failed", "response.incomplete", "response.done", "response.cancelled", "error"}
)


def _read_response(response: Mapping[str, Any], facts: Facts) -> bool:
    """A Responses object, whole or as an event carries it."""
    facts.response_id = text(response.get("id")) or facts.response_id
    facts.response_model = text(response.get("model")) or facts.response_model
    status = text(response.get("status"))
    if status and status not in ("in_progress", "queued"):
        reason = text(mapping(response.get("incomplete_details")).get("reason"))
        facts.finish[0] = reason or status
    if isinstance(response.get("usage"), dict):
        read_usage(response["usage"], facts)
    if status == "failed" or response.get("error"):
        read_error(response, facts)
    return bool(response.get("output"))
