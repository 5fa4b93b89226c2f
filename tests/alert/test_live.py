"""Applications in processes of their own, one store, real receivers: each alert is told once, whatever dies."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from parts.receivers import Answer
from parts.rules import errors
from parts.waiting import WITHIN, least, wait_for

RULE = """
window: 10s, threshold: 0.5, min_samples: 4, keep_firing_for: 0s, cooldown: 0s, labels: {severity: critical},
annotations: {summary: "{{ value | pct }} of calls fail"}
"""

APPLICATION = """
import sys, time
import otel_llm
otel_llm.instrument()
from opentelemetry import trace
from otel_llm import semconv
tracer = trace.get_tracer("application")
for line in sys.stdin:
    word = line.strip()
    failed = {semconv.OUTCOME: "error", semconv.ERROR_TYPE: "500"} if word == "fail" else {}
    durations = []
    for _ in range(10_000 if word == "many" else 10):
        before = time.perf_counter()
        tracer.start_span("chat m", attributes={semconv.OPERATION_NAME: "chat", **failed}).end()
        durations.append(time.perf_counter() - before)
    durations.sort()
    print(word, durations[int(len(durations) * 0.99)], flush=True)
"""


class Application:
    """A process that makes calls when it is told to."""

    def __init__(self, folder, **environ):
        settings = {
            "OTEL_LLM_STORE_PATH": str(folder / "calls.db"),
            "OTEL_LLM_ALERTS_RULES": str(folder / "rules.yaml"),
            "OTEL_LLM_ALERTS_DEFAULTS": "false",
            "OTEL_LLM_PROBE_HOST": "false",
            "OTEL_LLM_PROBE_GPU": "false",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            **environ,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )

    def say(self, word):
        """The 99th percentile of a span [s]."""
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[1])

    def leave(self):
        """How long the exit took [s]."""
        before = time.monotonic()
        self.process.stdin.close()
        self.process.wait(WITHIN)
        return time.monotonic() - before

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WITHIN)


@pytest.fixture
def start(tmp_path, hook):
    (tmp_path / "rules.yaml").write_text(errors(RULE, hook.url))
    started = []

    def run(**environ):
        started.append(Application(tmp_path, **environ))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.kill()
        one.process.stdin.close()
        one.process.stdout.close()


def statuses(hook):
    return [alert["status"] for alert in hook.alerts()]


def owner(folder):
    return _one(folder, "SELECT owner FROM alert_lease")


def is_settled(folder):
    """Whether what was told is known to be: until then another process may tell it again."""
    return _one(folder, "SELECT 1 FROM alert_outbox WHERE state = 'sent'")


def _one(folder, query):
    """A row, none while there is no such table yet."""
    try:
        with sqlite3.connect(folder / "calls.db") as database:
            return database.execute(query).fetchone()
    except sqlite3.OperationalError:
        return None


@pytest.mark.slow
def test_failing_calls_are_told_once_and_their_end_once(start, hook, tmp_path):
    application = start()
    application.say("fail")
    wait_for(lambda: statuses(hook) == ["firing"])
    assert hook.alerts()[0]["annotations"]["summary"] == "100% of calls fail"
    application.say("ok")
    application.say("ok")
    wait_for(lambda: application.say("ok") and statuses(hook) == ["firing", "resolved"])
    metrics = {"otel_llm.alert.state", "otel_llm.alert.notifications", "otel_llm.alert.evaluations"}
    wait_for(lambda: _events(tmp_path) == 2 and metrics <= _metrics(tmp_path))  # an exit has no time for all of it
    application.leave()
    assert _events(tmp_path) == 2


def _events(folder):
    return _one(folder, "SELECT count(*) FROM logs WHERE event_name = 'otel_llm.alert'")[0]


def _metrics(folder):
    return set((_one(folder, "SELECT group_concat(DISTINCT name) FROM streams")[0] or "").split(","))


@pytest.mark.slow
def test_of_two_processes_one_tells_and_when_it_is_killed_the_other_tells_no_more_than_the_end(start, hook, tmp_path):
    first = start()
    first.say("fail")
    wait_for(lambda: owner(tmp_path))
    judge = owner(tmp_path)
    second = start()
    second.say("fail")
    wait_for(lambda: statuses(hook) == ["firing"])
    wait_for(lambda: is_settled(tmp_path))
    first.kill()
    second.say("fail")
    wait_for(lambda: owner(tmp_path) != judge)
    time.sleep(3)
    assert statuses(hook) == ["firing"]
    wait_for(lambda: second.say("ok") and statuses(hook) == ["firing", "resolved"])


@pytest.mark.slow
def test_a_restart_while_it_fires_tells_nothing_again(start, hook, tmp_path):
    first = start()
    first.say("fail")
    wait_for(lambda: statuses(hook) == ["firing"])
    wait_for(lambda: is_settled(tmp_path))
    first.leave()
    second = start()
    second.say("fail")
    time.sleep(4)
    assert statuses(hook) == ["firing"]
    wait_for(lambda: second.say("ok") and statuses(hook) == ["firing", "resolved"])


@pytest.mark.slow
def test_a_receiver_that_hangs_holds_no_span_and_no_exit(start, hook, tmp_path):
    hook.answer = lambda _: Answer(hangs=True)
    numbers = itertools.count()

    def leave():
        told = len(hook.requests)
        application = start(OTEL_LLM_STORE_PATH=str(tmp_path / f"{next(numbers)}.db"))
        application.say("fail")
        wait_for(lambda: len(hook.requests) > told)
        wait_for(lambda: application.say("many") < 0.05)  # the receiver never answers at all
        return application.leave()

    assert least(leave, 2.5) < 2.5  # half a second for Python's own


@pytest.mark.slow
def test_the_variable_alone_is_enough_for_a_webhook(start, hook, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(errors(RULE))
    application = start(OTEL_LLM_ALERTS_WEBHOOK=hook.url)
    application.say("fail")
    wait_for(lambda: statuses(hook) == ["firing"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["off", "alertmanager"])
def test_in_other_modes_no_receiver_is_told(start, hook, mode, tmp_path):
    application = start(OTEL_LLM_ALERTS_MODE=mode, OTEL_LLM_ALERTS_URL=f"http://localhost:{hook.port}")
    application.say("fail")
    wait_for(lambda: hook.requests if mode == "alertmanager" else _fires(tmp_path))
    time.sleep(1.5)
    assert {request.path for request in hook.requests} <= {"/api/v2/alerts"}


def _fires(folder):
    return _one(folder, "SELECT 1 FROM alert_state WHERE state = 'firing'")
