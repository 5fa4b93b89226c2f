"""Google's Gemini bodies: generate, stream and embed content, at the Gemini API, on Vertex and behind proxies. Pure.

``candidatesTokenCount`` leaves the thoughts out, the convention's output tokens hold them: they are added. Without
``alt=sse`` a stream is one JSON array whose elements arrive over time. Field names are also accepted as ``snake_case``,
as the API does. Source: Gemini API and Vertex AI REST references (models, GenerateContentResponse, text embeddings).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.calls import Value
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

PATHS: Final = (
    *(":generateContent", ":streamGenerateContent"),
    *(":embedContent", ":batchEmbedContents", ":predict"),
)

_VERTEX: Final = "/publishers/google/models/"


class _Body(msgspec.Struct, rename="camel"):
    """The request's fields of interest, of any type."""

    generation_config: Any = None
    snake_config: Any = msgspec.field(default=None, name="generation_config")
    output_dimensionality: Any = None
    requests: Any = None
    parameters: Any = None


def open(request: Request, hosts: Mapping[str, str]) -> Opening | None:  # noqa: A001 - the format's door
    """What ``request`` asks, or ``None`` when it is no inference. The path says it all."""
    path, _, method = request.path.rpartition(":")
    on_vertex = _VERTEX in path
    if method == "predict" and not on_vertex:
        return None  # any model on Vertex, in any body of its own
    model = path.rpartition("/")[2] or None
    provider = host_names.by_host(request.host, request.port, hosts)
    if provider is None:
        provider = "gcp.vertex_ai" if on_vertex else "gcp.gemini"
    body = parse(request.body, _Body)
    embeds = "mbed" in method or (method == "predict" and "embedding" in (model or ""))
    return Opening(
        operation=semconv.OPERATION_EMBEDDINGS if embeds else semconv.OPERATION_GENERATE_CONTENT,
        provider=provider,
        model=model,
        request=_dimensions(body) if embeds else _request(mapping(body.generation_config or body.snake_config)),
        array=method == "streamGenerateContent",
    )


def _request(config: Mapping[str, Any]) -> dict[str, Value]:
    """The parameters that a generation config states, as fields of a call."""

    def said(camel: str, snake: str) -> Any:
        return config.get(camel, config.get(snake))

    choices = count(said("candidateCount", "candidate_count"))
    thinking = mapping(said("thinkingConfig", "thinking_config"))
    return stated(
        temperature=number(config.get("temperature")),
        top_p=number(said("topP", "top_p")),
        top_k=number(said("topK", "top_k")),
        max_tokens=count(said("maxOutputTokens", "max_output_tokens")),
        seed=integer(config.get("seed")),
        frequency_penalty=number(said("frequencyPenalty", "frequency_penalty")),
        presence_penalty=number(said("presencePenalty", "presence_penalty")),
        stop_sequences=texts(said("stopSequences", "stop_sequences")),
        choice_count=choices if choices != 1 else None,
        reasoning_level=text(thinking.get("thinkingLevel", thinking.get("thinking_level"))),
    )


def _dimensions(body: _Body) -> dict[str, Value]:
    """The size of the vectors asked for, in whichever of three bodies."""
    size = first(
        count(body.output_dimensionality),
        count(mapping(body.parameters).get("outputDimensionality")),
        *(count(mapping(one).get("outputDimensionality")) for one in items(body.requests)[:1]),
    )
    return stated(dimension_count=size)


def read(message: Mapping[str, Any], facts: Facts) -> bool:
    """Add what one body or element of a stream says to ``facts``; whether it carries output."""
    facts.response_id = text(message.get("responseId")) or facts.response_id
    facts.response_model = text(message.get("modelVersion")) or facts.response_model
    if isinstance(message.get("usageMetadata"), dict):
        _read_usage(message["usageMetadata"], facts)
    if message.get("error"):
        _read_error(mapping(message["error"]), facts)
    if mapping(message.get("promptFeedback")).get("blockReason"):
        facts.done = True  # nothing follows a prompt that was refused
    reason = _reason(message.get("finishReason"))
    if reason:
        facts.finish.setdefault(0, reason)
    carries = False
    for position, candidate in enumerate(items(message.get("candidates"))):
        facts.promised = True
        carries |= _read_candidate(mapping(candidate), position, facts)
    return carries | _read_predictions(items(message.get("predictions")), facts)


def _read_candidate(candidate: Mapping[str, Any], position: int, facts: Facts) -> bool:
    reason = _reason(candidate.get("finishReason"))
    if reason:
        index = candidate.get("index")
        facts.finish[index if type(index) is int else position] = reason
    return any(_is_output(mapping(part)) for part in items(mapping(candidate.get("content")).get("parts")))


def _reason(said: object) -> str | None:
    """A finish reason by name: clients that ask for ``enum-encoding=int`` get its number."""
    if type(said) is not int:
        return text(said)
    return _REASONS.get(said) or (str(said) if 0 < said < _MOST_REASONS else None)


_REASONS: Final = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""Those that the Gemini API and Vertex number alike; later ones keep their number."""

_MOST_REASONS: Final = 100


def _is_output(part: Mapping[str, Any]) -> bool:
    """Whether a part holds what the model made; a signature or an empty text is none."""
    return any(part.get(name) for name in _OUTPUT)


_OUTPUT: Final = ("text", "functionCall", "inlineData", "executableCode", "codeExecutionResult", "fileData")


def _read_usage(usage: Mapping[str, Any], facts: Facts) -> None:
    """Tokens so far. A later message repeats them; what it leaves out stands."""
    thoughts = count(usage.get("thoughtsTokenCount"))
    spoken = count(usage.get("candidatesTokenCount"))
    facts.input_tokens = first(count(usage.get("promptTokenCount")), facts.input_tokens)
    facts.cache_read_input_tokens = first(count(usage.get("cachedContentTokenCount")), facts.cache_read_input_tokens)
    if spoken is not None or thoughts is not None:
        facts.output_tokens = (spoken or 0) + (thoughts or 0)
        facts.reasoning_output_tokens = first(thoughts, facts.reasoning_output_tokens)


def _read_error(error: Mapping[str, Any], facts: Facts) -> None:
    facts.failed = True
    code = error.get("code")
    facts.error_code = text(error.get("status")) or (str(code) if type(code) is int else text(code))
    facts.error_message = text(error.get("message"))


def _read_predictions(predictions: list[Any], facts: Facts) -> bool:
    """Vertex's embeddings: each counts its own tokens."""
    counts = [
        count(mapping(mapping(mapping(one).get("embeddings")).get("statistics")).get("token_count"))
        for one in predictions
    ]
    known = [tokens for tokens in counts if tokens is not None]
    if known:
        facts.input_tokens = sum(known)
    return bool(predictions)
