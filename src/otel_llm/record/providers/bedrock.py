"""Amazon Bedrock: Converse, and InvokeModel with the bodies of the models it serves. Pure.

Streams are AWS event streams; `framing` gives each event as ``{"<event>": {...}}``. InvokeModel's events hold the
model's own JSON in base64. Converse and Nova count cached tokens beside ``inputTokens``, the convention's hold them.
Source: Amazon Bedrock API reference (Converse, InvokeModel) and user guide (model parameters, prompt caching).
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from otel_llm import semconv
from otel_llm.calls import Value
from otel_llm.record import framing
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
from otel_llm.record.providers import anthropic, cohere, openai
from otel_llm.record.providers import hosts as host_names

PATHS: Final = ("/invoke", "/invoke-with-response-stream", "/converse", "/converse-stream")

_NO_INFERENCE: Final = ("rerank",)
_IMAGES: Final = ("stability.", "image", "canvas", "reel", "luma.")


class _Body(msgspec.Struct):
    """The request's fields of interest under the names of all models, of any type."""

    inference_config: Any = msgspec.field(default=None, name="inferenceConfig")
    text_config: Any = msgspec.field(default=None, name="textGenerationConfig")
    messages: Any = None
    prompt: Any = None
    input_text: Any = msgspec.field(default=None, name="inputText")
    temperature: Any = None
    top_p: Any = None
    camel_top_p: Any = msgspec.field(default=None, name="topP")
    p: Any = None
    top_k: Any = None
    k: Any = None
    max_tokens: Any = None
    camel_max_tokens: Any = msgspec.field(default=None, name="maxTokens")
    max_gen_len: Any = None
    max_tokens_to_sample: Any = None
    max_completion_tokens: Any = None
    stop_sequences: Any = None
    stop: Any = None
    seed: Any = None
    dimensions: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference. ``/model/ID/...`` is nobody else's."""
    _, found, named = request.path.rpartition("/model/")
    if not found and not request.certain:
        return None
    model, _, door = named.rpartition("/")
    model = unquote(model)
    provider = host_names.by_host(request.host, request.port, hosts)
    body = parse(request.body, _Body)
    if any(word in model for word in _NO_INFERENCE) or not (
        provider or request.certain or door.startswith("converse") or "." in model or _is_ours(model, body)
    ):
        return None
    return Opening(
        operation=_operation(model, door, body),
        provider=provider or "aws.bedrock",
        model=model or None,
        request=_request(body),
    )


def _is_ours(model: str, body: _Body) -> bool:
    """Whether a model of no known form, at a host that nobody knows, is asked what models are asked."""
    bounded = (body.max_tokens, body.camel_max_tokens, body.max_gen_len, body.max_tokens_to_sample)
    return (
        model.startswith("arn:")
        or isinstance(body.messages, list)
        or isinstance(body.input_text, str)
        or (isinstance(body.prompt, str) and any(count(value) is not None for value in bounded))
    )


def _operation(model: str, door: str, body: _Body) -> str:
    if door.startswith("converse"):
        return semconv.OPERATION_CHAT
    if "embed" in model:
        return semconv.OPERATION_EMBEDDINGS
    if any(word in model for word in _IMAGES):
        return semconv.OPERATION_GENERATE_CONTENT
    prompted = isinstance(body.prompt, str) or isinstance(body.input_text, str)
    return semconv.OPERATION_TEXT_COMPLETION if prompted else semconv.OPERATION_CHAT


def _request(body: _Body) -> dict[str, Value]:
    """The parameters that the body states, in Converse's or the model's own spelling."""
    config = {**mapping(body.text_config), **mapping(body.inference_config)}
    return stated(
        temperature=number(config.get("temperature", body.temperature)),
        top_p=_first_number(config.get("topP"), config.get("top_p"), body.top_p, body.camel_top_p, body.p),
        top_k=_first_number(config.get("topK"), config.get("top_k"), body.top_k, body.k),
        max_tokens=first(
            *map(count, (config.get("maxTokens"), config.get("max_new_tokens"), config.get("maxTokenCount"))),
            *map(count, (body.max_tokens, body.camel_max_tokens, body.max_gen_len, body.max_tokens_to_sample)),
            count(body.max_completion_tokens),
        ),
        stop_sequences=texts(config.get("stopSequences")) or texts(body.stop_sequences) or texts(body.stop),
        seed=integer(body.seed),
        dimension_count=count(body.dimensions),
    )


