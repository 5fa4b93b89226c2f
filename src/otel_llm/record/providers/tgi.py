"""Text Generation Inference's own bodies: generate and generate_stream. Pure.

Its OpenAI-like paths are `openai`'s; queue and inference times stand in the answer's head. Source: TGI's OpenAPI
document (GenerateResponse, StreamResponse, ErrorResponse).
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

PATHS: Final = ("/generate", "/generate_stream")

_PROVIDER: Final = "tgi"


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type."""

    inputs: Any = None
    parameters: Any = None
    stream: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    if not (provider in (_PROVIDER, "huggingface") or request.certain or isinstance(body.inputs, str)):
        return None
    parameters = mapping(body.parameters)
    return Opening(
        operation=semconv.OPERATION_TEXT_COMPLETION,
        provider=provider or _PROVIDER,
        request=stated(
            stream=flag(body.stream),
            temperature=number(parameters.get("temperature")),
            top_p=number(parameters.get("top_p")),
            top_k=number(parameters.get("top_k")),
            max_tokens=count(parameters.get("max_new_tokens")),
            seed=integer(parameters.get("seed")),
            frequency_penalty=number(parameters.get("frequency_penalty")),
            stop_sequences=texts(parameters.get("stop")),
        ),
    )


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    facts.promised |= "token" in message
    details = mapping(message.get("details"))
    reason = text(details.get("finish_reason"))
    if reason:
        facts.finish[0] = reason
    facts.output_tokens = first(count(details.get("generated_tokens")), facts.output_tokens)
    facts.input_tokens = first(
        count(details.get("input_length")), len(items(details.get("prefill"))) or None, facts.input_tokens
    )
    if message.get("generated_text") is not None:
        facts.done = True
    if message.get("error"):
        facts.failed = True
        facts.error_code = text(message.get("error_type"))
        facts.error_message = text(message["error"])
    return bool(message.get("generated_text") or mapping(message.get("token")).get("text"))
