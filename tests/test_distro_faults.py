"""Whatever of ours fails while the distribution is set up, used and left, the application does what it does without us.

Each function of ours that runs in the life of a small application is made to raise, in turn, each in a forked child of
one process that has imported everything: its exit is a real one.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOMS = (
    *("otel_llm.distro", "otel_llm.exporting", "otel_llm.leaving", "otel_llm.record.transport"),
    *("otel_llm.probe.sightings", "otel_llm.probe.reporter", "otel_llm.alert.processor"),
)
AT_ONCE = 4
"""Applications that live at the same time."""

LONGER = 5.0
"""Than as many sound runs, from start to end: an exit may take two seconds, a flush one [s]."""

USERS = "called by the user or the SDK: nothing but guards, and what stands in them"
THREADS = "a thread's first frame, which tells an exception on stderr: what it does itself is call ours, guarded"
LIBRARYS = "the SDK's or another library's own, called in its place"
LEFT_OUT = {
    "distro:instrument": USERS,
    "distro:uninstrument": USERS,
    "distro:flush": USERS,
    "distro:flush.<locals>.work": THREADS,
    "distro:_leave": USERS,
    "distro:_preload": USERS,
    "distro:_load_engine": THREADS,
    "distro:ensure_attached": USERS,
    "leaving:_bounded.<locals>.shutdown": LIBRARYS,
    "leaving:_swallowed": THREADS,
    "record.transport:_patch": USERS,
    "record.transport:Orphan.__del__": "called by the garbage collector, which tells it on stderr and goes on",
    "record.transport:_Reaper._run": THREADS,
    "record.transport:_Reaper._watch": "called by the garbage collector, which tells it on stderr and goes on",
    "alert.processor:AlertProcessor.on_start": LIBRARYS,
    "alert.processor:AlertProcessor.on_end": LIBRARYS,
    "alert.processor:AlertProcessor.shutdown": LIBRARYS,
    "alert.processor:AlertProcessor.force_flush": LIBRARYS,
    "probe.sightings:Sightings.on_end": LIBRARYS,
}
"""Functions that may raise through if they fail themselves, and why that is so."""

APPLICATION = """
import atexit, importlib, json, os, sys, time
sys.path[:0] = [{tests!r}]
import aiohttp, httpx2, requests
import otel_llm
from otel_llm import boundary
from otel_llm.alert import engine
from otel_llm.record import recording
from otel_llm.store import writer
from parts import faults

rooms, url, folder = json.loads(sys.argv[1])
known = faults.places(*rooms)
named = {{place.name: place for place in known.values()}}


def begin(number, prepare):
    begun = time.monotonic()
    pid = os.fork()
    if not pid:
        for stream in (1, 2):
            os.dup2(os.open(f"{{folder}}/{{number}}.{{stream}}", os.O_CREAT | os.O_WRONLY), stream)
        prepare(number)
        live(number)
    return number, pid, begun


def end(number, pid, begun):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out, err = (open(f"{{folder}}/{{number}}.{{stream}}").read() for stream in (1, 2))
    return {{"code": code, "out": out, "err": err, "took": time.monotonic() - begun}}


def live(number):
    otel_llm.instrument({{"store.path": f"{{folder}}/{{number}}.db"}})
    print(httpx2.post(url, json={{"model": "m", "messages": []}}).content)
    otel_llm.flush(1.0)
    otel_llm.uninstrument()
    print(httpx2.post(url, json={{"model": "m", "messages": []}}).content, flush=True)
    sys.exit(3)


def watch(number):
    global watching
    watching = faults.watched(known)
    ran = watching.__enter__()
    told = f"{{folder}}/{{number}}.ran"
    atexit.register(lambda: open(told, "w").write(json.dumps(sorted(place.name for place in ran))))


def injure(name):
    def prepare(number):
        global injured
        injured = faults.failing(named[name])
        calls = injured.__enter__()
        told = f"{{folder}}/{{number}}.errors"
        atexit.register(lambda: open(told, "w").write(json.dumps([len(calls), boundary.errors()])))
    return prepare


end(*begin("warm", lambda _number: None))
sound = end(*begin("sound", watch))
ran = json.load(open(f"{{folder}}/sound.ran"))
found = {{}}
names = [name for name in ran if name not in json.loads(sys.argv[2])]
while names:
    some, names = names[:{at_once}], names[{at_once}:]
    begun = [begin(f"{{len(names)}}-{{place}}", injure(name)) for place, name in enumerate(some)]
    for name, child in zip(some, begun):
        found[name] = end(*child)
        found[name]["calls"], found[name]["errors"] = json.load(open(f"{{folder}}/{{child[0]}}.errors"))
print(json.dumps([sound, found]))
"""


class Model(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"id":"c","model":"m","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_said):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


@pytest.mark.slow
def test_a_fault_in_the_life_of_an_application_is_unseen_and_counted_and_holds_no_exit(server, tmp_path):
    given = json.dumps([ROOMS, f"http://127.0.0.1:{server.server_port}/v1/chat/completions", str(tmp_path)])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            APPLICATION.format(tests=str(HERE), at_once=AT_ONCE),
            given,
            json.dumps(sorted(LEFT_OUT)),
        ],
        env={**os.environ, "OTEL_LLM_ALERTS_MODE": "off", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sound, found = json.loads(done.stdout.splitlines()[-1])
    assert sound["code"] == 3
    assert sound["err"] == ""
    wrong = [(name, one["code"], one["err"]) for name, one in found.items() if one["code"] != 3]
    wrong += [(name, one["out"]) for name, one in found.items() if one["out"] != sound["out"]]
    wrong += [(name, one["err"]) for name, one in found.items() if "Traceback" in one["err"]]
    wrong += [(name, one["took"]) for name, one in found.items() if one["took"] > AT_ONCE * sound["took"] + LONGER]
    wrong += [(name, "uncounted") for name, one in found.items() if one["calls"] and not one["errors"]]
    assert wrong == []
    assert len(found) > 40


def test_what_is_left_out_has_a_reason():
    assert all(LEFT_OUT.values())
