"""Google's Interactions: Gemini asked and answered in steps, whole and as events. Pure.

Only models are calls; an agent that works in the background is asked by the same path and answers later. Thoughts are
counted beside the output, the convention's output tokens hold them. Source: Gemini API reference (interactions).
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
    stated,
    text,
    texts,
    tier,
)
from otel_llm.record.providers import hosts as host_names

PATHS: Final = ("/interactions",)

_GOOGLE: Final = ("gcp.gemini", "gcp.vertex_ai")


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type."""

    model: Any = None
    agent: Any = None
    input: Any = None
    stream: Any = None
    generation_config: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    model = text(body.model)
    known = provider in _GOOGLE or request.certain
    if body.agent is not None or not (known or (model is not None and body.input is not None)):
        return None
    config = mapping(body.generation_config)
    return Opening(
        operation=semconv.OPERATION_GENERATE_CONTENT,
        provider=provider or _GOOGLE[0],
        model=model,
        request=stated(
            stream=flag(body.stream),
            temperature=number(config.get("temperature")),
            top_p=number(config.get("top_p")),
            max_tokens=count(config.get("max_output_tokens")),
            seed=integer(config.get("seed")),
            stop_sequences=texts(config.get("stop_sequences")),
            reasoning_level=text(config.get("thinking_level")),
        ),
    )


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    kind = text(message.get("event_type"))
    if message.get("error"):
        _read_error(mapping(message["error"]), facts)
    if kind is None:
        return _read_interaction(message, facts)
    facts.promised = True
    _read_interaction(mapping(message.get("interaction")), facts)
    facts.done |= kind in ("interaction.completed", "interaction.complete", "error")
    _read_usage(mapping(mapping(message.get("metadata")).get("usage")), facts)
    delta = mapping(message.get("delta"))
    return any(delta.get(name) for name in ("text", "content", "arguments", "data", "name"))


def _read_interaction(said: Mapping[str, Any], facts: Facts) -> bool:
    """An interaction, whole or as an event carries it."""
    facts.response_id = text(said.get("id")) or facts.response_id
    facts.response_model = text(said.get("model")) or facts.response_model
    facts.service_tier = tier(said.get("service_tier")) or facts.service_tier
    status = text(said.get("status"))
    if status and status not in ("in_progress", "queued"):
        facts.finish[0] = status
        facts.failed |= status == "failed"
    _read_usage(mapping(said.get("usage")), facts)
    return bool(said.get("steps") or said.get("outputs"))


def _read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    spoken, thoughts = count(usage.get("total_output_tokens")), count(usage.get("total_thought_tokens"))
    facts.input_tokens = first(count(usage.get("total_input_tokens")), facts.input_tokens)
    facts.cache_read_input_tokens = first(count(usage.get("total_cached_tokens")), facts.cache_read_input_tokens)
    if spoken is not None:
        facts.output_tokens = spoken + (thoughts or 0)
    facts.reasoning_output_tokens = first(thoughts, facts.reasoning_output_tokens)


def _read_error(error: Mapping[str, Any], facts: Facts) -> None:
    facts.failed = True
    code = error.get("code")
    facts.error_code = text(error.get("status")) or text(code) or (str(code) if type(code) is int else None)
    facts.error_message = text(error.get("message"))
