"""``otel-llm calls show``: one call."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from recording_store import hexed, traced

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"
STREAM = {
    "provider": "openai",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2026-05-13",
    "server_address": "api.openai.com",
    "server_port": 443,
    "stream": True,
    "input_tokens": 1204,
    "output_tokens": 96,
    "usage_source": "provider",
    "time_to_first_token": 0.4,
    "time_per_output_token": 0.014,
    "stream_chunks": 97,
    "stream_max_gap": 0.212,
    "connection_wait": 0.1,
}


def bars(lines):
    """The rows of the waterfall: label -> (bar's first column, its length, the printed length of time)."""
    found = {}
    for line in lines:
        bar = line[18:].rstrip()
        drawn = [place for place, sign in enumerate(bar) if sign in "░▒▓█.:=#"]
        if line[:18].strip() and drawn and bar.split()[0][0] in "░▒▓█.:=#":
            found[line[:18].strip()] = (drawn[0], drawn[0] + len(bar[drawn[0] :].split()[0]), bar.split()[-1])
    return found


def shown(piped, span, *arguments):
    return piped("calls", "show", hexed(span), *arguments).stdout.splitlines()


def test_json_is_one_call_by_the_contract_with_events_and_links(recorded, piped):
    first = recorded.add(error="busy", error_type="429")
    again = recorded.add(at=2, before=first, resend_count=1, event="noted")
    call = json.loads(piped("calls", "show", hexed(again), "--json").stdout)
    Draft202012Validator(json.loads((CONTRACT / "call.schema.json").read_text())).validate(call)
    assert call["span_id"] == hexed(again)
    assert [(link["trace_id"], link["span_id"]) for link in call["links"]] == [(traced(first), hexed(first))]
    assert [event["name"] for event in call["events"]] == ["noted"]


def test_a_trace_that_holds_one_call_names_it(recorded, piped):
    span = recorded.add()
    assert json.loads(piped("calls", "show", traced(span), "--json").stdout)["span_id"] == hexed(span)


def test_the_beginning_that_the_list_prints_is_enough(recorded, piped):
    span = recorded.add()
    recorded.add(at=2)
    assert json.loads(piped("calls", "show", hexed(span)[:8], "--json").stdout)["span_id"] == hexed(span)


def test_an_id_that_nothing_has_ends_with_3(recorded, piped):
    recorded.add()
    result = piped("calls", "show", "0123456789abcdef")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "0123456789abcdef" in result.stderr


def test_an_id_that_several_calls_have_ends_with_2_and_names_them(recorded, piped):
    parent = recorded.open_parent()
    spans = [recorded.add(at=at, inside=parent) for at in (1, 2)]
    result = piped("calls", "show", traced(parent))
    assert result.exit_code == 2
    assert all(hexed(span) in result.stderr for span in spans)


def test_the_head_says_who_where_when_and_how_it_ended(recorded, piped):
    span = recorded.add(took=1.6, **STREAM)
    lines = shown(piped, span)
    assert lines[0] == "chat gpt-4o · ok · 1.60s"
    assert lines[1] == "POST api.openai.com:443 · gpt-4o → gpt-4o-2026-05-13 · openai · service app"
    assert f"span {hexed(span)} · trace {traced(span)}" in lines[2]


def test_a_stream_is_drawn_as_wait_and_decode_to_scale(recorded, on_terminal):
    span = recorded.add(took=1.6, queue_wait=0.4, **STREAM)
    drawn = bars(on_terminal("calls", "show", hexed(span), columns=108))
    assert {name: value for name, (_, _, value) in drawn.items()} == {
        "queue wait": "400ms",
        "connection wait": "100ms",
        "wait, prefill": "300ms",
        "decode": "1.20s",
    }
    edges = [edge for begin, end, _ in drawn.values() for edge in (begin, end)]
    assert edges == [0, 14, 14, 18, 18, 29, 29, 72]


def test_a_stream_tells_its_tokens_and_its_longest_gap(recorded, piped):
    span = recorded.add(took=1.6, **STREAM)
    assert (
        "TTFT 400ms · 96 tok · TPOT 14.0ms · 97 chunks · longest gap 212ms"
        in piped("calls", "show", hexed(span)).stdout
    )


def test_a_call_that_is_no_stream_is_one_bar(recorded, piped):
    span = recorded.add(took=0.5, provider="openai", request_model="m", input_tokens=3)
    lines = shown(piped, span)
    assert list(bars(lines)) == ["response"]
    assert "TTFT" not in "".join(lines)


def test_a_call_that_failed_before_any_token_is_one_bar_and_its_words(recorded, piped):
    span = recorded.add(took=0.02, error="Rate \x1b[31mlimit", error_type="429", error_code="rate_limit")
    lines = shown(piped, span)
    assert lines[0] == "chat · 429 rate_limit · 20.0ms"
    assert lines[3] == "Rate  limit"
    assert list(bars(lines)) == ["until it failed"]


def test_the_server_s_own_clock_is_a_lane_of_its_own(recorded, piped):
    span = recorded.add(took=1.6, server_queue_time=0.1, server_prefill_time=0.2, server_decode_time=1.1, **STREAM)
    lines = shown(piped, span)
    assert bars(lines)["server's clock"][2] == "1.40s"
    assert "queue 100ms · prefill 200ms · decode 1.10s" in "".join(lines)


def test_a_server_that_tells_only_its_prefill_gets_no_other_phase(recorded, piped):
    span = recorded.add(took=1.6, server_prefill_time=0.2, **STREAM)
    assert "server's clock" in bars(shown(piped, span))
    assert "queue 0" not in "".join(shown(piped, span))


def test_waits_that_say_more_than_the_whole_stay_inside_it(recorded, piped):
    span = recorded.add(took=0.1, stream=True, connection_wait=5.0, time_to_first_token=7.0)
    assert bars(shown(piped, span))["connection wait"][2] == "100ms"


def test_every_attribute_is_a_fact_with_its_unit(recorded, piped):
    span = recorded.add(took=1.6, metadata={"run": "nightly"}, temperature=0.2, **STREAM)
    facts = dict(line.split(None, 1) for line in shown(piped, span) if line.startswith(("gen_ai.", "otel_llm.")))
    assert facts["gen_ai.usage.input_tokens"] == "1,204 tokens"
    assert facts["otel_llm.connection.wait"] == "100ms"
    assert facts["gen_ai.request.stream"] == "yes"
    assert facts["gen_ai.request.temperature"] == "0.2"
    assert facts["otel_llm.metadata.run"] == "nightly"
    assert "gen_ai.request.top_p" not in facts


@pytest.mark.parametrize("place", [0, 1, 2])
def test_all_attempts_of_a_call_in_one_trace_are_listed_from_each_of_them(recorded, piped, place):
    parent = recorded.open_parent()
    first = recorded.add(inside=parent, error="busy", error_type="429")
    second = recorded.add(
        at=2, inside=parent, before=first, resend_count=1, backoff=0.5, error="busy", error_type="503"
    )
    third = recorded.add(at=4, inside=parent, before=second, resend_count=2, backoff=1.0)
    recorded.add(at=5, inside=parent)
    lines = shown(piped, [first, second, third][place])
    begin = lines.index("Attempts of this call: 3")
    assert [line.split()[-1] for line in lines[begin + 2 : begin + 5]] == [hexed(first), hexed(second), hexed(third)]
    assert lines[begin + 2 + place].startswith(f"{place + 1} (this)")


def test_an_earlier_attempt_is_found_in_another_trace(recorded, piped):
    first = recorded.add(error="busy", error_type="429")
    second = recorded.add(at=2, before=first, resend_count=1, backoff=0.5)
    lines = shown(piped, second)
    assert "Attempts of this call: 2" in lines
    assert f"previous attempt  span {hexed(first)} · trace {traced(first)}" in lines


def test_an_event_says_when_after_the_start(recorded, piped):
    span = recorded.add(event="noted")
    assert "+10.0ms  noted size=3" in shown(piped, span)


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_longer_than_the_terminal(recorded, on_terminal, columns):
    span = recorded.add(took=1.6, metadata={"note": "long " * 100}, **STREAM)
    lines = on_terminal("calls", "show", hexed(span), columns=columns)
    assert max(map(len, lines[3:])) <= columns


def test_a_pipe_gets_no_block_characters_and_whole_values(recorded, piped):
    span = recorded.add(took=1.6, metadata={"note": "word " * 100 + "end"}, **STREAM)
    text = piped("calls", "show", hexed(span)).stdout
    assert not set("░▒▓█╵") & set(text)
    assert "word " * 100 + "end" in text
