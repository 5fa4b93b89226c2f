"""Anthropic's bodies, wherever they are served."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.calls import Call
from otel_llm.record.exchange import Facts, Request
from otel_llm.record.providers import anthropic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [
        *("message", "message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop"),
        *("error", "ping", "text"),
    ]
)
KEYS = st.sampled_from(
    [
        *("type", "message", "content_block", "delta", "usage", "error", "id", "model", "stop_reason", "content"),
        *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "text"),
    ]
)
KNOWN = st.deferred(lambda: st.dictionaries(KEYS, JSON | KINDS | KNOWN, max_size=6))


def ask(body, path="/v1/messages", host="10.0.0.1", port=8000, headers=None):
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return anthropic.open(Request(host=host, port=port, path=path, headers=headers or {}, body=raw), {})


def read(*messages):
    facts = Facts()
    carried = [anthropic.read(message, facts) for message in messages]
    return facts, carried


def tokens(facts):
    return (
        facts.input_tokens,
        facts.output_tokens,
        facts.cache_read_input_tokens,
        facts.cache_creation_input_tokens,
        facts.reasoning_output_tokens,
    )


def test_what_the_body_asks_is_told():
    body = {"model": "c", "max_tokens": 9, "temperature": 1, "top_k": 5, "stop_sequences": ["x"], "stream": False}
    opening = ask(body)
    assert (opening.operation, opening.provider, opening.model) == ("chat", "anthropic", "c")
    assert dict(opening.request) == {
        "max_tokens": 9,
        "temperature": 1.0,
        "top_k": 5.0,
        "stop_sequences": ("x",),
        "stream": False,
    }


@pytest.mark.parametrize("body", [None, b"", b"{", b"[]", b"\xff"])
def test_a_body_that_cannot_be_read_needs_the_version_header(body):
    assert ask(body) is None
    assert ask(body, headers={"anthropic-version": "2023-06-01"}).provider == "anthropic"


@pytest.mark.parametrize(("verb", "stream"), [("rawPredict", None), ("streamRawPredict", True)])
def test_on_vertex_the_path_names_the_model(verb, stream):
    path = f"/v1/projects/p/locations/l/publishers/anthropic/models/claude-x@1:{verb}"
    opening = ask({"anthropic_version": "vertex"}, path, "l-aiplatform.googleapis.com", 443)
    assert (opening.provider, opening.model, opening.request.get("stream")) == ("gcp.vertex_ai", "claude-x@1", stream)


def test_another_publisher_on_vertex_is_not_ours():
    assert ask({"model": "m"}, "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict") is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, (10, 5, None, None, None)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
            },
            (130, 5, 100, 20, None),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None},
            (10, 5, 0, None, None),
        ),
        ({"input_tokens": 0, "output_tokens": 0}, (0, 0, None, None, None)),
        (
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            (1, 9, None, None, 4),
        ),
        ({"input_tokens": "10", "output_tokens": -1}, (None, None, None, None, None)),
        ({}, (None, None, None, None, None)),
    ],
    ids=range(7),
)
def test_cached_tokens_are_input_tokens_too(usage, expected):
    assert tokens(read({"type": "message", "usage": usage})[0]) == expected


START = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}


@pytest.mark.parametrize(
    "last",
    [
        {"output_tokens": 50},
        {"output_tokens": 50, "input_tokens": 0},
        {"output_tokens": 50, "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20},
        {"output_tokens": 50, "input_tokens": 10},
        {"output_tokens": 50, "cache_read_input_tokens": 100},
    ],
)
def test_the_last_event_completes_the_usage_of_the_first(last):
    facts, _ = read(
        {"type": "message_start", "message": {"usage": START}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
    )
    assert tokens(facts)[:4] == (130, 50, 100, 20)


def test_reading_the_last_event_twice_changes_nothing():
    last = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 50, "input_tokens": 10}}
    facts, _ = read({"type": "message_start", "message": {"usage": START}}, last, last)
    assert tokens(facts)[:2] == (130, 50)


def test_the_output_tokens_of_the_first_event_are_a_placeholder():
    assert tokens(read({"type": "message_start", "message": {"usage": START}})[0])[:2] == (130, None)


def test_usage_that_only_the_last_event_tells_is_told():
    facts, _ = read(
        {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}},
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 7, "output_tokens": 5}},
    )
    assert tokens(facts)[:2] == (7, 5)


@pytest.mark.parametrize(
    ("event", "carries"),
    [
        ({"type": "message_start", "message": {"content": []}}, False),
        ({"type": "ping"}, False),
        ({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, False),
        ({"type": "content_block_start", "content_block": {"type": "thinking", "thinking": ""}}, False),
        ({"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}}, True),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, True),
        ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "a"}}, True),
        ({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": ""}}, False),
        ({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}}, False),
        ({"type": "content_block_stop"}, False),
        ({"type": "message_stop"}, False),
        ({"type": "message", "content": [{"type": "text", "text": "a"}]}, True),
    ],
)
def test_an_event_carries_output_when_something_is_in_it(event, carries):
    assert read(event)[1] == [carries]


def test_a_stream_promises_its_end():
    facts, _ = read({"type": "message_start", "message": {}})
    assert (facts.promised, facts.done) == (True, False)
    assert read({"type": "message_stop"})[0].done


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "overloaded_error", "busy"),
        ({"error": {"code": "c", "message": "no"}}, "c", "no"),
        ({"type": "error"}, None, None),
        ({"type": "error", "error": "busy"}, None, None),
    ],
)
def test_an_error_is_told(body, code, message):
    facts, _ = read(body)
    assert (facts.failed, facts.error_code, facts.error_message) == (True, code, message)


@given(st.lists(KNOWN, max_size=3))
def test_any_answer_is_read_and_what_it_tells_fits_a_call(messages):
    facts = Facts()
    for message in messages:
        anthropic.read(message, facts)
    call = Call(operation="chat", **facts.tell({}))
    assert Call.from_attributes(call.attributes()) == call
    assert facts.input_tokens is None or facts.input_tokens >= 0


@given(st.dictionaries(st.sampled_from(["model", "stream", "stop_sequences", "max_tokens", "top_k"]), JSON))
def test_any_request_is_opened_and_what_it_tells_fits_a_call(body):
    opening = ask(body, headers={"anthropic-version": "1"})
    call = Call(operation="chat", **opening.request)
    assert Call.from_attributes(call.attributes()) == call


def test_counting_tokens_on_vertex_is_no_inference():
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict"
    assert ask({"model": "claude", "messages": []}, path, "us-east5-aiplatform.googleapis.com", 443) is None


def test_a_text_completion_of_old_is_told():
    opening = ask({"model": "m", "prompt": "hi", "max_tokens_to_sample": 9}, "/v1/complete")
    assert (opening.operation, opening.model, opening.request["max_tokens"]) == ("text_completion", "m", 9)
    facts = Facts()
    said = {"type": "completion", "id": "i", "model": "m", "completion": "a", "stop_reason": "max_tokens"}
    assert anthropic.read(said, facts)
    assert (facts.response_id, facts.response_model, facts.finish) == ("i", "m", {0: "max_tokens"})


def test_another_completion_on_such_a_path_is_left_alone():
    assert ask({"model": "m", "task": 7}, "/v1/complete") is None
