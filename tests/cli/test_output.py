"""How values are printed."""

import json
import math

import pytest

from otel_llm.cli import output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),  # noqa: RUF001
        (0.0, "0.00ms"),
        (0.00052, "0.52ms"),
        (0.000996, "1.0ms"),
        (0.0079, "7.9ms"),
        (0.0141, "14.1ms"),
        (0.09996, "100ms"),
        (0.311, "311ms"),
        (0.9996, "1.00s"),
        (1.64, "1.64s"),
        (9.996, "10.0s"),
        (12.34, "12.3s"),
        (99.6, "1m40s"),
        (125, "2m05s"),
        (3725, "1h02m"),
    ],
)
def test_a_duration_is_printed_in_the_unit_people_say_it_in(seconds, text):
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (60, "1m"), (90, "90s"), (7200, "2h"), (604800, "7d"), (0, "0s")]
)
def test_a_step_is_said_in_the_largest_unit_that_divides_it(seconds, text):
    assert output.step(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (902, "902"), (1000, "1k"), (1204, "1.2k"), (96_000, "96k"), (999_499, "999k"), (1_100_000, "1.1M")],
)
def test_a_short_count_has_two_digits_or_three(number, text):
    assert output.short(number) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(0, "0 %"), (0.0001, "<0.1 %"), (0.007, "0.7 %"), (0.38, "38.0 %"), (1.0, "100 %")]
)
def test_a_ratio_is_printed_in_percent(ratio, text):
    assert output.percent(ratio) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain · text", "plain · text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07bell", "bell"),
        ("two\nlines\tand\rmore", "two lines and more"),
        ("\x9b31mC1", "31mC1"),
        ("turned \u202earound", "turned  around"),
        (12, "12"),
    ],
)
def test_a_value_cannot_command_the_terminal(value, text):
    assert output.clean(value) == text


def test_json_that_is_no_number_is_a_string_and_the_document_stays_valid(capsys):
    output.print_json({"value": math.nan, "other": [math.inf, 1]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"value": "NaN", "other": ["Infinity", 1]}


def test_json_holds_no_character_that_a_terminal_obeys(capsys):
    output.print_json({"value": "\x1b[31m \x9b ü"})
    assert capsys.readouterr().out.isascii()
    output.print_json({"value": "\x1b[31m"})
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "step", "total", "text"),
    [
        (0, 0.1, 1, "0"),
        (0.25, 0.05, 0.4, "250ms"),
        (0.5, 0.5, 1.64, "0.5s"),
        (20, 10, 40, "20s"),
        (2e-4, 2e-4, 1e-3, "0.2ms"),
    ],
)
def test_an_axis_has_the_decimals_that_its_step_needs(seconds, step, total, text):
    assert output.tick(seconds, step, total) == text
