"""Forwarding out of the store: everything once, by one process at a time, however long the backend is away."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from otel_llm.store import forwarding
from otel_llm.store.destinations import Route
from otel_llm.store.forwarding import Forwarder
from otel_llm.store.query import Reader
from otel_llm.store.seat import Seat
from otel_llm.store.sender import Destination
from parts.ports import free_ports
from parts.sink import sink
from parts.waiting import WITHIN, wait_for

SIGNALS = ("spans", "metrics", "logs")


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(forwarding, "LOOK", 0.1)


@pytest.fixture
def backend():
    with sink() as made:
        yield made


@pytest.fixture
def forwarder(path, backend):
    """Makes forwarders that are stopped in the end."""
    made = []

    def make(*, url=None, since=0, signals=SIGNALS, **destination):
        route = Route(destination=Destination(url=url or backend.url, **destination), signals=signals)
        made.append(Forwarder(path, route, since=since))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop(WITHIN)


def ids(spans):
    return sorted(span.context.span_id for span in spans)


def received(backend):
    return sorted(int.from_bytes(span.span_id) for span in backend.spans())


def standing(path):
    with Reader(path) as reader:
        (one,) = reader.forwarding()
    return one


def error(path):
    with Reader(path) as reader:
        return "".join(one.state.error for one in reader.forwarding())


def test_what_is_stored_is_sent_while_the_process_runs(kept, spans, path, backend, forwarder):
    one = forwarder()
    first, second = spans.call(), spans.call()
    kept(first)
    wait_for(lambda: received(backend) == ids([first]))
    kept(second)
    wait_for(lambda: received(backend) == ids([first, second]))
    assert one.stop(WITHIN)
    assert one.counts() == {"exported": 2}
    told = standing(path)
    assert (told.waiting, told.state.delivered, told.state.error) == (0, 2, "")
    assert told.state.delivered_at is not None


def test_what_was_recorded_last_is_sent_at_the_end(kept, spans, backend, forwarder):
    one = forwarder()
    wait_for(lambda: one.loop.is_running)
    kept(*(made := [spans.call() for _ in range(3)]))
    assert one.stop(WITHIN)
    assert received(backend) == ids(made)


def test_what_began_before_it_was_switched_on_is_left_to_replay(kept, spans, backend, forwarder):
    early, late = spans.call(at=0), spans.call(at=100)
    kept(early, late)
    forwarder(since=late.start_time).stop(WITHIN)
    assert received(backend) == ids([late])


def test_a_later_process_goes_on_where_an_earlier_one_ended(kept, spans, backend, forwarder):
    first, second = spans.call(at=0), spans.call(at=10)
    kept(first)
    forwarder(since=first.start_time).stop(WITHIN)
    kept(second)
    forwarder(since=spans.call(at=100).start_time).stop(WITHIN)
    assert received(backend) == ids([first, second])


def test_a_backend_that_is_away_is_waited_for(kept, spans, path, backend, forwarder, monkeypatch):
    monkeypatch.setattr("otel_llm.store.replay._FIRST_WAIT", 0.1)
    backend.answers = [(503, {}, b"not now")] * 10_000
    one = forwarder()
    kept(*(made := [spans.call() for _ in range(3)]))
    wait_for(lambda: len(backend.answers) <= 10_000 - 3 and one.waiting == 3)
    backend.answers.clear()
    wait_for(lambda: received(backend) == ids(made))
    wait_for(lambda: error(path) == "")


def test_an_outage_is_told_in_the_store(kept, spans, path, forwarder):
    (port,) = free_ports(1)
    forwarder(url=f"http://127.0.0.1:{port}")
    kept(spans.call())
    wait_for(lambda: "refused" in error(path))
    told = standing(path)
    assert (told.waiting, told.state.delivered, told.state.delivered_at) == (1, 0, None)
    assert told.destination == f"http/protobuf http://127.0.0.1:{port}"


def test_it_ends_at_once_while_the_backend_is_away(kept, spans, forwarder):
    (port,) = free_ports(1)
    one = forwarder(url=f"http://127.0.0.1:{port}")
    kept(spans.call())
    wait_for(lambda: one.waiting)
    began = time.monotonic()
    assert one.stop(WITHIN)
    assert time.monotonic() - began < WITHIN / 2


def test_a_backend_that_wants_other_credentials_is_left_alone_for_a_while(kept, spans, path, backend, forwarder):
    backend.answers = [(401, {}, b"who are you?")] * 2
    forwarder()
    kept(spans.call())
    wait_for(lambda: "HTTP 401 who are you?" in error(path))
    time.sleep(1)
    assert len(backend.answers) == 1


def test_a_signal_that_the_backend_does_not_know_holds_up_no_other(kept, spans, path, backend, forwarder):
    asked = []
    backend.answers = [
        lambda where, _: asked.append(where) or ((404, {}, b"") if where == "/v1/logs" else (200, {}, b""))
    ] * 20
    one = forwarder()
    database = kept(spans.call())
    database.submit_logs(
        [ReadableLogRecord(LogRecord(timestamp=time.time_ns(), body="x", attributes={}), Resource({}))]
    )
    assert database.flush(WITHIN)
    wait_for(lambda: "/v1/logs" in asked)
    kept(made := spans.call())
    wait_for(lambda: made.context.span_id in received(backend))
    assert one.stop(WITHIN)
    assert asked.count("/v1/logs") == 1


def test_what_age_or_quota_took_before_it_was_sent_is_counted(kept, spans, path, backend, forwarder):
    backend.answers = [(503, {"Retry-After": "300"}, b"")]
    one = forwarder()
    kept(*(made := [spans.call() for _ in range(5)]))
    wait_for(lambda: not backend.answers)
    assert one.stop(WITHIN)
    with closing(sqlite3.connect(path)) as sqlite:
        sqlite.execute("DELETE FROM spans WHERE id <= 3")
        sqlite.commit()
    forwarder().stop(WITHIN)
    assert received(backend) == ids(made[3:])
    assert standing(path).state.expired == 3


def test_a_store_that_is_replaced_is_noticed(kept, spans, path, backend, forwarder, database):
    forwarder()
    kept(first := spans.call())
    wait_for(lambda: received(backend) == ids([first]))
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    kept(second := spans.call())
    # The writer puts the last two seconds into the new file again, which knows of no sending.
    wait_for(lambda: set(received(backend)) == set(ids([first, second])))


def test_a_store_that_is_removed_during_an_outage_is_let_go_of(kept, spans, path, forwarder, monkeypatch):
    monkeypatch.setattr("otel_llm.store.replay._FIRST_WAIT", 0.2)
    (port,) = free_ports(1)
    forwarder(url=f"http://127.0.0.1:{port}")
    kept(spans.call())
    wait_for(lambda: "refused" in error(path))
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    kept(last := spans.call())
    held = f"{path} (deleted)"
    wait_for(lambda: held not in [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.exists()])
    with sink(port) as back:
        wait_for(lambda: last.context.span_id in received(back))


def test_two_in_one_process_do_not_send_the_same(kept, spans, backend, forwarder):
    one, other = forwarder(), forwarder()
    kept(*(spans.call() for _ in range(3)))
    wait_for(lambda: len(backend.spans()) == 3)
    assert one.stop(WITHIN)
    assert other.stop(WITHIN)
    assert len(backend.spans()) == 3


def test_a_seat_is_free_when_its_holder_dies_though_a_child_lives_on(tmp_path):
    code = """
import os, sys, time
from pathlib import Path
from otel_llm.store.seat import Seat
seat = Seat(Path(sys.argv[1]), "forwarding", "x")
assert seat.take()
if os.fork() == 0:
    assert not Seat(Path(sys.argv[1]), "forwarding", "x").take()
    print("child", os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path / "x.db"], stdout=subprocess.PIPE, text=True)
    child = int(holder.stdout.readline().split()[1])
    seat = Seat(tmp_path / "x.db", "forwarding", "x")
    try:
        assert not seat.take()
        holder.kill()
        holder.wait()
        wait_for(seat.take)
    finally:
        os.kill(child, signal.SIGKILL)
        seat.leave()
