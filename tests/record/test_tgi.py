"""Text Generation Inference's own bodies."""

import pytest
from telling import asked, events, opened, told

from otel_llm.record.providers import tgi

PARAMETERS = {"max_new_tokens": 9, "temperature": 0.5, "stop": ["x"], "seed": 3}


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
def test_a_host_that_nobody_knows_is_told_by_its_body(path):
    opening = asked(path, {"inputs": "hi", "parameters": PARAMETERS})
    assert (opening.provider, opening.operation) == ("tgi", "text_completion")
    assert opening.request == {"max_tokens": 9, "temperature": 0.5, "stop_sequences": ("x",), "seed": 3}


@pytest.mark.parametrize("body", [{"report": 7}, {"inputs": {"a": 1}}, None, b"?"])
def test_other_web_applications_on_such_paths_are_left_alone(body):
    assert opened("/reports/generate", body) is None


def test_an_endpoint_of_hugging_face_keeps_its_name():
    host = "abc.eu-west-1.aws.endpoints.huggingface.cloud"
    assert asked("/generate", {"inputs": "hi"}, host=host).provider == "huggingface"


def test_details_tell_tokens_and_finish():
    answer = {"generated_text": "a", "details": {"finish_reason": "length", "generated_tokens": 9, "prefill": [{}, {}]}}
    facts = told(tgi, answer).facts
    assert (facts.input_tokens, facts.output_tokens, facts.finish) == (2, 9, {0: "length"})


def test_without_details_nothing_is_made_up():
    facts = told(tgi, {"generated_text": "a"}).facts
    assert (facts.input_tokens, facts.output_tokens, facts.finish) == (None, None, {})


def test_a_stream_tells_its_tokens_in_the_last_event():
    said = [{"index": n, "token": {"text": "a"}, "generated_text": None, "details": None} for n in range(3)]
    details = {"finish_reason": "eos_token", "generated_tokens": 4, "input_length": 6, "seed": None}
    last = {"index": 3, "token": {"text": "</s>", "special": True}, "generated_text": "aaa", "details": details}
    reading = told(tgi, *events(*said, last), content_type="text/event-stream")
    assert (reading.facts.input_tokens, reading.facts.output_tokens) == (6, 4)
    assert (reading.first_token_at, reading.chunks, reading.complete) == (0, 4, True)


def test_a_stream_without_its_last_event_is_incomplete():
    said = {"index": 0, "token": {"text": "a"}, "generated_text": None, "details": None}
    assert not told(tgi, *events(said), content_type="text/event-stream").complete


def test_an_error_in_the_middle_of_a_stream_fails_the_call():
    said = {"token": {"text": "a"}}, {"error": "Request failed", "error_type": "generation"}
    facts = told(tgi, *events(*said), content_type="text/event-stream").facts
    assert (facts.failed, facts.error_code, facts.error_message) == (True, "generation", "Request failed")
