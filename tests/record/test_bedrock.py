"""Amazon Bedrock: Converse, and InvokeModel with the bodies of many models."""

import base64
import json

import pytest
from telling import asked, frame, opened, told

from otel_llm.record.head import read_head
from otel_llm.record.providers import bedrock

HOST = "bedrock-runtime.eu-west-1.amazonaws.com"
STREAM = "application/vnd.amazon.eventstream"
CLAUDE = "anthropic.claude-sonnet-4-v1:0"


def chunk(inner):
    """An event of InvokeModel's stream."""
    payload = {"bytes": base64.b64encode(json.dumps(inner).encode()).decode(), "p": "abc"}
    return frame(payload, event_type="chunk", content_type="application/json", message_type="event")


def event(name, **payload):
    """An event of Converse's stream."""
    return frame({**payload, "p": "abcd"}, event_type=name, content_type="application/json", message_type="event")


@pytest.mark.parametrize("door", ["invoke", "invoke-with-response-stream", "converse", "converse-stream"])
def test_the_path_says_the_model(door):
    opening = asked(f"/model/{CLAUDE}/{door}", {"messages": []}, host=HOST)
    assert (opening.provider, opening.operation, opening.model) == ("aws.bedrock", "chat", CLAUDE)


@pytest.mark.parametrize("path", [f"/model/{CLAUDE}/invoke", "/x/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ap%2Fq/invoke"])
def test_a_host_that_nobody_knows_is_told_by_the_path(path):
    assert asked(path, b"?").provider == "aws.bedrock"


def test_a_model_that_is_an_escaped_arn_is_told_in_full():
    path = "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ainference-profile%2Feu.claude/converse"
    assert asked(path, {}).model == "arn:aws:bedrock:eu:1:inference-profile/eu.claude"
    plain = "/model/arn:aws:bedrock:eu:1:inference-profile/eu.claude/converse"
    assert asked(plain, {}).model == "arn:aws:bedrock:eu:1:inference-profile/eu.claude"


@pytest.mark.parametrize("path", ["/chain/invoke", "/model/churn/invoke", "/converse", "/tools/invoke"])
def test_other_web_applications_on_such_paths_are_left_alone(path):
    assert opened(path, {"input": {"text": "hi"}}) is None


def test_reranking_is_no_inference():
    assert opened("/model/cohere.rerank-v3-5:0/invoke", {"query": "q"}, host=HOST) is None


@pytest.mark.parametrize(
    ("model", "body", "operation"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": "hi"}, "embeddings"),
        ("cohere.embed-english-v3", {"texts": ["hi"]}, "embeddings"),
        ("amazon.titan-text-express-v1", {"inputText": "hi"}, "text_completion"),
        ("meta.llama3-70b-instruct-v1:0", {"prompt": "hi"}, "text_completion"),
        ("amazon.nova-canvas-v1:0", {"taskType": "TEXT_IMAGE"}, "generate_content"),
        ("mistral.mistral-large-2407-v1:0", {"messages": []}, "chat"),
    ],
)
def test_model_and_body_say_the_operation(model, body, operation):
    assert asked(f"/model/{model}/invoke", body, host=HOST).operation == operation


@pytest.mark.parametrize(
    "body",
    [
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.25, "maxTokens": 9}},
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.25, "max_new_tokens": 9}},
        {"inputText": "", "textGenerationConfig": {"temperature": 0.5, "topP": 0.25, "maxTokenCount": 9}},
        {"temperature": 0.5, "top_p": 0.25, "max_tokens": 9},
        {"temperature": 0.5, "top_p": 0.25, "max_gen_len": 9},
        {"temperature": 0.5, "p": 0.25, "max_tokens": 9},
        {"temperature": 0.5, "topP": 0.25, "maxTokens": 9},
        {"temperature": 0.5, "top_p": 0.25, "max_tokens_to_sample": 9},
    ],
)
def test_parameters_are_read_in_every_models_spelling(body):
    assert asked(f"/model/{CLAUDE}/invoke", body).request == {"temperature": 0.5, "top_p": 0.25, "max_tokens": 9}


