"""Google's Interactions."""

import pytest
from telling import asked, events, opened, told

from otel_llm.record.providers import interactions

HOST = "generativelanguage.googleapis.com"
PATH = "/v1beta/interactions"
USAGE = {"total_input_tokens": 9, "total_output_tokens": 13, "total_thought_tokens": 20, "total_cached_tokens": 4}
WHOLE = {"id": "i", "model": "m", "status": "completed", "usage": USAGE, "steps": [{"type": "model_output"}]}


def test_a_model_is_asked():
    config = {"temperature": 0.5, "max_output_tokens": 9, "thinking_level": "low"}
    opening = asked(PATH, {"model": "m", "input": "hi", "stream": True, "generation_config": config}, host=HOST)
    assert (opening.provider, opening.operation, opening.model) == ("gcp.gemini", "generate_content", "m")
    assert opening.request == {"stream": True, "temperature": 0.5, "max_tokens": 9, "reasoning_level": "low"}


def test_a_host_that_nobody_knows_is_told_by_its_body():
    assert asked(PATH, {"model": "m", "input": "hi"}).provider == "gcp.gemini"


@pytest.mark.parametrize("body", [{"agent": "a", "input": "hi"}, {"model": "m"}, {"clicks": 7}, None, b"?"])
def test_agents_and_other_web_applications_are_left_alone(body):
    assert opened(PATH, body) is None


def test_an_agent_is_no_model_at_its_own_host_either():
    assert opened(PATH, {"agent": "a", "input": "hi"}, host=HOST) is None


def test_at_its_own_host_any_body_is_a_call():
    assert asked(PATH, b"?", host=HOST).provider == "gcp.gemini"


def test_output_tokens_hold_the_thoughts():
    facts = told(interactions, WHOLE).facts
    assert (facts.response_id, facts.response_model, facts.finish) == ("i", "m", {0: "completed"})
    assert (facts.input_tokens, facts.cache_read_input_tokens) == (9, 4)
    assert (facts.output_tokens, facts.reasoning_output_tokens) == (33, 20)


def event(kind, **said):
    return {"event_type": f"interaction.{kind}" if kind != "step.delta" else kind, **said}


STARTED = {"id": "i", "model": "m", "status": "in_progress"}
DELTAS = [event("step.delta", delta={"type": "text", "text": "a"}) for _ in range(12)]


def test_a_stream_tells_its_tokens_in_the_last_event():
    said = [event("created", interaction=STARTED), *DELTAS, event("completed", interaction=WHOLE)]
    reading = told(interactions, *events(*said), content_type="text/event-stream")
    facts = reading.facts
    assert (facts.response_id, facts.input_tokens, facts.output_tokens, reading.complete) == ("i", 9, 33, True)
    assert reading.first_token_at > reading.first_chunk_at


def test_a_stream_that_was_cut_off_is_incomplete():
    said = events(event("created", interaction=STARTED), *DELTAS)
    reading = told(interactions, *said, content_type="text/event-stream")
    assert (reading.facts.promised, reading.complete) == (True, False)


@pytest.mark.parametrize("code", ["quota", {"error": 1}, 429])
def test_an_error_is_told(code):
    facts = told(interactions, {"error": {"code": code, "message": "too many"}}).facts
    assert (facts.failed, facts.error_message) == (True, "too many")
    assert facts.error_code == (None if isinstance(code, dict) else str(code))
