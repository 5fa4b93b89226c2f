"""``otel-llm tail``: calls as they finish."""

import json
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from recording_store import Recorded, hexed

from parts.waiting import WITHIN

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"


class Following:
    """``otel-llm tail -f --json`` in a process of its own; its lines come as they are printed."""

    def __init__(self, path, *arguments):
        command = [sys.executable, "-c", "from otel_llm.cli import main; main()", "tail", "-f", "--db", str(path)]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.out, self.talk = queue.Queue(), queue.Queue()
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.talk)):
            threading.Thread(target=lambda s=stream, q=lines: [q.put(line) for line in s], daemon=True).start()

    def next_id(self):
        return json.loads(self.out.get(timeout=WITHIN))["span_id"]

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(WITHIN)


@pytest.fixture
def follow(recorded):
    started = []

    def start(*arguments, path=recorded.path):
        started.append(Following(path, *arguments))
        return started[-1]

    yield start
    for following in started:
        following.process.kill()
        following.process.wait()
        following.process.stdout.close()
        following.process.stderr.close()


def test_the_newest_calls_are_printed_oldest_first(recorded, piped):
    spans = [recorded.add(at=number) for number in range(4)]
    lines = piped("tail", "-n", "3", "--json").stdout.splitlines()
    assert [json.loads(line)["span_id"] for line in lines] == [hexed(span) for span in spans[1:]]


def test_json_is_one_call_of_the_contract_a_line(recorded, piped):
    recorded.add(request_model="m")
    validator = Draft202012Validator(json.loads((CONTRACT / "call.schema.json").read_text()))
    (line,) = piped("tail", "--json").stdout.splitlines()
    validator.validate(json.loads(line))


def test_a_line_tells_tokens_times_and_the_span(recorded, piped):
    span = recorded.add(
        took=1.64,
        request_model="gpt-4o",
        input_tokens=1204,
        cache_read_input_tokens=512,
        output_tokens=96,
        time_to_first_token=0.311,
        time_per_output_token=0.014,
        finish_reasons=("stop",),
    )
    line = piped("tail").stdout.split()[1:]
    told = ["gpt-4o", "ok", "in", "1,204", "c", "512", "out", "96", "ttft", "311ms", "tpot", "14.0ms", "e2e", "1.64s"]
    assert line == [*told, hexed(span)[:8], "stop"]


@pytest.mark.parametrize(
    ("arguments", "found"), [(("--errors",), [1]), (("--slow", "1s"), [0]), (("--model", "b"), [1])]
)
def test_an_option_narrows_it(recorded, piped, arguments, found):
    spans = [recorded.add(took=2, request_model="a"), recorded.add(at=3, took=0.1, request_model="b", error="x")]
    lines = piped("tail", "--json", *arguments).stdout.splitlines()
    assert [json.loads(line)["span_id"] for line in lines] == [hexed(spans[place]) for place in found]


def test_nothing_to_print_ends_with_3(recorded, piped):
    recorded.add()
    assert piped("tail", "--model", "other").exit_code == 3


@pytest.mark.parametrize("columns", [80, 120])
def test_a_line_fits_its_terminal(recorded, on_terminal, columns):
    recorded.add(
        request_model="a-model-with-a-long-name", input_tokens=123456, output_tokens=1, error="x", error_type="429"
    )
    (line,) = on_terminal("tail", columns=columns)
    assert len(line) <= columns
    assert "429" in line


def test_following_prints_what_is_there_and_then_each_call_once(recorded, follow):
    first = recorded.add()
    recorded.written()
    following = follow("--json")
    assert following.next_id() == hexed(first)
    second = recorded.add(at=2)
    assert following.next_id() == hexed(second)
    assert following.out.empty()


def test_following_with_errors_prints_only_those(recorded, follow):
    recorded.add(error="x")
    recorded.written()
    following = follow("--json", "--errors")
    following.next_id()
    recorded.add(at=2)
    failed = recorded.add(at=3, error="x")
    assert following.next_id() == hexed(failed)


def test_following_waits_for_a_store_that_is_not_there_yet(tmp_path, follow):
    path = tmp_path / "later.db"
    following = follow("--json", path=path)
    assert "Waiting for" in following.talk.get(timeout=WITHIN)
    store = Recorded(path)
    span = store.add()
    assert following.next_id() == hexed(span)
    store.exporter.shutdown()


def test_following_goes_on_in_a_store_that_replaced_the_first(tmp_path, recorded, follow):
    recorded.add()
    recorded.written()
    following = follow("--json")
    following.next_id()
    other = Recorded(tmp_path / "other.db")
    span = other.add()
    other.exporter.shutdown()
    with closing(sqlite3.connect(tmp_path / "other.db")) as whole:
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    recorded.exporter.shutdown()
    for suffix in ("-wal", "-shm"):
        recorded.path.with_name(recorded.path.name + suffix).unlink(missing_ok=True)
    (tmp_path / "other.db").replace(recorded.path)
    assert following.next_id() == hexed(span)
    assert "was replaced" in following.talk.get(timeout=WITHIN)


def test_ctrl_c_ends_following_with_130_without_a_word(recorded, follow):
    recorded.add()
    recorded.written()
    following = follow("--json")
    following.next_id()
    assert following.interrupt() == 130
    assert following.talk.empty()
