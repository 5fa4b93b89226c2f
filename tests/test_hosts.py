"""However processes are made, run and ended: each call that came back is stored once, and nothing hangs.

Real servers, real pools, real forks; the model is a server on the loopback that gives an answer the name that the
caller asked for.
"""

import collections
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from otel_llm.fleet.keys import Keys
from otel_llm.fleet.reading import Window
from otel_llm.store.query import Filter, Reader
from parts.ports import free_ports, is_open
from parts.processes import started
from parts.sink import sink
from parts.waiting import wait_for

HERE = Path(__file__).parent / "hosts"
BIN = Path(sys.executable).parent
INSTRUMENT = str(BIN / "opentelemetry-instrument")
EXIT_WITHIN = 60.0
"""[s] Servers take their time; what is ours of it is 2 s. Longer than any of them waits for its workers."""

TOLD_WITHIN = 90.0
"""[s] Forwarding looks once a second, and who takes over every other one; the rest is a machine that is shared."""


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = {"id": asked["user"], "model": "m", "choices": [{"index": 0, "finish_reason": "stop"}]}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_said):
        pass


class Place:
    """A store, a ledger and a model of one's own."""

    def __init__(self, folder, url):
        self.folder = folder
        self.store = folder / "calls.db"
        self.ledger = folder / "ledger"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
            "MODEL_URL": url,
            "LEDGER": str(self.ledger),
            "OTEL_LLM_STORE_PATH": str(self.store),
            "OTEL_LLM_PROBE_GPU": "false",
            "PYTHONPATH": str(HERE),
            "PATH": os.pathsep.join((str(BIN), os.environ["PATH"])),
        }

    def written(self):
        return self.ledger.read_text().split() if self.ledger.exists() else []

    def stored(self):
        """How often each call is in the store."""
        with Reader(self.store) as store:
            rows = list(store.calls(Filter(limit=10_000)))
        return collections.Counter(row.attributes["gen_ai.response.id"] for row in rows)


