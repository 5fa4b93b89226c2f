"""Nobody who does not answer holds the exit."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from otel_llm import leaving
from parts.waiting import wait_for

APP = """
from opentelemetry import trace, metrics
metrics.get_meter("app").create_counter("app.calls").add(1)
with trace.get_tracer("app").start_as_current_span("work"):
    pass
import time
print(time.time(), flush=True)
"""


class Slow:
    """A processor whose backend answers late."""

    def __init__(self, late=0.3):
        self.asked = []
        self._answers = threading.Event()
        self._late = late

    def shutdown(self, timeout_millis=30_000):
        self.asked.append(timeout_millis)
        self._answers.wait(self._late)
        return "done"

    def answer(self):
        self._answers.set()


@pytest.fixture
def exiting(monkeypatch):
    monkeypatch.setattr(leaving, "_deadline", [])


def test_a_shutdown_that_the_application_asks_for_takes_its_time(exiting):
    slow = Slow()
    leaving.bound([slow])
    assert slow.shutdown(5) == "done"
    assert slow.asked == [5]


def test_at_exit_a_part_takes_its_share_and_no_more(exiting, monkeypatch):
    monkeypatch.setattr(leaving, "SHARE", 0.05)
    slow = Slow(late=600)
    leaving.bound([slow])
    leaving.begin()
    before = time.monotonic()
    assert slow.shutdown() is None
    assert time.monotonic() - before < 30
    wait_for(lambda: slow.asked == [30_000], 60)
    slow.answer()


def test_a_part_is_bounded_once(exiting):
    slow = Slow()
    leaving.bound([slow])
    once = slow.shutdown
    leaving.bound([slow])
    assert slow.shutdown is once


def test_the_budget_runs_from_the_first_word_of_the_exit(exiting):
    assert leaving.remaining() == leaving.BUDGET
    leaving.begin()
    time.sleep(0.01)
    assert leaving.remaining() < leaving.BUDGET


def test_what_an_sdk_of_another_shape_does_not_have_is_left_out():
    assert leaving.exporting_parts(object(), object(), object()) == []


@pytest.mark.parametrize("backend", ["refuses", "hangs"])
def test_an_otlp_backend_that_does_not_answer_holds_the_exit_no_longer_than_two_seconds(backend, tmp_path):
    """In one of some tries; what is done in them takes a moment, which is long where a bare exit's is long too."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1] if backend == "hangs" else 1
        environ = {
            **os.environ,
            "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }
        instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
        command = [instrument, sys.executable, "-c", APP]
        beyond = []
        while len(beyond) < 5 and min(beyond, default=1) > 0:
            beyond.append(_exit_of(command, environ) - (2.1 + 20 * _exit_of(command[1:], environ)))
    assert min(beyond) <= 0


def _exit_of(command, environ):
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=200)
    return time.time() - float(done.stdout.split()[-1])
