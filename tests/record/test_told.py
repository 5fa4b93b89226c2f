"""The content of calls that are told by hand, or made in this process, where it is asked for."""

import json

import httpx2
import openai
import pytest

import otel_llm
from otel_llm import semconv
from otel_llm.record.content.told import Told

TOOL = {"name": "weather", "description": "Says the weather.", "parameters": {"type": "object"}}
DEFINED = [{"type": "function", **TOOL}]
KEY = "sk-proj-" + "a1B2" * 12


@pytest.fixture
def asked_for(monkeypatch):
    monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "SPAN_ONLY")


def kept(recorded):
    said = recorded.spans[-1].attributes
    return {name: json.loads(said[name]) for name in semconv.CONTENT if name in said}


def says(words, role="user", **more):
    return {"role": role, "parts": [{"type": "text", "content": words}], **more}


def test_what_is_told_by_hand_has_the_conventions_shape(asked_for, recorded):
    with otel_llm.call(model="m") as call:
        call.content(input="what is the weather?", system="be short", tools=[{"type": "function", "function": TOOL}])
        call.content(output="rain")
        call.finish("stop")
    assert kept(recorded) == {
        semconv.INPUT_MESSAGES: [says("what is the weather?")],
        semconv.SYSTEM_INSTRUCTIONS: [{"type": "text", "content": "be short"}],
        semconv.TOOL_DEFINITIONS: DEFINED,
        semconv.OUTPUT_MESSAGES: [says("rain", "assistant", finish_reason="stop")],
    }


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], [says("a", "system"), says("b")]),
        ([says("b", "user", name="ann")], [says("b", "user", name="ann")]),
        (["a", "b"], [says("a"), says("b")]),
        (7, []),
        ([None, {"role": 3}, says("c")], [says("c")]),
    ],
)
def test_a_history_may_be_in_either_shape(said, made, asked_for, recorded):
    with otel_llm.call(model="m") as call:
        call.content(input=said)
    assert kept(recorded).get(semconv.INPUT_MESSAGES, []) == made


def test_a_message_of_the_openai_sdk_is_read(asked_for, recorded):
    message = openai.types.chat.ChatCompletionMessage(role="assistant", content="fox")
    with otel_llm.call(model="m") as call:
        call.content(output=[message])
    assert kept(recorded)[semconv.OUTPUT_MESSAGES] == [says("fox", "assistant")]


def test_what_is_said_again_takes_the_place_of_what_was_said(asked_for, recorded):
    with otel_llm.call(model="m") as call:
        call.content(output="fo")
        call.content(output="fox")
    assert kept(recorded)[semconv.OUTPUT_MESSAGES] == [says("fox", "assistant")]


def test_nothing_is_kept_unless_it_is_asked_for(recorded):
    with otel_llm.call(model="m") as call:
        call.content(input="secret", output="secret", system="secret")
    assert "secret" not in str(dict(recorded.spans[-1].attributes))


def test_keys_are_taken_out_and_long_words_are_cut(asked_for, recorded):
    with otel_llm.call(model="m") as call:
        call.content(input=f"use {KEY}", output="a" * 1_000_000)
    attributes = recorded.spans[-1].attributes
    assert KEY not in str(dict(attributes))
    assert len(attributes[semconv.OUTPUT_MESSAGES]) <= 65_536
    assert attributes[semconv.TRUNCATED] is True


def test_what_the_wire_said_stays(asked_for, recorded):
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "fox"}, "finish_reason": "stop"}]}
    wire = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer)))
    with otel_llm.call(model="m") as call:
        body = {"model": "m", "messages": [{"role": "user", "content": "of the wire"}]}
        wire.post("http://127.0.0.1:9/v1/chat/completions", json=body)
        call.content(input="by hand")
    assert kept(recorded)[semconv.INPUT_MESSAGES] == [says("of the wire")]


def test_a_call_that_has_not_begun_takes_nothing(asked_for, recorded):
    call = otel_llm.call(model="m")
    call.content(input="early")
    with call:
        pass
    assert kept(recorded) == {}


def test_no_more_is_held_than_fits():
    told = Told(1000)
    told.say(input=["a" * 10_000] * 50, output=None, system=None, tools=None)
    content, truncated = told.finish({})
    assert truncated
    assert len(json.dumps(content)) < 2000
