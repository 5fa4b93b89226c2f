"""What is read of a usual answer in one step is what the format reads of it; all that is odd is left to the format."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_transcripts import exchanges

from otel_llm.record.exchange import Facts
from otel_llm.record.framing import decode
from otel_llm.record.providers import openai

USUAL = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Yes", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0, "accepted_prediction_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


def told(body):
    """Whether ``body`` is usual, and what is read of it; what the format reads."""
    swift, slow = Facts(), Facts()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    usual = openai.read_whole(raw, swift)
    value = decode(raw)
    if isinstance(value, dict):
        openai.read(value, slow)
    return usual, swift, slow


def agree(body):
    """Whether ``body`` is usual; where it is, both read the same of it, and else nothing is read."""
    usual, swift, slow = told(body)
    assert swift == (slow if usual else Facts())
    return usual


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"service_tier": "flex"},
        {"service_tier": None, "system_fingerprint": None, "error": None},
        {"choices": [{"index": 1, "finish_reason": "length"}, {"index": 0, "finish_reason": None}]},
        {"choices": []},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": None}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "completion_tokens_details": {}}},
        {"id": "", "model": "é" * 2000},
        {"moderation": {"whatever": [1]}},
    ],
)
def test_a_usual_answer_is_read_in_one_step(more):
    assert agree({**USUAL, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"object": "response"},
        {"object": "text_completion"},
        {"error": {"message": "m"}},
        {"error": "m"},
        {"timings": {"predicted_n": 3}},
        {"time_info": {}},
        {"x_groq": {}},
        {"prompt_logprobs": None},
        {"kv_transfer_params": None},
        {"metadata": {"weight_version": "1"}},
        {"type": "response.completed"},
        {"value": "text"},
        {"system_fingerprint": "fp_ollama"},
        {"system_fingerprint": "2.1.1-sha-4b8cda6"},
        {"usage": None},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 3}},
        {"usage": {"prompt_tokens": 1 << 60, "completion_tokens": 3}},
        {"usage": {"prompt_tokens": "1", "completion_tokens": 3}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 3, "queue_time": 0.5}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 3, "prompt_tokens_details": {"cache_write_tokens": 1}}},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"index": 0, "finish_reason": 1}]},
        {"choices": [{"index": 0, "finish_reason": "stop", "usage": {"prompt_tokens": 1}}]},
        {"choices": None},
        {"id": None},
        {"model": 1},
    ],
)
def test_what_is_odd_is_left_to_the_format(more):
    assert not agree({**USUAL, **more})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"object": "chat.completion"}'])
def test_what_is_none_is_left_to_the_format(body):
    assert not openai.read_whole(body, Facts())


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([*USUAL, "timings", "error", "type", "metadata", "value"]), _VALUES, st.booleans())
def test_whatever_a_field_holds_both_agree(field, value, inside):
    body = {**USUAL, field: value}
    if inside:
        body["usage"] = {**USUAL["usage"], "prompt_tokens": value, "prompt_tokens_details": {"cached_tokens": value}}
    agree(body)


def test_of_all_recorded_answers_both_read_the_same():
    bodies = [body for exchange in exchanges() if (body := _whole(exchange))]
    usual = [agree(body) for body in bodies]
    assert not bodies or any(usual)


def _whole(exchange):
    """The body of a recorded answer, where it is one JSON object."""
    raw = exchange["response"].get("body")
    try:
        return raw.encode() if isinstance(raw, str) and isinstance(msgspec.json.decode(raw), dict) else None
    except msgspec.DecodeError:
        return None