@pytest.mark.parametrize(
    ("answer", "tokens", "finish"),
    [
        (
            {"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}, "stopReason": "end_turn"},
            (3, 4),
            "end_turn",
        ),
        (
            {"type": "message", "usage": {"input_tokens": 3, "output_tokens": 4}, "stop_reason": "end_turn"},
            (3, 4),
            "end_turn",
        ),
        (
            {"inputTextTokenCount": 3, "results": [{"tokenCount": 4, "completionReason": "FINISH"}]},
            (3, 4),
            "FINISH",
        ),
        (
            {"generation": "a", "prompt_token_count": 3, "generation_token_count": 4, "stop_reason": "stop"},
            (3, 4),
            "stop",
        ),
        (
            {"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
            (3, 4),
            "stop",
        ),
        ({"outputs": [{"text": "a", "stop_reason": "length"}]}, (None, None), "length"),
        ({"choices": [{"text": "a", "stop_reason": "length"}]}, (None, None), "length"),
        ({"generations": [{"text": "a", "finish_reason": "COMPLETE"}]}, (None, None), "COMPLETE"),
        ({"completions": [{"finishReason": {"reason": "endoftext"}}]}, (None, None), "endoftext"),
        ({"completion": "a", "stop_reason": "stop_sequence"}, (None, None), "stop_sequence"),
    ],
)
def test_the_bodies_of_all_models_are_read(answer, tokens, finish):
    facts = told(bedrock, answer).facts
    assert (facts.input_tokens, facts.output_tokens) == tokens
    assert facts.finish == {0: finish}


def test_embeddings_of_titan_tell_their_tokens():
    assert told(bedrock, {"embedding": [0.1], "inputTextTokenCount": 5}).facts.input_tokens == 5


def test_input_tokens_hold_the_cached_ones():
    usage = {"inputTokens": 4, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 6, "outputTokens": 5}
    facts = told(bedrock, {"usage": {**usage, "totalTokens": 25}}).facts
    assert (facts.input_tokens, facts.cache_read_input_tokens, facts.cache_creation_input_tokens) == (20, 10, 6)


def test_input_tokens_that_hold_the_cached_ones_already_are_left_as_they_are():
    usage = {"inputTokens": 20, "cacheReadInputTokens": 10, "outputTokens": 5, "totalTokens": 25}
    assert told(bedrock, {"usage": usage}).facts.input_tokens == 20


CONVERSED = (
    event("messageStart", role="assistant"),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "a"}),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "b"}),
    event("contentBlockStop", contentBlockIndex=0),
    event("messageStop", stopReason="max_tokens"),
    event("metadata", usage={"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}, metrics={"latencyMs": 9}),
)


@pytest.mark.parametrize("size", [1, 3, 64, 5000])
def test_a_stream_of_converse_is_read_while_it_comes(size):
    body = b"".join(CONVERSED)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    reading = told(bedrock, *pieces, content_type=STREAM)
    assert (reading.facts.input_tokens, reading.facts.output_tokens, reading.facts.finish) == (3, 4, {0: "max_tokens"})
    assert (reading.chunks, reading.output_chunks) == (6, 2)


def test_first_chunk_and_first_token_of_frames_are_timed_when_they_come():
    reading = told(bedrock, *CONVERSED, content_type=STREAM)
    assert (reading.first_chunk_at, reading.first_token_at) == (0, 1)


def test_a_stream_of_converse_that_was_cut_off_is_incomplete():
    reading = told(bedrock, *CONVERSED[:3], content_type=STREAM)
    assert reading.facts.promised
    assert not reading.complete


def test_a_stream_of_claude_is_read_from_its_chunks():
    said = [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 99, "outputTokenCount": 99}},
    ]
    reading = told(bedrock, *map(chunk, said), content_type=STREAM)
    facts = reading.facts
    assert (facts.response_id, facts.input_tokens, facts.output_tokens, facts.finish) == ("m", 3, 4, {0: "end_turn"})
    assert (reading.first_chunk_at, reading.first_token_at, reading.complete) == (0, 1, True)


