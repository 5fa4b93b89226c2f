"""OpenAI's bodies: chat completions, responses, completions, embeddings; and all the servers that speak them. Pure.

Source: OpenAI API reference (chat, responses, completions, embeddings), the llama.cpp server's ``timings``, Groq's
``usage.queue_time``, and recorded exchanges of some twenty providers.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.calls import Value
from otel_llm.record import usual
from otel_llm.record.exchange import (
    Facts,
    Opening,
    Request,
    count,
    first_count,
    flag,
    integer,
    items,
    mapping,
    number,
    parse,
    seconds,
    text,
    texts,
    tier,
)
from otel_llm.record.providers import hosts as host_names

_ON_VERTEX: Final = (":rawPredict", ":streamRawPredict")
PATHS: Final = ("/chat/completions", "/completions", "/responses", "/embeddings", "/v1/chat", *_ON_VERTEX)

_OPERATIONS: Final = (
    ("/chat/completions", semconv.OPERATION_CHAT),
    ("/agents/completions", semconv.OPERATION_CHAT),
    ("/completions", semconv.OPERATION_TEXT_COMPLETION),
    ("/responses", semconv.OPERATION_CHAT),
    ("/embeddings", semconv.OPERATION_EMBEDDINGS),
    ("/v1/chat", semconv.OPERATION_CHAT),
    *((door, semconv.OPERATION_CHAT) for door in _ON_VERTEX),
)
_CERTAIN: Final = ("/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")
"""Paths that nobody but a model server has: a body that cannot be read still gives a span."""


class _Body(msgspec.Struct, omit_defaults=True):
    """The request's fields of interest. ``Any`` throughout: a wrong type is the server's to refuse, not ours."""

    model: Any = None
    stream: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    max_output_tokens: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    seed: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    stop: Any = None
    n: Any = None
    reasoning: Any = None
    reasoning_effort: Any = None
    encoding_format: Any = None
    dimensions: Any = None


class _Messages(msgspec.Struct):
    """Whether there is a list of messages."""

    messages: msgspec.Raw = msgspec.Raw()


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    path = request.path
    published = _published(path)
    if published == "":
        return None
    operation = next(name for suffix, name in _OPERATIONS if path.endswith(suffix))
    if operation == semconv.OPERATION_TEXT_COMPLETION and "/prompts/" in path:
        operation = semconv.OPERATION_CHAT  # Portkey's stored prompts
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    if path.endswith("/v1/chat") and provider != "writer" and not _is_chat(request.body):
        return None
    model = text(body.model) or published or _deployment(path)
    if provider is None:
        if model is None and not (request.certain or path.endswith(_CERTAIN)):
            return None
        provider = "gcp.vertex_ai" if published else "openai"
        if "/openai/deployments/" in path:
            provider = "azure.ai.openai"
    elif provider == "azure.ai.inference" and "/openai/" in path:
        provider = "azure.ai.openai"  # one host serves both
    return Opening(operation=operation, provider=provider, model=model, request=_request(body))


def _is_chat(raw: bytes | None) -> bool:
    """Whether a body on Writer's bare path is of this format; Cohere's, on the same path, has a ``message``."""
    return bytes(parse(raw, _Messages).messages)[:1] == b"["


def _deployment(path: str) -> str | None:
    """The deployment in an Azure path, ``/openai/deployments/NAME/chat/completions``; OpenAI's engines of old."""
    for mark in ("/deployments/", "/engines/"):
        _, found, rest = path.partition(mark)
        if found:
            return rest.partition("/")[0] or None
    return None


def _published(path: str) -> str | None:
    """The model of another publisher on Vertex, whose bodies are OpenAI's; empty where they are not, else ``None``."""
    if not path.endswith(_ON_VERTEX):
        return None
    _, found, named = path.partition("/publishers/")
    publisher, _, model = named.partition("/models/")
    return model.rpartition(":")[0] if found and publisher not in ("anthropic", "google") else ""


def _request(body: _Body) -> dict[str, Value]:
    """The parameters that the body states, as fields of a call."""
    return parameters(msgspec.to_builtins(body))


def parameters(stated: Mapping[str, Any]) -> dict[str, Value]:
    """Those of ``stated`` that are parameters, as fields of a call."""
    said: dict[str, Value] = {}
    for name, value in stated.items():
        known = _PARAMETERS.get(name)
        if known is not None and value is not None:
            field, convert = known
            fit = convert(value)
            if fit is not None:
                said[field] = fit
    return said


