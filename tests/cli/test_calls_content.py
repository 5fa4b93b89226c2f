"""Content as ``otel-llm calls show`` prints it: roles and texts."""

import json

import pytest
from recording_store import hexed

from otel_llm import semconv
from otel_llm.cli.content import told

SAID = {
    semconv.SYSTEM_INSTRUCTIONS: [{"type": "text", "content": "be short"}],
    semconv.INPUT_MESSAGES: [
        {"role": "user", "parts": [{"type": "text", "content": "hi\nthere \x1b[31m"}, {"type": "blob", "size": 8}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": {"sky": "grey"}}]},
    ],
    semconv.OUTPUT_MESSAGES: [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}], "finish_reason": "stop"},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {"at": "Rome"}}]},
    ],
    semconv.TOOL_DEFINITIONS: [
        {"type": "function", "name": "weather", "description": "Says it."},
        {"type": "web_search"},
    ],
}


@pytest.fixture
def call(recorded):
    return recorded.add(also={name: json.dumps(value) for name, value in SAID.items()})


def test_show_prints_who_said_what(call, piped):
    lines = piped("calls", "show", hexed(call)).stdout.splitlines()
    start = lines.index("System instructions")
    assert [line.rstrip() for line in lines[start:] if line] == [
        "System instructions",
        "text  be short",
        "Input",
        "user                      hi there",
        "user, blob                size 8",
        'tool, tool call response  {"sky": "grey"}',
        "Output",
        "assistant, reasoning  hm",
        'assistant, tool call  weather({"at": "Rome"})',
        "Tools",
        "function    weather: Says it.",
        "web search",
    ]


def test_content_is_no_fact(call, piped):
    assert "gen_ai.input.messages" not in piped("calls", "show", hexed(call)).stdout


def test_the_list_prints_no_content(call, piped):
    assert "Rome" not in piped("calls", "list").stdout


def test_json_has_the_attributes_as_they_are(call, piped):
    attributes = json.loads(piped("calls", "show", hexed(call), "--json").stdout)["attributes"]
    assert json.loads(attributes[semconv.OUTPUT_MESSAGES]) == SAID[semconv.OUTPUT_MESSAGES]


@pytest.mark.parametrize("value", ["no JSON", "[1]", '{"a": 1}', "[" * 100_000, 5])
def test_what_is_no_such_json_is_printed_as_it_is(value):
    ((title, ((role, text),)),) = told({semconv.INPUT_MESSAGES: value})
    assert (title, role, text) == ("Input", "", str(value))


@pytest.mark.parametrize("value", [[{"role": 1, "parts": ["a", 2, {}]}], [{"parts": None}], [{}]])
def test_odd_messages_are_printed_somehow(value):
    assert list(told({semconv.INPUT_MESSAGES: json.dumps(value)}))


def test_a_long_text_is_cut_on_a_terminal_and_points_at_json(recorded, on_terminal):
    message = {"role": "user", "parts": [{"type": "text", "content": "word " * 2000}]}
    span = recorded.add(also={semconv.INPUT_MESSAGES: json.dumps([message])})
    assert "--json has all" in " ".join(on_terminal("calls", "show", hexed(span), columns=100))
