"""Several real processes with one store: judged as one, told once, and by another when the judge is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest

from otel_llm.alert import clock
from otel_llm.ledger import Kept, LedgerError, Message, Row, Shared
from otel_llm.store.ledger import SqliteLedger
from parts.rules import errors
from parts.waiting import WITHIN, wait_for

WORKER = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from opentelemetry.sdk.trace import TracerProvider
    from otel_llm.alert import clock, schema
    from otel_llm.alert.engine import Engine
    from otel_llm.alert.processor import AlertProcessor
    from otel_llm.store.ledger import SqliteLedger

    rules, path = Path(sys.argv[1]), Path(sys.argv[2])
    engines = []
    processor = AlertProcessor(lambda: [engine.start() for engine in engines])
    engines.append(Engine(processor, lambda: schema.load(rules, defaults=False),
                          ledger=lambda: SqliteLedger(path, clock.boot()), file=rules))
    engines[0].watch(lambda told: [path.with_name(f"told-{os.getpid()}").write_text(said.status) for _, said in told])
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("t")
    failing = {"gen_ai.operation.name": "chat", "otel_llm.outcome": "error", "error.type": "500"}
    for _ in range(25):
        tracer.start_span("chat", attributes=failing).end()
    sys.stdin.read()
    engines[0].stop(2.0)
    """
)
RULE = "window: 10m, threshold: 0.1, min_samples: 60"


def ask(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def start(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(errors(RULE))
    started = []

    def start():
        command = [sys.executable, "-c", WORKER, str(rules), str(tmp_path / "store.db")]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.stdin.close()
        process.wait()


@pytest.mark.slow
def test_workers_are_judged_as_one_and_a_killed_judge_is_followed(start, tmp_path):
    """Sixty calls in a window, and a worker makes twenty-five: only all three together are enough."""
    workers = [start() for _ in range(3)]
    store = tmp_path / "store.db"
    wait_for(lambda: store.exists() and ask(store, "SELECT 1 FROM sqlite_master WHERE name = 'alert_history'"))
    wait_for(lambda: ask(store, "SELECT 1 FROM alert_history WHERE state = 'firing'"))
    wait_for(lambda: list(tmp_path.glob("told-*")))
    told = list(tmp_path.glob("told-*"))
    (first,) = [worker for worker in workers if told[0].name == f"told-{worker.pid}"]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    killed_at = clock.now()
    wait_for(lambda: ask(store, "SELECT at FROM alert_lease") > [(killed_at,)])
    for worker in workers:
        worker.stdin.close()
        worker.wait(WITHIN)
    assert list(tmp_path.glob("told-*")) == told
    assert ask(store, "SELECT before, state FROM alert_history") == [("inactive", "firing")]


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "store.db", "boot")
    yield ledger
    ledger.close()


def row(status="firing", receiver="ops", **settings):
    said = Message(status=status, labels={}, annotations={}, starts_at=1.0, ends_at=None, fingerprint="f", episode=1)
    return Row(identity=f"{receiver}:{said.identity}", receiver=receiver, message=said, **settings)


def kept(state="firing"):
    return Kept(
        fingerprint="f", rule="R", digest="d", state=state, content={}, labels={}, at=1.0, wall=1.0, boot="boot"
    )


def test_the_lease_is_one_process_s_until_it_is_silent(ledger):
    assert ledger.lease("a", 10.0) == 1
    assert ledger.lease("b", 12.0) is None
    assert ledger.lease("a", 12.5) == 1
    assert ledger.lease("b", 16.0) == 2
    assert ledger.lease("a", 16.5) is None


def test_a_lease_that_is_left_is_free_at_once(ledger):
    ledger.lease("a", 10.0)
    ledger.release("a")
    assert ledger.lease("b", 10.1) == 2


def test_what_a_former_judge_decides_is_not_kept(ledger):
    ledger.lease("a", 10.0)
    ledger.lease("b", 20.0)
    assert not ledger.commit(1, [kept()], [row()])
    assert not ledger.kept()
    assert not ledger.due("ops", 20.0, 10)


def test_a_message_is_queued_once_even_after_it_was_sent(ledger):
    ledger.lease("a", 10.0)
    ledger.commit(1, [kept()], [row()])
    (waiting,) = ledger.due("ops", 20.0, 10)
    ledger.settle(waiting, "sent", 0.0, None)
    ledger.commit(1, [kept()], [row()])
    assert not ledger.due("ops", 20.0, 10)


def test_of_one_alert_the_older_message_goes_first(ledger):
    ledger.lease("a", 10.0)
    ledger.commit(1, [kept()], [row(), row("resolved")])
    (first,) = ledger.due("ops", 20.0, 10)
    ledger.settle(first, "again", 30.0, "503")
    assert not ledger.due("ops", 20.0, 10)
    (again,) = ledger.due("ops", 30.0, 10)
    assert (again.message.status, again.attempts) == ("firing", 1)


def test_slots_are_told_once_and_replaced(ledger):
    def slot(content):
        return Shared(group="g", key=("m",), worker="w", number=3, until=9, content=[content], boot="boot")

    ledger.share([slot(1)], 15.0)
    told, mark = ledger.shared(0, "me")
    assert [one.content for one in told] == [[1]]
    ledger.share([slot(2)], 16.0)
    told, later = ledger.shared(mark, "me")
    assert [one.content for one in told] == [[2]]
    told, last = ledger.shared(later, "me")
    assert (list(told), last) == ([], later)
    assert not list(ledger.shared(0, "w")[0])


def test_slots_that_no_window_reaches_are_gone(ledger, tmp_path):
    ledger.share([Shared(group="g", key=(), worker="w", number=3, until=9, content=[], boot="boot")], 15.0)
    ledger.share([], 15.0 + 120.0)
    assert ask(tmp_path / "store.db", "SELECT count(*) FROM alert_slots") == [(0,)]


def test_a_file_that_cannot_be_opened_is_a_fault_of_the_ledger(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError):
        SqliteLedger(tmp_path / "folder", "boot").lease("a", 1.0)


def test_the_clock_is_the_same_for_all_processes():
    there = subprocess.run(
        [sys.executable, "-c", "from otel_llm.alert import clock; print(clock.now(), clock.boot())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert clock.now() - 30 < float(there[0]) <= clock.now()
    assert there[1] == clock.boot()
