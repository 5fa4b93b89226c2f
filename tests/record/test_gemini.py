"""Google's Gemini bodies."""

import json

import pytest
from telling import asked, begun, events, opened, told

from otel_llm.record.providers import gemini

MODEL = "/v1beta/models/gemini-2.5-flash"
VERTEX = "/v1/projects/p/locations/eu/publishers/google/models/gemini-2.5-pro"


def chunk(text, **more):
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}]}


USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 20, "thoughtsTokenCount": 30, "cachedContentTokenCount": 4}


def test_the_path_says_model_and_operation():
    opening = asked(f"{MODEL}:generateContent", {"contents": []}, host="generativelanguage.googleapis.com")
    assert (opening.operation, opening.provider) == ("generate_content", "gcp.gemini")
    assert opening.model == "gemini-2.5-flash"


@pytest.mark.parametrize("body", [None, b"", b"not json", b"[1]"])
def test_a_body_that_cannot_be_read_still_gives_a_call(body):
    assert asked(f"{MODEL}:streamGenerateContent", body).model == "gemini-2.5-flash"


def test_vertex_is_told_by_host_and_by_path():
    host = "europe-west4-aiplatform.googleapis.com"
    assert asked(f"{VERTEX}:generateContent", {}, host=host).provider == "gcp.vertex_ai"
    assert asked(f"{VERTEX}:generateContent", {}).provider == "gcp.vertex_ai"


def test_the_generation_config_is_read_in_both_spellings():
    camel = {"topP": 0.5, "topK": 3, "maxOutputTokens": 9, "stopSequences": ["x"], "candidateCount": 2, "seed": -1}
    snake = {
        "top_p": 0.5,
        "top_k": 3,
        "max_output_tokens": 9,
        "stop_sequences": ["x"],
        "candidate_count": 2,
        "seed": -1,
    }
    expected = {"top_p": 0.5, "top_k": 3.0, "max_tokens": 9, "stop_sequences": ("x",), "choice_count": 2, "seed": -1}
    assert asked(f"{MODEL}:generateContent", {"generationConfig": camel}).request == expected
    assert asked(f"{MODEL}:generateContent", {"generation_config": snake}).request == expected


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("embedContent", {"content": {}, "outputDimensionality": 256}),
        ("batchEmbedContents", {"requests": [{"outputDimensionality": 256}]}),
    ],
)
def test_embeddings_are_told_with_their_size(method, body):
    opening = asked(f"/v1beta/models/gemini-embedding-001:{method}", body)
    assert opening.operation == "embeddings"
    assert opening.request == {"dimension_count": 256}


def test_vertex_predicts_embeddings_and_other_predictions_are_nobodys():
    path = "/v1/projects/p/locations/eu/publishers/google/models/text-embedding-005:predict"
    assert asked(path, {"instances": []}).operation == "embeddings"
    assert opened("/v1/projects/p/locations/eu/endpoints/77:predict", {"instances": []}) is None


def test_counting_tokens_is_no_inference():
    assert opened(f"{MODEL}:countTokens", {"contents": []}, host="generativelanguage.googleapis.com") is None


def test_output_tokens_hold_the_thoughts():
    answer = {**chunk("hi", finishReason="STOP"), "usageMetadata": USAGE, "modelVersion": "gemini-x", "responseId": "r"}
    facts = told(gemini, answer).facts
    assert (facts.input_tokens, facts.output_tokens, facts.reasoning_output_tokens) == (7, 50, 30)
    assert facts.cache_read_input_tokens == 4
    assert (facts.response_model, facts.response_id, facts.finish) == ("gemini-x", "r", {0: "STOP"})


def test_every_candidate_has_its_finish_reason():
    answer = {"candidates": [{"finishReason": "STOP", "index": 1}, {"finishReason": "SAFETY", "index": 0}]}
    assert told(gemini, answer).facts.finish == {0: "SAFETY", 1: "STOP"}


def test_a_refused_prompt_is_a_whole_answer():
    reading = told(gemini, *events({"promptFeedback": {"blockReason": "SAFETY"}}), content_type="text/event-stream")
    assert reading.complete


