"""The llama.cpp server's own bodies: completion, infill, embedding. Pure.

Its OpenAI-like paths are `openai`'s. Source: README of the llama.cpp server (/completion, /infill, /embedding).
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

PATHS: Final = ("/completion", "/completions", "/infill", "/embedding")

_MILLISECOND: Final = 1e-3
_PROVIDER: Final = "llama_cpp"


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type."""

    model: Any = None
    stream: Any = None
    prompt: Any = None
    input_prefix: Any = None
    input_suffix: Any = None
    content: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    n_predict: Any = None
    max_tokens: Any = None
    seed: Any = None
    stop: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    name = request.path.rpartition("/")[2]
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    if not (provider == _PROVIDER or request.certain or _is_ours(name, body)):
        return None
    return Opening(
        operation=semconv.OPERATION_EMBEDDINGS if name == "embedding" else semconv.OPERATION_TEXT_COMPLETION,
        provider=provider or _PROVIDER,
        model=text(body.model),
        request=stated(
            stream=flag(body.stream),
            temperature=number(body.temperature),
            top_p=number(body.top_p),
            top_k=number(body.top_k),
            # A negative number of tokens means without end.
            max_tokens=first(count(body.n_predict), count(body.max_tokens)),
            seed=integer(body.seed),
            frequency_penalty=number(body.frequency_penalty),
            presence_penalty=number(body.presence_penalty),
            stop_sequences=texts(body.stop),
        ),
    )


def _is_ours(name: str, body: _Body) -> bool:
    """Whether a body at a host that nobody knows looks like this server's."""
    if name == "infill":
        return isinstance(body.input_prefix, str) or isinstance(body.input_suffix, str)
    if name == "embedding":
        return isinstance(body.content, (str, list))
    return body.prompt is not None and isinstance(body.prompt, (str, list, dict))


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    facts.response_model = text(message.get("model")) or facts.response_model
    facts.promised |= "stop" in message
    if message.get("stop") is True:
        facts.done = True
        reason = _reason(message)
        if reason:
            facts.finish[0] = reason
        facts.output_tokens = first(count(message.get("tokens_predicted")), facts.output_tokens)
        facts.input_tokens = first(count(message.get("tokens_evaluated")), facts.input_tokens)
        _read_timings(mapping(message.get("timings")), facts)
    if message.get("error"):
        error = mapping(message["error"])
        facts.failed = True
        facts.error_code = text(error.get("type"))
        facts.error_message = text(error.get("message")) or text(message["error"])
    return bool(message.get("content") or message.get("tokens") or message.get("embedding"))


def _reason(message: Mapping[str, Any]) -> str | None:
    """Why it stopped: ``eos``, ``limit`` or ``word``; older servers say it by flags."""
    said = text(message.get("stop_type"))
    if said:
        return None if said == "none" else said
    flags = (("stopped_eos", "eos"), ("stopped_limit", "limit"), ("stopped_word", "word"))
    return next((reason for name, reason in flags if message.get(name) is True), None)


def _read_timings(timings: Mapping[str, Any], facts: Facts) -> None:
    """The server's own clock, and how much of the prompt it found in its cache."""
    facts.server_prefill_time = seconds(timings.get("prompt_ms"), _MILLISECOND)
    facts.server_decode_time = seconds(timings.get("predicted_ms"), _MILLISECOND)
    facts.cache_read_input_tokens = count(timings.get("cache_n"))
