"""IBM watsonx.ai's own bodies: text generation, chat and embeddings, whole and as events. Pure.

Chats are answered in OpenAI's words. A stream of text generation counts its output so far in each event, and the prompt
in one of them. Source: watsonx.ai REST reference (text generation, text chat, text embeddings), recorded exchanges.
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
from otel_llm.record.providers import openai

PATHS: Final = (
    *("/text/generation", "/text/generation_stream", "/generation/text", "/generation/text_stream"),
    *("/text/chat", "/text/chat_stream", "/text/embeddings"),
)

_PROVIDER: Final = "ibm.watsonx.ai"


class _Body(msgspec.Struct):
    """The request's fields of interest, of any type; those of text generation stand in ``parameters``."""

    model_id: Any = None
    parameters: Any = None
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    seed: Any = None
    stop: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference."""
    path = request.path
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    _, deployed, rest = path.partition("/deployments/")
    model = text(body.model_id) or (rest.partition("/")[0] or None if deployed else None)
    if not (provider == _PROVIDER or request.certain or text(body.model_id) or (deployed and "/ml/v1" in path)):
        return None
    set_there = mapping(body.parameters)
    return Opening(
        operation=_operation(path),
        provider=provider or _PROVIDER,
        model=model,
        request=stated(
            stream=True if path.endswith("_stream") else None,
            temperature=number(set_there.get("temperature", body.temperature)),
            top_p=number(set_there.get("top_p", body.top_p)),
            top_k=number(set_there.get("top_k")),
            max_tokens=first(
                *map(count, (set_there.get("max_new_tokens"), body.max_completion_tokens, body.max_tokens))
            ),
            seed=integer(set_there.get("random_seed", body.seed)),
            frequency_penalty=number(body.frequency_penalty),
            presence_penalty=number(body.presence_penalty),
            stop_sequences=texts(set_there.get("stop_sequences")) or texts(body.stop),
        ),
    )


def _operation(path: str) -> str:
    if path.endswith("/text/embeddings"):
        return semconv.OPERATION_EMBEDDINGS
    return semconv.OPERATION_CHAT if "/text/chat" in path else semconv.OPERATION_TEXT_COMPLETION


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    facts.response_model = text(message.get("model_id")) or facts.response_model
    facts.input_tokens = first(count(message.get("input_token_count")), facts.input_tokens)
    if message.get("errors"):
        _read_error(message, facts)
    if "results" not in message:
        return openai.read(message, facts)
    carries = False
    for position, one in enumerate(items(message["results"])):
        carries |= _read_result(mapping(one), position, facts)
    return carries


def _read_result(result: Mapping[str, Any], position: int, facts: Facts) -> bool:
    reason = text(result.get("stop_reason"))
    facts.promised |= reason is not None
    if reason and reason != "not_finished":
        facts.finish[position] = reason
    # Events that do not count the prompt say zero.
    facts.input_tokens = count(result.get("input_token_count")) or facts.input_tokens
    facts.output_tokens = first(count(result.get("generated_token_count")), facts.output_tokens)
    return bool(result.get("generated_text") or result.get("embedding"))


def _read_error(message: Mapping[str, Any], facts: Facts) -> None:
    error = mapping(next(iter(items(message["errors"])), None))
    facts.failed = True
    facts.error_code = text(error.get("code"))
    facts.error_message = text(error.get("message"))
