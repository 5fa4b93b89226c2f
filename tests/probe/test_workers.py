"""Eight workers of one web server: what they share is told once, what is each one's own by each. Real gunicorn."""

import json
import os
import signal
import sqlite3
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from otel_llm import semconv
from parts.ports import free_ports, is_open
from parts.processes import started
from parts.waiting import WITHIN, least, wait_for

BIN = Path(sys.executable).parent
WORKERS = 8
INTERVAL = 0.5
LEAST = 3
APPLICATION = """
import json, os, time
import httpx

ANSWER = {"model": "m", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}

def application(environ, start_response):
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER))
    with httpx.Client(transport=transport) as client:
        client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
    time.sleep(0.02)  # so that others get the next request
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
POINTS = """
    SELECT streams.attributes, points.time, points.value
    FROM points JOIN streams ON streams.id = points.stream JOIN scopes ON scopes.id = streams.scope
    WHERE streams.name = ? AND scopes.name = 'otel_llm' ORDER BY points.time
"""


@contextmanager
def server(folder, *options, **more):
    """Gunicorn with eight workers, each of which has made a call; its workers' process ids."""
    (folder / "wsgi.py").write_text(APPLICATION)
    (port,) = free_ports(1)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ = kept | {
        "OTEL_LLM_STORE_PATH": str(folder / "calls.db"),
        "OTEL_LLM_PROBE_INTERVAL": f"{int(INTERVAL * 1000)}ms",
        "PYTHONPATH": str(folder),
    }
    environ |= more
    command = [BIN / "opentelemetry-instrument", BIN / "gunicorn", "-w", str(WORKERS), "-b", f"127.0.0.1:{port}"]
    command += ["--graceful-timeout", "3", "--timeout", "300"]
    with started(
        [*command, *options, "wsgi:application"],
        log=folder / "gunicorn.log",
        ready=lambda: is_open(port),
        environ=environ,
    ):
        pids = set()
        deadline = time.monotonic() + 2 * WITHIN
        while len(pids) < WORKERS and time.monotonic() < deadline:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                pids.add(int(answer.read()))
        assert len(pids) == WORKERS, (folder / "gunicorn.log").read_text()
        yield pids


def points(folder, name):
    """Each point of a metric: its attributes, time [s] and value."""
    with closing(sqlite3.connect(f"file:{folder / 'calls.db'}?mode=ro", uri=True)) as store:
        rows = store.execute(POINTS, (name,)).fetchall()
    return [(json.loads(attributes), time / 1e9, value) for attributes, time, value in rows]


def reports(folder, name, since):
    """How many points there are of a metric since a time [s]."""
    return sum(time > since for _, time, _ in points(folder, name))


def assert_one_reports(told, since, until):
    """Points of one series, no more of them than one process makes; eight would make eight times as many."""
    times = [time for _, time, _ in told if since <= time <= until]
    assert len(times) <= (until - since) / INTERVAL + 2
    assert len(times) >= LEAST
    assert len({json.dumps(attributes, sort_keys=True) for attributes, _, _ in told}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["plain", "preload"])
def test_eight_workers_tell_of_the_host_once_and_of_themselves_each(tmp_path, options):
    with server(tmp_path, *options) as pids:
        since = time.time()
        time.sleep(8 * INTERVAL)
        wait_for(lambda: reports(tmp_path, semconv.METRIC_SYSTEM_MEMORY_LIMIT, since) >= LEAST)
        wait_for(lambda: reports(tmp_path, semconv.METRIC_SYSTEM_LOAD_1, since) >= LEAST)
        until = time.time()
    assert_one_reports(points(tmp_path, semconv.METRIC_SYSTEM_MEMORY_LIMIT), since, until)
    assert_one_reports(points(tmp_path, semconv.METRIC_SYSTEM_LOAD_1), since, until)
    threads = points(tmp_path, semconv.METRIC_PROCESS_THREAD_COUNT)
    assert {attributes[semconv.PROCESS_PID] for attributes, _, _ in threads} >= pids


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["plain", "preload"])
def test_eight_workers_give_one_series_for_each_card(tmp_path, options, cards):
    with server(tmp_path, *options, **cards.environ):
        since = time.time()
        time.sleep(8 * INTERVAL)
        wait_for(lambda: reports(tmp_path, semconv.METRIC_GPU_MEMORY_LIMIT, since) >= 2 * LEAST)
        until = time.time()
    told = points(tmp_path, semconv.METRIC_GPU_MEMORY_LIMIT)
    ids = {attributes["hw.id"] for attributes, _, _ in told}
    assert len(ids) == 2
    for card in ids:
        assert_one_reports([point for point in told if point[0]["hw.id"] == card], since, until)


@pytest.mark.slow
def test_the_next_worker_reports_within_an_interval_of_the_holders_death(tmp_path):
    name, first = semconv.METRIC_SYSTEM_MEMORY_LIMIT, []
    with server(tmp_path) as pids:

        def follows():
            """How long after the holder's death the next one's first report comes [s]."""
            wait_for(lambda: sum(map(holds_a_seat, pids)) == 1)
            (holder,) = [pid for pid in pids if holds_a_seat(pid)]
            pids.remove(holder)
            os.kill(holder, signal.SIGKILL)
            killed = time.time()
            wait_for(lambda: reports(tmp_path, name, killed))
            first[:] = [min(time for _, time, _ in points(tmp_path, name) if time > killed)]
            return first[0] - killed

        assert least(follows, INTERVAL + 1) <= INTERVAL + 1  # a second for a machine under load
        time.sleep(6 * INTERVAL)
        wait_for(lambda: reports(tmp_path, name, first[0]) >= LEAST)
        until = time.time()
    assert_one_reports(points(tmp_path, name), first[0], until)


def holds_a_seat(pid):
    """Whether a process has the lock of a reporter: the kernel's own list of locks says so."""
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    inodes = {int(words[5].rpartition(":")[2]) for words in locks if words[1] == "POSIX" and words[4] == str(pid)}
    if not Path(f"/proc/{pid}/fd").exists():
        return False
    files = [Path(f"/proc/{pid}/fd/{handle}") for handle in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH208 - they go
    return any("reporter-" in str(file.resolve()) and file.stat().st_ino in inodes for file in files if file.exists())
