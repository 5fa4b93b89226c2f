"""IBM watsonx.ai's own bodies."""

import pytest
from telling import asked, events, opened, told

from otel_llm.record.providers import watsonx

HOST = "us-south.ml.cloud.ibm.com"


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/ml/v1/text/generation", "text_completion"),
        ("/ml/v1-beta/generation/text", "text_completion"),
        ("/ml/v1/text/chat", "chat"),
        ("/ml/v1/text/embeddings", "embeddings"),
    ],
)
def test_the_path_tells_the_operation(path, operation):
    opening = asked(path, {"model_id": "granite"})
    assert (opening.provider, opening.operation, opening.model) == ("ibm.watsonx.ai", operation, "granite")


def test_a_deployment_in_the_path_is_the_model():
    assert asked("/ml/v1/deployments/mine/text/generation", {"input": "hi"}).model == "mine"


@pytest.mark.parametrize("body", [{"text": "hi"}, None, b"?"])
def test_other_web_applications_on_such_paths_are_left_alone(body):
    assert opened("/text/generation", body) is None


def test_at_its_own_host_any_body_is_a_call():
    assert asked("/ml/v1/text/generation", b"?", host=HOST).provider == "ibm.watsonx.ai"


def test_parameters_of_generation_and_of_chat_are_read():
    set_there = {"max_new_tokens": 9, "temperature": 0.5, "random_seed": 3, "stop_sequences": ["x"], "top_k": 4}
    assert asked("/ml/v1/text/generation_stream", {"model_id": "m", "parameters": set_there}).request == {
        "stream": True, "temperature": 0.5, "top_k": 4.0, "max_tokens": 9, "seed": 3, "stop_sequences": ("x",),
    }  # fmt: skip
    assert asked("/ml/v1/text/chat", {"model_id": "m", "max_tokens": 7}).request == {"max_tokens": 7}


def test_a_generation_tells_tokens_and_finish():
    result = {"generated_text": "a", "generated_token_count": 2, "input_token_count": 7, "stop_reason": "eos_token"}
    facts = told(watsonx, {"model_id": "m", "results": [result]}).facts
    assert (facts.response_model, facts.input_tokens, facts.output_tokens) == ("m", 7, 2)
    assert facts.finish == {0: "eos_token"}


def piece(said, tokens, prompt=0, reason="not_finished"):
    counts = {"generated_token_count": tokens, "input_token_count": prompt, "stop_reason": reason}
    return {"model_id": "m", "results": [{"generated_text": said, **counts}]}


def test_a_stream_counts_the_prompt_once_and_the_output_so_far():
    said = [piece("", 0, prompt=8), *(piece("a", n) for n in range(1, 12)), piece("", 12, reason="max_tokens")]
    reading = told(watsonx, *events(*said), content_type="text/event-stream")
    assert (reading.facts.input_tokens, reading.facts.output_tokens) == (8, 12)
    assert (reading.facts.finish, reading.complete) == ({0: "max_tokens"}, True)


def test_a_stream_that_was_cut_off_is_incomplete():
    said = events(piece("a", 1, prompt=8), piece("b", 2))
    reading = told(watsonx, *said, content_type="text/event-stream")
    assert (reading.facts.promised, reading.complete, reading.facts.finish) == (True, False, {})


def test_a_chat_is_answered_in_openais_words():
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
    answer = {"id": "i", "model_id": "m", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    facts = told(watsonx, answer).facts
    assert (facts.response_id, facts.response_model, facts.input_tokens, facts.finish) == ("i", "m", 3, {0: "stop"})


def test_embeddings_count_their_prompt():
    answer = {"model_id": "m", "results": [{"embedding": [0.1]}], "input_token_count": 5}
    assert told(watsonx, answer).facts.input_tokens == 5


def test_an_error_is_told_by_its_code():
    facts = told(watsonx, {"errors": [{"code": "model_not_supported", "message": "no such model"}]}).facts
    assert (facts.failed, facts.error_code, facts.error_message) == (True, "model_not_supported", "no such model")