@pytest.fixture
def place(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        yield Place(tmp_path, f"http://127.0.0.1:{model.server_port}/v1/chat/completions")
        model.shutdown()


def assert_all_stored_once(place, number):
    written, stored = place.written(), place.stored()
    assert len(written) == number
    assert sorted(written) == sorted(set(written))
    assert stored == dict.fromkeys(written, 1)


PROGRAMS = {
    "fork": 15,
    "fork_twice": 9,
    "fork_unhooked": 12,
    "mp_fork": 9,
    "mp_spawn": 9,
    "mp_forkserver": 9,
    "pool": 6,
    "executor": 6,
    "daemon_threads": 9,
    "at_exit": 7,
    "at_exit_only": 3,
    "before": 3,
    "stay": 3,
}
"""How many calls each program makes."""


def run(place, *command, **environ):
    return subprocess.run(
        command, env=place.environ | environ, cwd=HERE, capture_output=True, text=True, timeout=180, check=False
    )


def make_store(place):
    """For those whose processes end after each call and are held for a second at most: a store takes longer to make."""
    done = run(place, INSTRUMENT, sys.executable, "programs.py", "before")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "way"),
    [*((name, "command") for name in PROGRAMS), *((name, "code") for name in ("mp_spawn", "fork_unhooked", "at_exit"))],
)
def test_every_call_of_a_program_is_stored_once(place, program, way):
    number = PROGRAMS[program]
    if program == "pool":
        make_store(place)
        number += PROGRAMS["before"]
    if way == "command":
        done = run(place, INSTRUMENT, sys.executable, "programs.py", program)
    else:
        done = run(place, sys.executable, "programs.py", program, INSTRUMENT_IN_CODE="1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert_all_stored_once(place, number)


GUNICORN = ["gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "--graceful-timeout", "40"]
SERVERS = {
    "gunicorn-sync-max-requests": [*GUNICORN, "--max-requests", "4", "web:wsgi"],
    "gunicorn-gthread-preload": [*GUNICORN, "-k", "gthread", "--threads", "3", "--preload", "web:wsgi"],
    "gunicorn-gevent": [*GUNICORN, "-k", "gevent", "web:wsgi"],
    "gunicorn-gevent-preload": [*GUNICORN, "-k", "gevent", "--preload", "web:wsgi"],
    "gunicorn-uvicorn": [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "web:asgi"],
    "uvicorn-workers": ["uvicorn", "--workers", "2", "--port", "{port}", "--log-level", "warning", "web:asgi"],
    "uwsgi": [
        *("uwsgi", "--master", "--processes", "2", "--http", "127.0.0.1:{port}", "--enable-threads"),
        *("--die-on-term", "--wsgi", "web:wsgi", "--pythonpath", str(HERE), "--stats", "127.0.0.1:{stats}"),
    ],
}
REQUESTS = 20


def visit(port, names):
    """Ask for each of ``names``; the processes that answered."""
    pids = set()
    for name in names:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=120) as answer:
            pids.add(int(answer.read()))
    return pids


def rests(stats):
    """Whether no worker of a uWSGI is in a request.

    One that is runs no exit hooks when it is told to end, so that its end is a SIGKILL's; and it is for a while after
    the client has its answer.
    """
    with socket.create_connection(("127.0.0.1", stats)) as connection, connection.makefile() as told:
        return all(worker["status"] == "idle" for worker in json.load(told)["workers"])


@contextmanager
def serving(place, server):
    """A server that has answered `REQUESTS`, and the processes that did; it is told to end at the end of the block."""
    port, stats = free_ports(2)
    command = [part.format(port=port, stats=stats) for part in SERVERS[server]]
    log = place.folder / "log"
    with started(
        [INSTRUMENT, str(BIN / command[0]), *command[1:]],
        log=log,
        ready=lambda: is_open(port),
        environ=place.environ,
    ) as process:
        pids = set()
        threads = [
            threading.Thread(
                target=lambda way=way: pids.update(visit(port, [f"{way}-{n}" for n in range(REQUESTS // 2)]))
            )
            for way in ("a", "b")
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        yield pids
        if server == "uwsgi":
            wait_for(lambda: rests(stats), TOLD_WITHIN)
        process.terminate()
        process.wait(EXIT_WITHIN)
    assert "Traceback" not in log.read_text()


def settled(wanted, look):
    """What ``look`` gives, once that is ``wanted`` or it is too late."""
    deadline = time.monotonic() + TOLD_WITHIN
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_every_call_of_a_server_s_workers_is_stored_once(place, server):
    with serving(place, server):
        pass
    assert_all_stored_once(place, REQUESTS)


def delivered(backend):
    """How often each call has reached the backend."""
    return collections.Counter(
        attribute.value.string_value
        for span in backend.spans()
        for attribute in span.attributes
        if attribute.key == "gen_ai.response.id"
    )


@pytest.fixture
def backend(place):
    """Where what is stored is forwarded to."""
    with sink() as made:
        place.environ |= {"OTEL_LLM_FORWARD": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": made.url}
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(
    "server", ["gunicorn-sync-max-requests", "gunicorn-gevent", "gunicorn-gevent-preload", "uwsgi"]
)
def test_every_call_of_a_server_s_workers_is_forwarded_once(place, backend, server):
    with serving(place, server):
        wanted = dict.fromkeys(place.written(), 1)
        assert len(wanted) == REQUESTS
        assert settled(wanted, lambda: delivered(backend)) == wanted
    assert delivered(backend) == wanted  # nor anything more at the end
    assert_all_stored_once(place, REQUESTS)


def told(redis):
    """How often each call is in the stream for other hosts."""
    events = [msgspec.json.decode(fields[b"call"]) for _, fields in redis.xrange(Keys("web/default").of("calls"))]
    return collections.Counter(event["attributes"]["gen_ai.response.id"] for event in events)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gunicorn-gthread-preload", "gunicorn-gevent-preload"])
def test_workers_forked_from_a_process_that_is_in_a_fleet_are_in_it_too(place, redis_server, server):
    place.environ |= {
        "OTEL_LLM_REDIS_URL": redis_server.url,
        "OTEL_SERVICE_NAME": "web",
        "CALL_AT_LOAD": "2",
    }
    fleet = Keys("web/default")
    window = Window(redis_server.url)
    with redis_server.client() as redis, serving(place, server) as pids:
        wanted = dict.fromkeys(place.written(), 1)
        assert len(wanted) == REQUESTS + 1
        assert settled(wanted, lambda: told(redis)) == wanted
        seen = window.members(fleet)
        processes = {int(name.rpartition(" ")[2]) for name in seen.processes}
        assert len(processes) == len(pids) + 1
        assert pids < processes
        assert seen.judge in seen.processes
    assert_all_stored_once(place, REQUESTS + 1)


@pytest.mark.slow
def test_every_call_is_stored_once_when_a_server_is_told_to_reload(place):
    (port,) = free_ports(1)
    command = [part.format(port=port) for part in [*GUNICORN, "web:wsgi"]]
    with started(
        [INSTRUMENT, str(BIN / command[0]), *command[1:]],
        log=place.folder / "log",
        ready=lambda: is_open(port),
        environ=place.environ,
    ) as process:
        before = visit(port, [f"before-{number}" for number in range(6)])
        process.send_signal(signal.SIGHUP)
        after, number = set(before), 0
        deadline = time.monotonic() + 120
        while after & before and time.monotonic() < deadline:
            time.sleep(0.2)
            after = visit(port, [f"after-{number}-{again}" for again in range(4)])
            number += 1
        assert not after & before
        process.terminate()
        process.wait(EXIT_WITHIN)
    assert_all_stored_once(place, 6 + 4 * number)


TASKS = 6


EACH_ITS_OWN = ("--max-tasks-per-child", "1")
"""Every task has a process of its own."""


@contextmanager
def celery_at_work(place, *options):
    """A worker of Celery that has done `TASKS`; it is told to end with the block."""
    wanted = TASKS
    if options == EACH_ITS_OWN:
        make_store(place)
        wanted += PROGRAMS["before"]
    broker = place.folder / "broker"
    (broker / "control").mkdir(parents=True)
    place.environ["BROKER"] = str(broker)
    ask = f"import tasks; [tasks.ask.delay(f'task-{{number}}') for number in range({TASKS})]"
    done = run(place, sys.executable, "-c", ask)
    assert done.returncode == 0, done.stderr
    worker = ["-A", "tasks", "worker", "--pool", "prefork", "-c", "2", "-l", "WARNING", *options]
    log = place.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [INSTRUMENT, str(BIN / "celery"), *worker, "--without-gossip", "--without-mingle"],
            env=place.environ | {"C_FORCE_ROOT": "1"},
            cwd=HERE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while len(place.written()) < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(EXIT_WITHIN * 2)
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_every_task_of_a_worker_of_celery_is_stored_once_where_each_has_a_process_of_its_own(place):
    with celery_at_work(place, *EACH_ITS_OWN):
        pass
    assert_all_stored_once(place, TASKS + PROGRAMS["before"])


@pytest.mark.slow
def test_every_task_of_a_worker_of_celery_is_forwarded_once(place, backend):
    with celery_at_work(place):
        wanted = dict.fromkeys(place.written(), 1)
        assert len(wanted) == TASKS
        assert settled(wanted, lambda: delivered(backend)) == wanted
    assert delivered(backend) == wanted
    assert_all_stored_once(place, TASKS)


def assert_next_sends_the_rest(place, backend, wanted):
    """What short-lived processes had no time for is sent by one that lives on."""
    assert delivered(backend)  # each has 0.6 s, and its end is not held for more
    command = [INSTRUMENT, sys.executable, HERE / "programs.py", "stay"]
    with subprocess.Popen(command, env=place.environ, cwd=HERE, stdin=subprocess.PIPE) as process:
        assert settled(wanted, lambda: set(delivered(backend)) & wanted) == wanted
        process.stdin.close()
        process.wait(TOLD_WITHIN)
    assert_all_stored_once(place, len(wanted) + PROGRAMS["stay"])


@pytest.mark.slow
def test_tasks_of_celery_are_forwarded_where_each_has_a_process_of_its_own(place, backend):
    with celery_at_work(place, *EACH_ITS_OWN):
        wanted = set(place.written())
        assert len(wanted) == TASKS + PROGRAMS["before"]
        settled(wanted, lambda: set(delivered(backend)))
    # Its pool kills them: what one had sent and not yet noted is sent again by the next.
    assert delivered(backend).total() - len(delivered(backend)) <= TASKS
    assert_next_sends_the_rest(place, backend, wanted)


@pytest.mark.slow
def test_calls_of_pools_are_forwarded_whose_workers_end_after_each(place, backend):
    done = run(place, INSTRUMENT, sys.executable, "programs.py", "pool")
    assert done.returncode == 0, done.stderr
    assert_next_sends_the_rest(place, backend, set(place.written()))