_PARAMETERS: Final[Mapping[str, tuple[str, Callable[[Any], Value | None]]]] = {
    "stream": ("stream", flag),
    "temperature": ("temperature", number),
    "top_p": ("top_p", number),
    "top_k": ("top_k", number),
    "max_output_tokens": ("max_tokens", count),
    "max_tokens": ("max_tokens", count),
    "max_completion_tokens": ("max_tokens", count),
    "seed": ("seed", integer),
    "frequency_penalty": ("frequency_penalty", number),
    "presence_penalty": ("presence_penalty", number),
    "stop": ("stop_sequences", texts),
    "n": ("choice_count", lambda n: count(n) if n != 1 else None),
    "reasoning": ("reasoning_level", lambda reasoning: text(mapping(reasoning).get("effort"))),
    "reasoning_effort": ("reasoning_level", text),
    "encoding_format": ("encoding_formats", texts),
    "dimensions": ("dimension_count", count),
}
"""Parameter, field of a call, and what fits its value; of the same field the last in `_Body` wins."""


read_whole: Final = usual.read_whole
"""See `exchange.Format`."""


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
    if "service_tier" in message:
        facts.service_tier = tier(message["service_tier"])
    _read_counts(message, facts)
    if message.get("error"):
        read_error(message, facts)
    carries = "value" in message and bool(text(message["value"]))
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
        return bool(delta.get("content")) or any(delta.get(name) for name in _OUTPUT)
    return bool(choice.get("text"))


_OUTPUT: Final = (
    *("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "audio"),
    *("reasoning_details", "images"),
)
"""Fields of a delta that hold what the model made; the role alone is none."""


def read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    """Tokens of a ``usage`` object in OpenAI's spelling and those of its imitators. A later one wins."""
    tokens = first_count(usage, "prompt_tokens", "input_tokens")
    if tokens is not None:
        facts.input_tokens = tokens
    tokens = first_count(usage, "completion_tokens", "output_tokens")
    if tokens is not None:
        facts.output_tokens = tokens
    inside = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    if isinstance(inside, dict):
        _read_inside(inside, facts)
    outside = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    if isinstance(outside, dict) and "reasoning_tokens" in outside:
        tokens = count(outside["reasoning_tokens"])
        if tokens is not None:
            facts.reasoning_output_tokens = tokens
    if not usage.keys() <= _PLAIN:
        _read_odd_usage(usage, facts)


def _read_inside(details: Mapping[str, Any], facts: Facts) -> None:
    """How much of the input a cache held or took."""
    tokens = count(details.get("cached_tokens"))
    if tokens is not None:
        facts.cache_read_input_tokens = tokens
    tokens = first_count(details, *_WRITTEN)
    if tokens is not None:
        facts.cache_creation_input_tokens = tokens


def _read_odd_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    """What imitators add."""
    if facts.cache_read_input_tokens is None:
        facts.cache_read_input_tokens = first_count(usage, *_CACHED)
    if facts.reasoning_output_tokens is None:
        facts.reasoning_output_tokens = first_count(usage, "reasoning_tokens")
    if facts.cache_creation_input_tokens is None:
        # Gateways fill this one in for models that have no such cache: their zero says nothing.
        facts.cache_creation_input_tokens = first_count(usage, "cache_creation_input_tokens") or None
    if "queue_time" in usage or "prompt_time" in usage:
        _read_server_times(usage, facts)


_CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
_WRITTEN: Final = ("cache_write_tokens", "cache_creation_tokens")
_PLAIN: Final = frozenset(
    {
        *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"),
        *("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details"),
    }
)
"""What `read_usage` itself reads of a usage, and the total."""


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
    response = event.get("response", event if "usage" in event else None)  # of an event that was cut: in one with it
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
    facts.service_tier = tier(response.get("service_tier")) or facts.service_tier
    status = text(response.get("status"))
    if status and status not in ("in_progress", "queued"):
        reason = text(mapping(response.get("incomplete_details")).get("reason"))
        facts.finish[0] = reason or status
    if isinstance(response.get("usage"), dict):
        read_usage(response["usage"], facts)
    if status == "failed" or response.get("error"):
        read_error(response, facts)
    return bool(response.get("output"))