@pytest.mark.parametrize(
    "said",
    [
        {"outputText": "a", "index": 0, "completionReason": "FINISH"},
        {"generation": "a", "stop_reason": "FINISH"},
        {"completion": "a", "stop_reason": "FINISH"},
        {"outputs": [{"text": "a", "stop_reason": "FINISH"}]},
        {"event_type": "text-generation", "text": "a", "finish_reason": "FINISH"},
        {"text": "a", "is_finished": True, "finish_reason": "FINISH"},
    ],
)
def test_a_models_own_events_carry_output_and_bedrock_counts_their_tokens(said):
    last = {**said, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}}
    reading = told(bedrock, chunk(last), content_type=STREAM)
    assert (reading.facts.input_tokens, reading.facts.output_tokens, reading.first_token_at) == (3, 4, 0)


def test_an_exception_in_the_middle_of_a_stream_fails_the_call():
    broken = frame({"message": "slow down"}, message_type="exception", exception_type="throttlingException")
    facts = told(bedrock, *CONVERSED[:2], broken, content_type=STREAM).facts
    assert (facts.failed, facts.error_code, facts.error_message) == (True, "ThrottlingException", "slow down")


def test_an_error_frame_fails_the_call():
    broken = frame(b"", message_type="error", error_code="InternalFailure", error_message="sorry")
    facts = told(bedrock, broken, content_type=STREAM).facts
    assert (facts.failed, facts.error_code, facts.error_message) == (True, "InternalFailure", "sorry")


def test_an_event_larger_than_what_is_held_still_tells_its_tokens():
    large = event("metadata", trace={"guardrail": "x" * 300_000}, usage={"inputTokens": 3, "outputTokens": 4})
    body = b"".join(CONVERSED[:5]) + large
    pieces = [body[start : start + 4096] for start in range(0, len(body), 4096)]
    reading = told(bedrock, *pieces, content_type=STREAM)
    assert (reading.facts.input_tokens, reading.facts.output_tokens, reading.truncated) == (3, 4, True)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b'{"bytes": "%%%"}', b'{"bytes": 7}', b'{"bytes": "bnVsbA=="}', b"\xff"]
)
def test_a_chunk_that_makes_no_sense_says_nothing(payload):
    reading = told(bedrock, frame(payload, event_type="chunk", message_type="event"), content_type=STREAM)
    assert (reading.chunks, reading.first_token_at, reading.facts.failed) == (1, None, False)


def test_the_head_of_an_answer_counts_tokens_cached_ones_included():
    head = read_head(
        200,
        [
            (b"X-Amzn-Bedrock-Input-Token-Count", b"4"),
            (b"X-Amzn-Bedrock-Cache-Read-Input-Token-Count", b"10"),
            (b"X-Amzn-Bedrock-Output-Token-Count", b"5"),
        ],
    )
    assert (head.input_tokens, head.output_tokens) == (14, 5)


@pytest.mark.parametrize(
    "body",
    [{"messages": []}, {"inputText": "hi"}, {"prompt": "hi", "max_gen_len": 9}, {"prompt": "hi", "maxTokens": 9}],
)
def test_a_model_of_no_known_form_is_told_by_what_it_is_asked(body):
    assert asked("/model/mine/invoke", body).model == "mine"


def test_claudes_usage_is_read_from_an_answer_without_a_type():
    usage = {"input_tokens": 8, "cache_read_input_tokens": 2, "output_tokens": 3}
    facts = told(bedrock, {"completion": "hi", "stop_reason": "max_tokens", "usage": usage}).facts
    assert (facts.input_tokens, facts.output_tokens, facts.finish) == (10, 3, {0: "max_tokens"})


def test_a_bare_answer_of_cohere_tells_why_it_ended():
    assert told(bedrock, {"text": "hi", "finish_reason": "COMPLETE"}).facts.finish == {0: "COMPLETE"}
