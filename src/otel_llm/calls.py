"""One inference, and the map between it and a span's attributes.

The attribute's name rides on the field (as msgspec's name of it), so the map is derived in both directions and cannot
drift: what `attributes` writes, `from_attributes` reads. Everything right of the finished span (store, alerts,
commands) reads calls through this module and so works for spans that any other instrumentation made.
"""

from collections.abc import Mapping
from typing import Any, Final, Self, TypeAlias

import msgspec

from otel_llm import semconv

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
"""What an attribute of ours holds."""


def _attribute(name: str) -> Any:
    return msgspec.field(default=None, name=name)


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one request to a model asked, cost and took.

    ``None`` means that nobody said or measured it; it is never replaced by a zero. Durations are seconds [s].

    Attributes:
        operation: ``gen_ai.operation.name``, e.g. ``chat``.
        provider: Who serves the model, e.g. ``openai``, ``azure.ai.openai``, ``vllm``.
        input_tokens: Prompt tokens, cached ones included.
        usage_source: ``provider`` when the server reported the tokens, ``estimated`` when chunks were counted.
        service_tier: How the provider says that it served the call, where not in its standard way, e.g. ``batch``.
        cost: In ``cost_currency``; only of tokens that the provider reported, or of a server's time.
        cost_source: The price table and its date, ``override`` or ``gpu_hour``.
        time_to_first_chunk: From request sent to the first message of a stream, empty or not [s].
        time_to_first_token: From request sent to the first message that carries output [s].
        time_per_output_token: ``(duration - time_to_first_token) / (output_tokens - 1)``; of reported tokens only [s].
        stream_chunks: Messages that a stream held.
        stream_max_gap: Longest wait between two pieces of a stream [s].
        outcome: ``completed``, ``abandoned``, ``cancelled`` or ``error``.
        error_type: HTTP status code as string, or the exception's class; ``None`` means no error.
        error_code: The provider's own code of an error.
        resend_count: How many attempts went before this one; ``None`` for the first.
        backoff: Wait between the previous attempt's end and this one's start [s].
        connection_wait: Time in the client's pool plus connect and TLS [s].
        server_queue_time: The server's own clock, like the two that follow; only when the response says it [s].
        energy: What the cards of a model server on this host took for it; above rest where ``energy_idle`` is
            known [J].
        energy_idle: Its share of what those cards take at rest [J].
        energy_method: How the energy is known, e.g. ``counter/shared``.
        truncated: The body outgrew what is held, so some facts may be missing.
        metadata: The user's own values, kept under ``otel_llm.metadata.*``.
    """

    operation: str = msgspec.field(name=semconv.OPERATION_NAME)
    provider: str | None = _attribute(semconv.PROVIDER_NAME)
    request_model: str | None = _attribute(semconv.REQUEST_MODEL)
    server_address: str | None = _attribute(semconv.SERVER_ADDRESS)
    server_port: int | None = _attribute(semconv.SERVER_PORT)

    stream: bool | None = _attribute(semconv.REQUEST_STREAM)
    temperature: float | None = _attribute(semconv.REQUEST_TEMPERATURE)
    top_p: float | None = _attribute(semconv.REQUEST_TOP_P)
    top_k: float | None = _attribute(semconv.REQUEST_TOP_K)
    max_tokens: int | None = _attribute(semconv.REQUEST_MAX_TOKENS)
    seed: int | None = _attribute(semconv.REQUEST_SEED)
    frequency_penalty: float | None = _attribute(semconv.REQUEST_FREQUENCY_PENALTY)
    presence_penalty: float | None = _attribute(semconv.REQUEST_PRESENCE_PENALTY)
    stop_sequences: tuple[str, ...] | None = _attribute(semconv.REQUEST_STOP_SEQUENCES)
    choice_count: int | None = _attribute(semconv.REQUEST_CHOICE_COUNT)
    reasoning_level: str | None = _attribute(semconv.REQUEST_REASONING_LEVEL)
    encoding_formats: tuple[str, ...] | None = _attribute(semconv.REQUEST_ENCODING_FORMATS)
    dimension_count: int | None = _attribute(semconv.EMBEDDINGS_DIMENSION_COUNT)

    response_model: str | None = _attribute(semconv.RESPONSE_MODEL)
    response_id: str | None = _attribute(semconv.RESPONSE_ID)
    finish_reasons: tuple[str, ...] | None = _attribute(semconv.RESPONSE_FINISH_REASONS)

    input_tokens: int | None = _attribute(semconv.USAGE_INPUT_TOKENS)
    output_tokens: int | None = _attribute(semconv.USAGE_OUTPUT_TOKENS)
    cache_read_input_tokens: int | None = _attribute(semconv.USAGE_CACHE_READ_INPUT_TOKENS)
    cache_creation_input_tokens: int | None = _attribute(semconv.USAGE_CACHE_CREATION_INPUT_TOKENS)
    reasoning_output_tokens: int | None = _attribute(semconv.USAGE_REASONING_OUTPUT_TOKENS)
    usage_source: str | None = _attribute(semconv.USAGE_SOURCE)
    service_tier: str | None = _attribute(semconv.SERVICE_TIER)
    cost: float | None = _attribute(semconv.COST)
    cost_currency: str | None = _attribute(semconv.COST_CURRENCY)
    cost_source: str | None = _attribute(semconv.COST_SOURCE)

    time_to_first_chunk: float | None = _attribute(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
    time_to_first_token: float | None = _attribute(semconv.TIME_TO_FIRST_TOKEN)
    time_per_output_token: float | None = _attribute(semconv.TIME_PER_OUTPUT_TOKEN)
    stream_chunks: int | None = _attribute(semconv.STREAM_CHUNKS)
    stream_max_gap: float | None = _attribute(semconv.STREAM_MAX_GAP)

    outcome: str | None = _attribute(semconv.OUTCOME)
    error_type: str | None = _attribute(semconv.ERROR_TYPE)
    error_code: str | None = _attribute(semconv.ERROR_CODE)
    status_code: int | None = _attribute(semconv.HTTP_RESPONSE_STATUS_CODE)
    resend_count: int | None = _attribute(semconv.HTTP_REQUEST_RESEND_COUNT)
    backoff: float | None = _attribute(semconv.ATTEMPT_BACKOFF)
    limit_requests: int | None = _attribute(semconv.RATELIMIT_LIMIT_REQUESTS)
    limit_tokens: int | None = _attribute(semconv.RATELIMIT_LIMIT_TOKENS)
    remaining_requests: int | None = _attribute(semconv.RATELIMIT_REMAINING_REQUESTS)
    remaining_tokens: int | None = _attribute(semconv.RATELIMIT_REMAINING_TOKENS)
    retry_after: float | None = _attribute(semconv.RETRY_AFTER)

    connection_wait: float | None = _attribute(semconv.CONNECTION_WAIT)
    server_queue_time: float | None = _attribute(semconv.SERVER_QUEUE_TIME)
    server_prefill_time: float | None = _attribute(semconv.SERVER_PREFILL_TIME)
    server_decode_time: float | None = _attribute(semconv.SERVER_DECODE_TIME)
    queue_name: str | None = _attribute(semconv.QUEUE_NAME)
    queue_wait: float | None = _attribute(semconv.QUEUE_WAIT)
    energy: float | None = _attribute(semconv.ENERGY)
    energy_idle: float | None = _attribute(semconv.ENERGY_IDLE)
    energy_method: str | None = _attribute(semconv.ENERGY_METHOD)
    truncated: bool | None = _attribute(semconv.TRUNCATED)
    metadata: Mapping[str, Value] = msgspec.field(default_factory=dict)

    @property
    def span_name(self) -> str:
        """``{operation} {model}``, or the operation alone while no model is known."""
        return f"{self.operation} {self.request_model}" if self.request_model else self.operation

    def attributes(self) -> dict[str, Value]:
        """Every value that is known, under its attribute's name."""
        known: dict[str, Any] = msgspec.to_builtins(self)
        for key, value in known.pop("metadata", {}).items():
            known[semconv.METADATA_PREFIX + key] = value
        return known

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Self | None:
        """The call that a span describes, or ``None`` when the span is no inference.

        A value of the wrong type counts as not said: other instrumentations write strange things.
        """
        operation = attributes.get(semconv.OPERATION_NAME)
        if not isinstance(operation, str) or operation not in semconv.INFERENCE_OPERATIONS:
            return None
        said: dict[str, Any] = {}
        for name, attribute in ATTRIBUTES.items():
            value = _fit(attributes.get(attribute), KINDS[name])
            if value is not None:
                said[name] = value
        start = len(semconv.METADATA_PREFIX)
        metadata = {
            key[start:]: tuple(value) if isinstance(value, list) else value
            for key, value in attributes.items()
            if key.startswith(semconv.METADATA_PREFIX)
        }
        return cls(**said, metadata=metadata)


def _kind(annotation: object) -> type:
    """The one concrete type of a field's annotation, ``tuple`` for sequences of strings."""
    text = str(annotation)
    if text.startswith("tuple"):
        return tuple
    if "float" in text:
        return float
    if "bool" in text:
        return bool
    return int if "int" in text else str


ATTRIBUTES: Final[Mapping[str, str]] = {
    field.name: field.encode_name for field in msgspec.structs.fields(Call) if field.name != "metadata"
}
"""The attribute of each field."""

KINDS: Final[Mapping[str, type]] = {
    field.name: _kind(field.type) for field in msgspec.structs.fields(Call) if field.name != "metadata"
}
"""The type of each field's value."""


def _fit(value: object, kind: type) -> object:
    """``value`` as ``kind``, or ``None`` where it is of another kind."""
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(value)
        return None
    return value if type(value) is kind else None