def test_an_error_is_told_by_its_status():
    error = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    facts = told(gemini, [error]).facts
    assert (facts.failed, facts.error_code, facts.error_message) == (True, "RESOURCE_EXHAUSTED", "slow down")


def test_vertex_embeddings_count_their_tokens_one_by_one():
    predictions = [{"embeddings": {"statistics": {"token_count": count}, "values": [0.1]}} for count in (3, 4)]
    assert told(gemini, {"predictions": predictions}).facts.input_tokens == 7


ARRAY = json.dumps(
    [
        chunk(""),
        {**chunk('a "quoted]} {brace'), "usageMetadata": {"promptTokenCount": 7}},
        chunk("b"),
        {**chunk("c", finishReason="STOP"), "usageMetadata": USAGE, "responseId": "r"},
    ],
    indent=1,
).encode()


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
def test_an_array_is_read_while_it_comes(size):
    pieces = [ARRAY[start : start + size] for start in range(0, len(ARRAY), size)]
    reading = told(gemini, *pieces, array=True)
    assert reading.chunks == 4
    assert reading.facts.finish == {0: "STOP"}
    assert (reading.facts.input_tokens, reading.facts.output_tokens, reading.facts.response_id) == (7, 50, "r")


def test_first_chunk_and_first_token_of_an_array_are_timed_when_they_come():
    elements = [json.dumps(part).encode() for part in (chunk(""), chunk("a"), chunk("b", finishReason="STOP"))]
    pieces = [b"[" + elements[0], b"\n,\r\n" + elements[1][:9], elements[1][9:], b",", elements[2] + b"]"]
    reading = told(gemini, *pieces, array=True)
    assert (reading.first_chunk_at, reading.first_token_at) == (0, 2)


def test_an_array_that_was_cut_off_is_incomplete():
    assert not told(gemini, b"[" + json.dumps(chunk("a")).encode() + b",", array=True).complete


def test_a_picture_in_an_array_is_not_held_and_what_follows_it_is_told():
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBO" * 100_000}}
    answer = {"candidates": [{"content": {"parts": [image]}, "finishReason": "STOP"}], "usageMetadata": USAGE}
    body = json.dumps([chunk("here"), answer, {"responseId": "r"}]).encode()
    held = 0
    reading = begun(gemini, array=True)
    for start in range(0, len(body), 8192):
        reading.feed(body[start : start + 8192])
        held = max(held, len(reading._buffer) + reading._held)
    reading.finish(1)
    assert held < 2 * 65_536
    assert (reading.facts.output_tokens, reading.facts.response_id, reading.truncated) == (50, "r", True)


def test_an_answer_larger_than_what_is_held_still_tells_its_tokens():
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBO" * 100_000}}
    answer = {
        "candidates": [{"content": {"parts": [image]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": USAGE,
        "modelVersion": "gemini-x",
        "responseId": "r",
    }
    facts = told(gemini, answer).facts
    assert (facts.input_tokens, facts.output_tokens, facts.response_model, facts.response_id) == (
        7,
        50,
        "gemini-x",
        "r",
    )
    assert facts.finish == {0: "STOP"}


@pytest.mark.parametrize(
    ("said", "reason"), [(1, ("STOP",)), (2, ("MAX_TOKENS",)), (8, ("8",)), (0, ()), (True, ()), (10**9, ())]
)
def test_a_finish_reason_that_is_a_number_is_told_by_its_name(said, reason):
    facts = told(gemini, {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": said}]}).facts
    assert tuple(facts.finish.values()) == reason


def test_an_array_whose_reason_is_a_number_is_complete():
    elements = [{"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": 1}]}]
    assert told(gemini, json.dumps(elements).encode(), array=True).complete


@pytest.mark.parametrize("size", [1000, 10**7])
def test_vertex_embeddings_larger_than_what_is_held_still_count_their_tokens(size):
    vector = {"values": [0.015625] * 3072}
    answer = {"predictions": [{"embeddings": {"statistics": {"token_count": n}, **vector}} for n in (3, 4, 5)]}
    raw = json.dumps(answer, indent=2).encode()
    pieces = [raw[place : place + size] for place in range(0, len(raw), size)]
    reading = told(gemini, *pieces)
    assert (reading.truncated, reading.facts.input_tokens) == (True, 12)
