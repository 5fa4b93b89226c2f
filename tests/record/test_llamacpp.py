"""The llama.cpp server's own bodies."""

import pytest
from telling import asked, events, opened, told

from otel_llm.record.providers import llamacpp


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/completion", {"prompt": "hi"}, "text_completion"),
        ("/completions", {"prompt": [1, 2, 3]}, "text_completion"),
        ("/infill", {"input_prefix": "def f(", "input_suffix": ")"}, "text_completion"),
        ("/embedding", {"content": "hi"}, "embeddings"),
    ],
)
def test_a_host_that_nobody_knows_is_told_by_its_bodies(path, body, operation):
    opening = asked(path, body)
    assert (opening.provider, opening.operation, opening.model) == ("llama_cpp", operation, None)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/search/completion", {"query": "hi"}), ("/infill", {}), ("/embedding", {"id": 7}), ("/completion", None)],
)
def test_other_web_applications_on_such_paths_are_left_alone(path, body):
    assert opened(path, body) is None


def test_openais_path_stays_openais():
    assert asked("/v1/completions", {"prompt": "hi"}).provider == "openai"


def test_parameters_are_read_and_no_limit_is_none():
    body = {"prompt": "hi", "n_predict": 9, "temperature": 0.5, "stream": True, "stop": ["x"]}
    assert asked("/completion", body).request == {
        "stream": True, "temperature": 0.5, "max_tokens": 9, "stop_sequences": ("x",),
    }  # fmt: skip
    assert asked("/completion", {"prompt": "hi", "n_predict": -1}).request == {}


LAST = {
    "content": "",
    "stop": True,
    "model": "tiny.gguf",
    "stop_type": "limit",
    "tokens_predicted": 3,
    "tokens_evaluated": 12,
    "timings": {"cache_n": 8, "prompt_n": 4, "prompt_ms": 20.0, "predicted_n": 3, "predicted_ms": 30.0},
}


def test_a_stream_tells_tokens_and_times_in_its_last_event():
    said = [{"content": text, "stop": False} for text in ("a", "b", "c")]
    reading = told(llamacpp, *events(*said, LAST), content_type="text/event-stream")
    facts = reading.facts
    assert (facts.input_tokens, facts.output_tokens, facts.cache_read_input_tokens) == (12, 3, 8)
    assert (facts.finish, facts.response_model) == ({0: "limit"}, "tiny.gguf")
    assert (facts.server_prefill_time, facts.server_decode_time) == pytest.approx((0.02, 0.03))
    assert (reading.first_token_at, reading.chunks, reading.output_chunks) == (0, 4, 3)


def test_older_servers_say_by_flags_why_they_stopped():
    answer = {"content": "a", "stop": True, "stopped_eos": False, "stopped_word": True, "stopped_limit": False}
    assert told(llamacpp, answer).facts.finish == {0: "word"}


def test_a_stream_without_its_last_event_is_incomplete():
    reading = told(llamacpp, *events({"content": "a", "stop": False}), content_type="text/event-stream")
    assert reading.facts.promised
    assert not reading.complete


def test_an_error_is_told():
    error = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    facts = told(llamacpp, error).facts
    assert (facts.failed, facts.error_code, facts.error_message) == (True, "unavailable_error", "Loading model")