def _first_number(*values: object) -> float | None:
    return next((known for known in map(number, values) if known is not None), None)


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or event says to ``facts``; whether it carries output."""
    if len(message) == 1:
        [(name, event)] = message.items()
        if name == "chunk":
            return _read_chunk(mapping(event), facts)
        if name.endswith("Exception"):
            _read_exception(name, mapping(event), facts)
            return False
    carries = _read_events(message, facts) | _read_model(message, facts)
    _read_metrics(mapping(message.get("amazon-bedrock-invocationMetrics")), facts)
    return carries


def _read_chunk(event: Mapping[str, Any], facts: Facts) -> bool:
    """An event of InvokeModel's stream: the model's own JSON in base64."""
    try:
        inner = framing.decode(base64.b64decode(event.get("bytes") or b""))
    except (binascii.Error, TypeError, ValueError):
        return False
    return isinstance(inner, dict) and read(inner, facts)


def _read_exception(name: str, event: Mapping[str, Any], facts: Facts) -> None:
    facts.failed = True
    facts.error_code = name[0].upper() + name[1:]
    facts.error_message = text(event.get("message"))


def _read_events(message: Mapping[str, Any], facts: Facts) -> bool:
    """Converse and Nova: one body, or events each under its own name."""
    facts.promised |= "messageStart" in message
    metadata = mapping(message.get("metadata"))
    for holder in (message, mapping(message.get("messageStop"))):
        _read_stop(holder.get("stopReason"), facts)
    for usage in (message.get("usage"), metadata.get("usage")):
        if isinstance(usage, dict) and "inputTokens" in usage:
            _read_usage(usage, facts)
    delta = mapping(mapping(message.get("contentBlockDelta")).get("delta"))
    start = mapping(mapping(message.get("contentBlockStart")).get("start"))
    content = mapping(mapping(message.get("output")).get("message")).get("content")
    return any(delta.values()) or bool(start.get("toolUse")) or bool(content)


def _read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    read = count(usage.get("cacheReadInputTokens"))
    written = count(usage.get("cacheWriteInputTokens"))
    # Under these names zeros are filled in whether or not anything could be cached.
    read = first(read, count(usage.get("cacheReadInputTokenCount")) or None)
    written = first(written, count(usage.get("cacheWriteInputTokenCount")) or None)
    fresh, spoken, total = (count(usage.get(name)) for name in ("inputTokens", "outputTokens", "totalTokens"))
    if fresh is not None:
        held = total is not None and spoken is not None and total - spoken == fresh
        facts.input_tokens = fresh if held else fresh + (read or 0) + (written or 0)
    facts.output_tokens = first(spoken, facts.output_tokens)
    facts.cache_read_input_tokens = first(read, facts.cache_read_input_tokens)
    facts.cache_creation_input_tokens = first(written, facts.cache_creation_input_tokens)


def _read_model(message: Mapping[str, Any], facts: Facts) -> bool:
    """The bodies of the models themselves, told apart by their fields."""
    kind = text(message.get("type"))
    if kind in _OF_ANTHROPIC:
        return anthropic.read(message, facts)
    if "choices" in message:
        for position, choice in enumerate(items(message["choices"])):
            _read_stop(mapping(choice).get("stop_reason"), facts, position)
        return openai.read(message, facts)
    if any(name in message for name in _OF_COHERE):
        return cohere.read(message, facts)
    if "generation" in message:
        return _read_llama(message, facts)
    if "outputText" in message or "inputTextTokenCount" in message:
        return _read_titan(message, facts)
    return _read_others(message, facts)


_OF_ANTHROPIC: Final = frozenset(
    {
        *("message", "message_start", "message_delta", "message_stop", "ping", "error"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
    }
)


_OF_COHERE: Final = ("event_type", "generations", "generation_id", "is_finished", "response_type", "finish_reason")
"""Fields that only Cohere's bodies have at their top."""


def _read_stop(reason: object, facts: Facts, index: int = 0) -> None:
    named = text(reason)
    if named:
        facts.finish[index] = named


def _read_llama(message: Mapping[str, Any], facts: Facts) -> bool:
    """Meta's models; an event of their stream counts the tokens up to it."""
    facts.input_tokens = first(count(message.get("prompt_token_count")), facts.input_tokens)
    facts.output_tokens = first(count(message.get("generation_token_count")), facts.output_tokens)
    _read_stop(message.get("stop_reason"), facts)
    return bool(message["generation"])


def _read_titan(message: Mapping[str, Any], facts: Facts) -> bool:
    """Amazon's Titan, text and embeddings, whole and as events."""
    facts.input_tokens = first(count(message.get("inputTextTokenCount")), facts.input_tokens)
    results = [mapping(result) for result in items(message.get("results"))]
    counts = [tokens for tokens in (count(result.get("tokenCount")) for result in results) if tokens is not None]
    facts.output_tokens = first(
        sum(counts) if counts else None, count(message.get("totalOutputTextTokenCount")), facts.output_tokens
    )
    for position, result in enumerate([message, *results]):
        _read_stop(result.get("completionReason"), facts, max(0, position - 1))
    return bool(message.get("outputText") or results or message.get("embedding"))


def _read_others(message: Mapping[str, Any], facts: Facts) -> bool:
    """Anthropic's and Mistral's text models, AI21's Jurassic, and errors in a sentence."""
    _read_stop(message.get("stop_reason"), facts)
    if "input_tokens" in mapping(message.get("usage")):
        anthropic.read({"usage": message["usage"]}, facts)
    outputs = [mapping(output) for output in items(message.get("outputs"))]
    for position, output in enumerate(outputs):
        _read_stop(output.get("stop_reason"), facts, position)
    completions = [mapping(completion) for completion in items(message.get("completions"))]
    for position, completion in enumerate(completions):
        _read_stop(mapping(completion.get("finishReason")).get("reason"), facts, position)
    if message.get("error"):
        openai.read_error(message, facts)
    elif isinstance(message.get("message"), str):
        facts.error_code = text(message.get("__type"))
        facts.error_message = text(message["message"])
    return any(output.get("text") for output in outputs) or bool(
        message.get("completion")
        or completions
        or message.get("embedding")
        or message.get("embeddings")
        or message.get("images")
    )


def _read_metrics(metrics: Mapping[str, Any], facts: Facts) -> None:
    """What Bedrock counted itself, on a stream's last event; for models that do not say it."""
    if facts.input_tokens is None:
        fresh = count(metrics.get("inputTokenCount"))
        cached = (count(metrics.get(name)) for name in ("cacheReadInputTokenCount", "cacheWriteInputTokenCount"))
        facts.input_tokens = None if fresh is None else fresh + sum(tokens or 0 for tokens in cached)
    if facts.output_tokens is None:
        facts.output_tokens = count(metrics.get("outputTokenCount"))
