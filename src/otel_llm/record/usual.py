"""The usual whole answer of OpenAI's chat completions, read in one step: most calls that do not stream have it. Pure.

It says what `providers.openai.read` would, which reads all others: an answer that states anything odd, be it a field
that an imitator adds or a value of another type, is refused here. A test holds the two against each other.
"""

from typing import Annotated, Any, Literal

import msgspec

from otel_llm.record.exchange import Facts, text, tier

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_Never = Annotated[int, msgspec.Meta(ge=1, le=0)]
"""Of no value at all: whoever states such a field is not usual."""


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: _Count | None = None
    audio_tokens: Any = None


class _Output(msgspec.Struct):
    reasoning_tokens: _Count | None = None


class _Usage(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: Any = None
    prompt_tokens_details: _Input | None = None
    completion_tokens_details: _Output | None = None


class _Choice(msgspec.Struct):
    index: int
    finish_reason: str | None
    usage: _Never = 1


class _Answer(msgspec.Struct):
    object: Literal["chat.completion"]
    id: str
    model: str
    choices: list[_Choice]
    usage: _Usage
    service_tier: str | None = None
    system_fingerprint: str | None = None
    error: None = None
    type: _Never = 1
    value: _Never = 1
    timings: _Never = 1
    time_info: _Never = 1
    x_groq: _Never = 1
    prompt_logprobs: _Never = 1
    kv_transfer_params: _Never = 1
    metadata: _Never = 1


_decoder = msgspec.json.Decoder(_Answer)


def read_whole(body: bytes, facts: Facts) -> bool:
    """Fill in ``facts``, of which nothing is known, from a whole ``body``; whether that is a usual one."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    mark = answer.system_fingerprint
    if mark is not None and (mark == "fp_ollama" or "-sha-" in mark):
        return False
    facts.response_id, facts.response_model = text(answer.id), text(answer.model)
    if answer.service_tier is not None:
        facts.service_tier = tier(answer.service_tier)
    usage = answer.usage
    facts.input_tokens, facts.output_tokens = usage.prompt_tokens, usage.completion_tokens
    if usage.prompt_tokens_details is not None:
        facts.cache_read_input_tokens = usage.prompt_tokens_details.cached_tokens
    if usage.completion_tokens_details is not None:
        facts.reasoning_output_tokens = usage.completion_tokens_details.reasoning_tokens
    for choice in answer.choices:
        facts.promised = True
        reason = text(choice.finish_reason)
        if reason:
            facts.finish[choice.index] = reason
    return True
