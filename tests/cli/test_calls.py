"""``otel-llm calls``: the list."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from recording_store import hexed, show

from otel_llm.cli import main

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"


def words(text):
    return text.split()


HEAD = words("TIME MODEL OPERATION PROVIDER STATUS IN CACHED OUT REASON TTFT TPOT E2E RETRY FINISH SPAN")


def valid(document, schema):
    Draft202012Validator(json.loads((CONTRACT / schema).read_text())).validate(document)


@pytest.fixture
def three(recorded):
    """A stream, a call that was refused, and an embedding in another service; oldest first."""
    stream = recorded.add(
        at=1,
        took=1.64,
        provider="openai",
        request_model="gpt-4o",
        input_tokens=1204,
        output_tokens=96,
        cache_read_input_tokens=512,
        usage_source="provider",
        stream=True,
        time_to_first_token=0.311,
        time_per_output_token=0.014,
        finish_reasons=("stop",),
    )
    refused = recorded.add(
        at=2, took=0.02, error="slow down", provider="groq", request_model="llama", error_type="429", error_code="busy"
    )
    embedding = recorded.add(
        at=3,
        took=0.5,
        service="batch",
        operation="embeddings",
        provider="openai",
        request_model="embed",
        input_tokens=8,
    )
    return [stream, refused, embedding]


def ids(result):
    return [call["span_id"] for call in json.loads(result.stdout)]


@pytest.mark.parametrize("arguments", [("calls", "--json"), ("calls", "list", "--json")])
def test_json_is_an_array_of_calls_newest_first_by_the_contract(three, piped, arguments):
    result = piped(*arguments)
    valid(json.loads(result.stdout), "calls.schema.json")
    assert ids(result) == [hexed(span) for span in reversed(three)]
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_span_that_is_no_inference_is_no_call(recorded, three, piped):
    recorded.open_parent().end()
    assert len(ids(piped("calls", "--json"))) == 3


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--model", "gpt-4o"), [0]),
        (("--provider", "openai"), [2, 0]),
        (("--service", "batch"), [2]),
        (("--limit", "1"), [2]),
        (("--errors",), [1]),
        (("--slow", "500ms"), [2, 0]),
        (("--slow", "500ms", "--limit", "1", "--until", "now"), [2]),
        (("--since", "1h"), [2, 1, 0]),
    ],
)
def test_an_option_narrows_the_list(three, piped, arguments, found):
    assert ids(piped("calls", *arguments, "--json")) == [hexed(three[place]) for place in found]


@pytest.mark.parametrize("arguments", [("--model", "other"), ("--until", "2020-01-01"), ("--slow", "1h")])
def test_no_match_ends_with_3_and_an_empty_array(three, piped, arguments):
    result = piped("calls", *arguments, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (3, [])
    assert "otel-llm doctor" in result.stderr


def test_a_store_that_is_not_there_ends_with_3(tmp_path):
    result = CliRunner().invoke(main, ["calls", "--db", str(tmp_path / "none.db")])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "opentelemetry-instrument python app.py" in result.stderr


def test_a_pipe_gets_every_column_and_the_date(three, piped):
    head, embedding, refused, stream = map(words, piped("calls").stdout.splitlines())
    assert head == HEAD
    assert stream[2:-1] == words("gpt-4o chat openai ok 1,204 512 96 – 311ms 14.0ms 1.64s – stop")  # noqa: RUF001
    assert refused[2:-1] == words("llama chat groq 429 – – – – – – 20.0ms – busy")  # noqa: RUF001
    assert embedding[2:-1] == words("embed embeddings openai ok 8 – – – – – 500ms – –")  # noqa: RUF001
    assert stream[-1] == hexed(three[0])[:8]
    assert len(stream[0]) == len("2026-12-31")


def test_an_estimated_count_says_so(recorded, piped):
    recorded.add(request_model="m", output_tokens=42, input_tokens=7, usage_source="estimated")
    assert words(piped("calls").stdout.splitlines()[1])[6:9] == ["~7", "–", "~42"]  # noqa: RUF001


def test_a_resent_attempt_says_how_many_went_before(recorded, piped):
    recorded.add(request_model="m", resend_count=2)
    line = words(piped("calls").stdout.splitlines()[1])
    assert line[HEAD.index("RETRY") + 1] == "2"


@pytest.mark.parametrize("outcome", ["abandoned", "cancelled"])
def test_a_call_that_was_not_completed_says_how_it_ended(recorded, piped, outcome):
    recorded.add(request_model="m", outcome=outcome)
    assert outcome in piped("calls").stdout


def test_a_terminal_of_120_columns_keeps_what_matters(three, on_terminal):
    lines = on_terminal("calls", columns=120)
    assert lines[0].split() == words("TIME MODEL OPERATION PROVIDER STATUS IN CACHED OUT TTFT TPOT E2E FINISH SPAN")
    assert max(map(len, lines)) <= 120


def test_a_terminal_of_80_columns_names_what_it_has_no_room_for(three, on_terminal):
    lines = on_terminal("calls", columns=80)
    assert lines[0].split() == words("TIME MODEL STATUS IN OUT TTFT TPOT E2E SPAN")
    assert lines[4].startswith("no room for OPERATION, PROVIDER, CACHED, FINISH")
    assert max(map(len, lines)) <= 80


def test_a_terminal_sees_colour_unless_it_says_no(recorded, three):
    recorded.written()
    arguments = ("calls", "--db", str(recorded.path))
    assert "\x1b[31m429" in "".join(show(*arguments, columns=120))
    assert "\x1b" not in "".join(show(*arguments, columns=120, NO_COLOR="1"))
    assert "\x1b" not in "".join(show(*arguments, columns=120, TERM="dumb"))


def test_what_a_server_says_cannot_command_the_terminal(recorded, piped):
    recorded.add(request_model="m\x1b[2J\n\x9bevil", error="x", error_type="429\x07", error_code="\x1b]0;t\x07code")
    lines = piped("calls").stdout
    assert not {"\x1b", "\x07", "\x9b"} & set(lines)
    assert len(lines.splitlines()) == 2


def test_a_reader_that_had_enough_ends_it_without_a_word(recorded, three):
    recorded.written()
    program = f"{sys.executable} -c 'from otel_llm.cli import main; main()' calls --db {recorded.path}"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {program} --json | true"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_exception_is_listed_by_its_class_alone(recorded, piped):
    recorded.add(request_model="m", error="refused", error_type="httpx.ConnectError")
    assert words(piped("calls").stdout.splitlines()[1])[5] == "ConnectError"
