"""Cohere's own bodies, both versions."""

import pytest
from telling import asked, events, lines, opened, told

from otel_llm.record.providers import cohere

MESSAGES = [{"role": "user", "content": "hi"}]
USAGE = {"billed_units": {"input_tokens": 2, "output_tokens": 3}, "tokens": {"input_tokens": 60, "output_tokens": 5}}


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/v2/chat", {"model": "m", "messages": MESSAGES}, "chat"),
        ("/v1/chat", {"model": "m", "message": "hi"}, "chat"),
        ("/v1/chat", {"message": "hi", "chat_history": []}, "chat"),
        ("/v1/chat", {"message": "hi", "stream": True}, "chat"),
        ("/v1/generate", {"prompt": "hi"}, "text_completion"),
        ("/v2/embed", {"model": "m", "texts": ["hi"], "input_type": "search_query"}, "embeddings"),
        ("/v1/embed", {"texts": ["hi"], "input_type": "search_query"}, "embeddings"),
    ],
)
def test_a_host_that_nobody_knows_is_told_by_its_bodies(path, body, operation):
    opening = asked(path, body)
    assert (opening.provider, opening.operation) == ("cohere", operation)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/chat", {"messages": MESSAGES}),
        ("/v2/chat", {"model": "m", "text": "hi"}),
        ("/v1/chat", {"message": "hi"}),
        ("/v1/chat", {"message": "hi", "stream": True, "session": 7}),
        ("/v1/generate", {"report": 7}),
        ("/v1/embed", {"url": "https://example.com"}),
        ("/v1/chat", None),
    ],
)
def test_other_web_applications_on_such_paths_are_left_alone(path, body):
    assert opened(path, body) is None


def test_at_its_own_host_any_body_is_a_call():
    assert asked("/v1/chat", b"?", host="api.cohere.com").provider == "cohere"


def test_writers_chat_on_the_same_path_stays_writers():
    assert asked("/v1/chat", {"model": "palmyra-x5", "messages": MESSAGES}, host="api.writer.com").provider == "writer"


def test_its_own_names_of_parameters_are_read():
    body = {"model": "m", "messages": MESSAGES, "p": 0.5, "k": 4, "max_tokens": 9, "stop_sequences": ["x"]}
    assert asked("/v2/chat", body).request == {
        "top_p": 0.5, "top_k": 4.0, "max_tokens": 9, "stop_sequences": ("x",),
    }  # fmt: skip


def test_tokens_are_those_that_the_model_saw():
    answer = {
        "id": "i",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
        "finish_reason": "COMPLETE",
        "usage": {**USAGE, "cached_tokens": 16},
    }
    facts = told(cohere, answer).facts
    assert (facts.input_tokens, facts.output_tokens, facts.cache_read_input_tokens) == (60, 5, 16)
    assert (facts.response_id, facts.finish) == ("i", {0: "COMPLETE"})


def test_where_only_billed_tokens_are_told_they_are_taken():
    answer = {"id": "i", "embeddings": {"float": [[0.1]]}, "meta": {"billed_units": {"input_tokens": 4}}}
    facts = told(cohere, answer).facts
    assert (facts.input_tokens, facts.output_tokens) == (4, None)


def test_a_stream_of_version_2_is_told_from_its_events():
    def delta(**content):
        return {"type": "content-delta", "index": 0, "delta": {"message": {"content": content}}}

    said = [
        {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        *[delta(text="a") for _ in range(20)],
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": USAGE}},
    ]
    reading = told(cohere, *events(*said), content_type="text/event-stream")
    facts = reading.facts
    assert (facts.response_id, facts.finish, facts.input_tokens) == ("i", {0: "MAX_TOKENS"}, 60)
    assert (reading.first_chunk_at, reading.first_token_at, reading.chunks) == (0, 2, 24)
    assert reading.output_chunks == 20


@pytest.mark.parametrize(
    "message", [{"tool_plan": "I will"}, {"tool_calls": {"id": "c"}}, {"content": {"thinking": "hm"}}]
)
def test_plans_thoughts_and_tool_calls_are_output(message):
    said = {"type": "any-delta", "delta": {"message": message}}
    assert told(cohere, *events(said), content_type="text/event-stream").first_token_at == 0


def test_a_stream_of_version_1_is_told_from_its_lines():
    said = [
        {"event_type": "stream-start", "generation_id": "g", "is_finished": False},
        {"event_type": "text-generation", "text": "a", "is_finished": False},
        {
            "event_type": "stream-end",
            "finish_reason": "COMPLETE",
            "is_finished": True,
            "response": {"response_id": "r", "text": "a", "finish_reason": "COMPLETE", "meta": USAGE},
        },
    ]
    reading = told(cohere, *lines(*said), content_type="application/stream+json")
    facts = reading.facts
    assert (facts.response_id, facts.finish, facts.output_tokens) == ("r", {0: "COMPLETE"}, 5)
    assert (reading.first_chunk_at, reading.first_token_at, reading.complete) == (0, 1, True)


def test_a_stream_without_its_last_event_is_incomplete():
    said = {"event_type": "text-generation", "text": "a"}
    assert not told(cohere, *lines(said), content_type="application/stream+json").complete


def test_an_error_is_a_sentence_and_its_id_no_answers():
    facts = told(cohere, {"id": "i", "message": "model not found"}).facts
    assert (facts.failed, facts.error_message, facts.response_id) == (True, "model not found", None)


def test_a_generation_that_failed_in_a_successful_exchange_is_a_failure():
    end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}}
    facts = told(cohere, *events(end), content_type="text/event-stream").facts
    assert (facts.failed, facts.error_message) == (True, "overloaded")
