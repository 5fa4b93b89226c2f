"""``otel-llm summary``: figures over a time range."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from otel_llm.cli.summary import spark

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"


@pytest.fixture
def two_models(recorded):
    """Twenty streams of one model and five failing calls of another, two of them resent once."""
    for number in range(20):
        recorded.add(
            at=number,
            took=1.0,
            provider="openai",
            request_model="gpt-4o",
            stream=True,
            input_tokens=1000,
            output_tokens=50,
            usage_source="provider",
            time_to_first_token=0.1 + number / 100,
            time_per_output_token=0.014,
        )
    for number in range(5):
        failed = recorded.add(
            at=20 + number,
            took=0.5,
            service="batch",
            provider="vllm",
            request_model="llama",
            error="x",
            error_type="500",
        )
        if number < 2:
            recorded.add(
                at=20.6 + number,
                took=0.5,
                service="batch",
                provider="vllm",
                request_model="llama",
                before=failed,
                resend_count=1,
            )


def test_json_is_the_contract_s_with_one_group(two_models, piped):
    document = json.loads(piped("summary", "--json").stdout)
    Draft202012Validator(json.loads((CONTRACT / "summary.schema.json").read_text())).validate(document)
    assert (document["calls"], document["attempts"], document["errors"]) == (25, 27, 3)
    assert [group["group"] for group in document["groups"]] == [{}]


def test_format_json_is_json(two_models, piped):
    assert json.loads(piped("summary", "--format", "json").stdout)["calls"] == 25


def test_by_groups_and_may_be_given_twice(two_models, piped):
    document = json.loads(piped("summary", "--json", "--by", "model", "--by", "provider").stdout)
    groups = [group["group"] for group in document["groups"]]
    assert sorted(groups, key=lambda group: group["model"]) == [
        {"model": "gpt-4o", "provider": "openai"},
        {"model": "llama", "provider": "vllm"},
    ]


def test_without_since_it_is_the_hour_up_to_the_newest_call(recorded, piped):
    recorded.add(at=-7200)
    recorded.add(at=-3000)
    recorded.add(at=0)
    assert json.loads(piped("summary", "--json").stdout)["calls"] == 2


def test_with_since_older_calls_count_too(recorded, piped):
    recorded.add(at=-7200)
    recorded.add(at=0)
    assert json.loads(piped("summary", "--json", "--since", "1d").stdout)["calls"] == 2


def test_no_match_ends_with_3(two_models, piped):
    result = piped("summary", "--model", "other")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "otel-llm doctor" in result.stderr


def test_the_head_says_services_range_calls_errors_and_rate(two_models, piped, recorded):
    head = piped("summary").stdout.splitlines()[0].split(" · ")
    day = f"{datetime.fromtimestamp(recorded.began // 10**9).astimezone():%Y-%m-%d}"
    assert sorted(head[0].split(", ")) == ["app", "batch"]
    assert head[1].startswith(day)
    assert head[2:5] == ["25 calls", "27 attempts", "3 errors (12.0 %)"]
    assert head[5].endswith(" calls/s")


def test_a_table_has_a_row_a_model_and_one_for_all(two_models, piped):
    lines = piped("summary").stdout.splitlines()
    assert {line.split()[0] for line in lines[2:5]} == {"gpt-4o", "llama", "all"}
    gpt = next(line.split() for line in lines if line.startswith("gpt-4o"))
    assert gpt[:4] == ["gpt-4o", "20", "0", "%"]
    assert "20k→1k" in gpt
    assert "14.0ms" in gpt


def test_what_nobody_measured_is_a_dash(two_models, piped):
    llama = next(line.split() for line in piped("summary").stdout.splitlines() if line.startswith("llama"))
    assert llama[4:9] == ["–"] * 5  # noqa: RUF001


def test_p99_is_hidden_below_100_samples_and_a_note_says_so(two_models, piped):
    assert "p99 needs 100 samples: gpt-4o has 20" in piped("summary").stdout


def test_p99_is_shown_from_100_samples(recorded, piped):
    for number in range(100):
        recorded.add(at=number / 10, request_model="m", stream=True, time_to_first_token=0.1)
    assert "p99 needs" not in piped("summary").stdout


def test_the_course_of_ttft_is_drawn_where_there_are_first_tokens(two_models, piped):
    line = next(line for line in piped("summary").stdout.splitlines() if line.startswith("TTFT  "))
    assert line == "TTFT  ▄▆▇█   p95 per 5s, 138ms to 288ms"


def test_one_call_has_no_course(recorded, piped):
    recorded.add(stream=True, request_model="m", time_to_first_token=0.1)
    assert "▁" not in piped("summary").stdout


def test_markdown_is_a_table(two_models, piped):
    lines = piped("summary", "--format", "md").stdout.splitlines()
    assert lines[2].startswith("| MODEL | CALLS | ERR | TTFT p50 | TTFT p95 |")
    assert "COST" not in lines[2]
    assert lines[3].startswith("| --- | ---: |")
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_longer_than_the_terminal(two_models, on_terminal, columns):
    lines = on_terminal("summary", columns=columns)
    assert max(map(len, lines[1:])) <= columns
    assert lines[1].split()[:3] == ["MODEL", "CALLS", "ERR"]


@pytest.mark.parametrize("by", ["model", "provider", "service", "operation", "hour"])
def test_every_dimension_heads_its_column(two_models, piped, by):
    assert piped("summary", "--by", by).stdout.splitlines()[1].startswith(by.upper())


def test_a_spark_begins_at_zero_and_leaves_gaps():
    assert spark([1.0, None, 0.5, 0.0]) == "█ ▅▁"
