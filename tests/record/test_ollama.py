"""Ollama's own bodies."""

import pytest
from telling import asked, lines, opened, told

from otel_llm.record.providers import ollama

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/api/chat", {"model": "m", "messages": MESSAGES}, "chat"),
        ("/api/generate", {"model": "m", "prompt": "hi"}, "text_completion"),
        ("/api/embed", {"model": "m", "input": ["hi"]}, "embeddings"),
        ("/api/embeddings", {"model": "m", "prompt": "hi"}, "embeddings"),
    ],
)
def test_a_host_that_nobody_knows_is_told_by_its_bodies(path, body, operation):
    opening = asked(path, body)
    assert (opening.provider, opening.operation, opening.model) == ("ollama", operation, "m")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"id": "1", "model": "m", "messages": MESSAGES}),
        ("/api/chat", {"messages": MESSAGES}),
        ("/api/chat", {"model": "m", "message": "hi"}),
        ("/api/chat", None),
        ("/api/generate", {"model": "tractor"}),
        ("/api/generate", {"prompt": "hi"}),
        ("/api/embed", {"url": "https://example.com"}),
    ],
)
def test_other_web_applications_on_such_paths_are_left_alone(path, body):
    assert opened(path, body) is None


def test_openais_bodies_on_a_gateways_path_stay_openais():
    assert asked("/api/embeddings", {"model": "m", "input": "hi"}).provider == "openai"


def test_at_its_own_port_any_body_is_a_call():
    assert asked("/api/chat", b"\xff", port=11434).provider == "ollama"


def test_options_are_read():
    options = {"temperature": 0.5, "num_predict": 9, "seed": 1, "stop": ["x"], "top_k": 2}
    body = {"model": "m", "messages": MESSAGES, "stream": False, "options": options}
    assert asked("/api/chat", body).request == {
        "stream": False, "temperature": 0.5, "max_tokens": 9, "seed": 1, "stop_sequences": ("x",), "top_k": 2.0,
    }  # fmt: skip


LAST = {
    "model": "m:latest",
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 5,
    "prompt_eval_duration": 200_000_000,
    "eval_count": 3,
    "eval_duration": 1_500_000_000,
}


def test_a_stream_tells_tokens_and_times_in_its_last_line():
    said = [{"model": "m:latest", "message": {"content": text}, "done": False} for text in ("", "a", "b", "c")]
    reading = told(ollama, *lines(*said, {**LAST, "message": {"content": ""}}), content_type="application/x-ndjson")
    facts = reading.facts
    assert (facts.input_tokens, facts.output_tokens, facts.finish) == (5, 3, {0: "stop"})
    assert (facts.server_prefill_time, facts.server_decode_time) == pytest.approx((0.2, 1.5))
    assert (reading.first_chunk_at, reading.first_token_at, reading.chunks) == (0, 1, 5)


def test_a_stream_without_its_last_line_is_incomplete():
    reading = told(ollama, *lines({"response": "a", "done": False}), content_type="application/x-ndjson")
    assert reading.facts.promised
    assert not reading.complete


def test_an_old_server_ends_without_a_reason():
    reading = told(
        ollama, *lines({"response": "a", "done": False}, {"done": True}), content_type="application/x-ndjson"
    )
    assert reading.complete
    assert reading.facts.finish == {}


def test_an_error_in_the_middle_of_a_stream_fails_the_call():
    reading = told(
        ollama, *lines({"response": "a", "done": False}, {"error": "boom"}), content_type="application/x-ndjson"
    )
    assert (reading.facts.failed, reading.facts.error_message) == (True, "boom")


def test_embeddings_larger_than_what_is_held_still_tell_their_tokens():
    answer = {"model": "m", "embeddings": [[0.123456789] * 20_000], "total_duration": 9, "prompt_eval_count": 8}
    assert told(ollama, answer).facts.input_tokens == 8
