"""What people write on the command line becomes what the store is asked."""

import time
from datetime import datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner

from otel_llm.cli import options
from otel_llm.store.query import Filter

SECOND = 1_000_000_000


def moment(text):
    return options.Moment().convert(text, None, None)


def duration(text):
    return options.Span().convert(text, None, None)


def selected(*arguments):
    seen = []

    @click.command()
    @options.filter_options(limit=50)
    def command(*, selection):
        seen.append(selection)

    result = CliRunner().invoke(command, arguments)
    return result, (seen or [None])[0]


@pytest.mark.parametrize(("text", "seconds"), [("15m", 900), ("1h", 3600), ("2d", 172800), ("1h30m", 5400), ("now", 0)])
def test_a_relative_time_is_counted_back_from_now(text, seconds):
    before = time.time_ns()
    then = moment(text)
    assert before <= then + seconds * SECOND <= time.time_ns()


def test_a_time_without_a_zone_is_local():
    assert moment("2026-03-01T12:30") == datetime(2026, 3, 1, 12, 30).astimezone().timestamp() * SECOND


def test_a_time_with_a_zone_is_in_that_zone():
    there = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    assert moment("2026-03-01T12:30+02:00") == there.timestamp() * SECOND
    assert moment("2026-03-01T12:30:00Z") == 1772368200 * SECOND


def test_microseconds_are_kept_to_the_last_digit():
    assert moment("2026-03-01T12:30:00.123457Z") == 1772368200_123457000


def test_a_date_is_its_local_midnight():
    assert moment("2026-03-01") == datetime(2026, 3, 1).astimezone().timestamp() * SECOND


@pytest.mark.parametrize("text", ["9999-12-31", "999999999d", "0001-01-01T00:00:00Z"])
def test_a_time_beyond_what_the_store_holds_is_its_edge(text):
    assert 0 <= moment(text) < 2**63


@pytest.mark.parametrize("text", ["yesterday", "", "15", "15x", "12:30", "-5m"])
def test_another_time_is_refused_with_what_was_expected_and_found(text):
    with pytest.raises(click.BadParameter, match=r"expected a time such as 15m.*found"):
        moment(text)


def test_a_duration_is_seconds():
    assert duration("500ms") == 0.5


def test_another_duration_is_refused():
    with pytest.raises(click.BadParameter, match="expected a duration such as 500ms"):
        duration("slow")


def test_without_options_everything_is_selected_up_to_the_limit():
    assert selected()[1] == Filter(limit=50)


def test_each_option_narrows_one_thing():
    given = ("--since", "2026-03-01T00:00Z", "--until", "2026-03-02T00:00Z", "--model", "m", "--service", "s")
    wanted = Filter(since=1772323200 * SECOND, until=1772409600 * SECOND, model="m", service="s", provider="p", limit=7)
    assert selected(*given, "--provider", "p", "--limit", "7")[1] == wanted


def test_last_is_since():
    before = time.time_ns()
    _, selection = selected("--last", "15m")
    assert before <= selection.since + 900 * SECOND <= time.time_ns()


@pytest.mark.parametrize("arguments", [("--since", "soon"), ("--limit", "0"), ("--since", "1h", "--until", "2h")])
def test_a_wrong_value_ends_with_2_and_names_what_was_expected(arguments):
    result, selection = selected(*arguments)
    assert (result.exit_code, selection) == (2, None)
    assert arguments[0].lstrip("-") in result.stderr


def test_ctrl_c_ends_with_130_without_a_word():
    @click.command(cls=options.Command)
    def command():
        raise KeyboardInterrupt

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.output) == (130, "")


def test_a_failure_is_its_text_on_stderr_and_ends_with_1():
    @click.command(cls=options.Command)
    def command():
        message = "somewhere: expected this, found that"
        raise options.Failure(message)

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stderr) == (1, "somewhere: expected this, found that\n")


def test_a_store_that_is_not_there_ends_with_3_and_says_what_to_do(tmp_path):
    with pytest.raises(options.NoData, match=r"opentelemetry-instrument python app\.py\n.*otel-llm doctor") as caught:
        options.reader(tmp_path / "none.db").__enter__()
    assert caught.value.exit_code == 3


def test_a_store_that_cannot_be_read_ends_with_1_and_the_store_s_own_words(tmp_path):
    wrong = tmp_path / "wrong.db"
    wrong.write_text("this is no database, " * 100)
    with pytest.raises(options.Failure, match=r"wrong\.db.*expected") as caught, options.reader(wrong) as store:
        store.calls(Filter())
    assert caught.value.exit_code == 1


def test_without_db_the_configured_store_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("OTEL_LLM_STORE_PATH", str(tmp_path / "mine.db"))
    assert options.store_path(None) == tmp_path / "mine.db"


def test_a_fault_of_the_configuration_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OTEL_LLM_STORE_MAX_SIZE", "much")
    options.store_path(None)
    assert "OTEL_LLM_STORE_MAX_SIZE" in capsys.readouterr().err
