"""``otel-llm explain``: one name in, its meaning out."""

import json

import pytest
from click.testing import CliRunner

from otel_llm.cli import main


def explain(*arguments):
    return CliRunner().invoke(main, ["explain", *arguments])


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("ttft", "otel_llm.time_to_first_token"),
        ("TTFC", "gen_ai.response.time_to_first_chunk"),
        ("tpot", "otel_llm.time_per_output_token"),
        ("itl", "otel_llm.time_per_output_token"),
        ("latency", "gen_ai.client.operation.duration"),
        ("outcome", "otel_llm.outcome"),
        ("usage.source", "otel_llm.usage.source"),
        ("otel_llm.usage.source", "otel_llm.usage.source"),
        ("gen_ai.client.token.usage", "gen_ai.client.token.usage"),
        ("time-to-first-token", "otel_llm.time_to_first_token"),
        ("max_age", "store.max_age"),
        ("OTEL_LLM_STORE_MAX_AGE", "store.max_age"),
        ("OTEL_LLM_CONFIG", "OTEL_LLM_CONFIG"),
        ("error_rate", "error_rate"),
        ("metadata", "otel_llm.metadata.*"),
    ],
)
def test_a_name_or_a_word_for_it_is_found(word, name):
    result = explain(word)
    assert result.exit_code == 0
    assert result.stdout.split()[0] == name


def test_a_time_has_unit_formula_absence_and_source():
    told = json.loads(explain("tpot", "--json").stdout)
    assert told["unit"] == "s"
    assert told["formula"] == "(duration - time_to_first_token) / (output_tokens - 1)"
    assert told["absent"]
    assert told["source"]


def test_a_setting_is_told_with_its_variable():
    told = json.loads(explain("store.max_size", "--json").stdout)
    assert told["environment"] == "OTEL_LLM_STORE_MAX_SIZE"
    assert told["expected"] == "a size such as 64KB, 256MB or 1GB"
    assert "OTEL_LLM_STORE_MAX_SIZE" in explain("store.max_size").stdout


def test_an_unknown_name_exits_2_with_the_nearest_one():
    result = explain("ttff")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "expected a known name, found 'ttff' (did you mean ttft?)" in result.stderr


def test_lines_are_short_enough_to_read():
    assert max(len(line) for line in explain("tpot").stdout.splitlines()) <= 100
