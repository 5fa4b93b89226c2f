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

from parts import faults

HERE = Path(__file__).parent
ROOMS = (
    *("otel_llm.distro", "otel_llm.exporting", "otel_llm.arriving", "otel_llm.leaving", "otel_llm.upkeep"),
    *("otel_llm.logs", "otel_llm.supervisor", "otel_llm.labour", "otel_llm.gate", "otel_llm.shortcut"),
    *("otel_llm.record.transport", "otel_llm.record.instrumentor", "otel_llm.record.ids", "otel_llm.record.sampling"),
    *("otel_llm.probe.sightings", "otel_llm.probe.reporter", "otel_llm.alert.processor"),
)
AT_ONCE = 4
"""Applications that live at the same time."""

LONGER = 5.0
"""Than as many sound runs, from start to end: an exit may take two seconds, a flush one [s]."""

USERS = "called by the user or the SDK: nothing but guards, and what stands in them"
THREADS = "a thread's first frame, which tells an exception on stderr: what it does itself is call ours, guarded"
LIBRARYS = "the SDK's or another library's own, called in its place"
LOADER = "called by `opentelemetry-instrument`, which tells of what it raises and goes on"
DECIDES = "called by the SDK in every span's beginning: a few steps on values that the SDK made"
LEFT_OUT = {
    "arriving:Distro._configure": LOADER,
    "arriving:Distro.load_instrumentor": LOADER,
    "arriving:Distro.load_instrumentor.<locals>.<lambda>": USERS,
    "arriving:_load_in_turn": USERS,
    "distro:__getattr__": LOADER,
    "record.ids:IdGenerator.generate_span_id": DECIDES,
    "record.ids:IdGenerator.generate_trace_id": DECIDES,
    "record.ids:IdGenerator.is_trace_id_random": DECIDES,
    "record.sampling:RecordInferences.should_sample": DECIDES,
    "supervisor:Loop._run": THREADS,
    "distro:instrument": USERS,
    "distro:uninstrument": USERS,
    "distro:flush": USERS,
    "distro:flush.<locals>.work": THREADS,
    "distro:_leave": USERS,
    "distro:_preload": USERS,
    "distro:_load_engine": THREADS,
    "distro:ensure_attached": USERS,
    "leaving:_bounded.<locals>.shutdown": LIBRARYS,
    "upkeep:Exports._counted.<locals>.export": LIBRARYS,
    "upkeep:Exports._add": USERS,
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

MUTE = "loses a line of the log, which the log itself counts where it can: there is nobody else to tell"
TRIED = "tries out a way round the SDK, which is not taken where that fails"
UNCOUNTED = {
    "logs:Moderation._ask": MUTE,
    "logs:Moderation.drain": MUTE,
    "logs:RotatingFile._append": MUTE,
    "logs:RotatingFile._current": MUTE,
    "logs:RotatingFile._line": MUTE,
    "logs:_encoded": MUTE,
    "logs:_message": MUTE,
    "shortcut:_agree": TRIED,
}
"""Functions whose faults are not counted, and why."""

IMPORTED = "runs while modules are imported, before anything can fail in it"
CALLS = "runs in calls of other kinds: `test_faults` makes it fail there"
ASKED = "what the SDK or the user asks of it otherwise"
FORKED = "runs at a fork, by Python's hooks, which tell of what they raise and go on"
FULL = "runs when a log file is full or cannot be written: `test_logs` has it so"
FLEET = "runs where hosts share a Redis, or the store sends on"
TIMED = "runs when something takes long, crashes or is thrown away, as the time allows"
UNREACHED = {
    "gate:Gate.__init__": IMPORTED,
    "logs:Moderation.__init__": IMPORTED,
    "record.transport:_Reaper.__init__": IMPORTED,
    "upkeep:Exports.__init__": IMPORTED,
    "upkeep:Upkeep.__init__": IMPORTED,
    "probe.sightings:Sightings._see": CALLS,
    "record.transport:fail": CALLS,
    "record.transport:ignore": CALLS,
    "record.transport:recorder": CALLS,
    "arriving:Distro._configure": ASKED,
    "record.instrumentor:WireInstrumentor.instrumentation_dependencies": ASKED,
    "record.instrumentor:WireInstrumentor.is_instrumented_by_opentelemetry": ASKED,
    "record.instrumentor:WireInstrumentor.uninstrument": ASKED,
    "record.sampling:RecordInferences.get_description": ASKED,
    "record.transport:tapped": ASKED,
    "alert.processor:_begin_anew": FORKED,
    "gate:Gate.go_on": FORKED,
    "gate:Gate.renew": FORKED,
    "gate:Gate.wait": FORKED,
    "logs:Moderation._unlock": FORKED,
    "logs:RotatingFile._beside": FULL,
    "logs:RotatingFile._fail": FULL,
    "logs:RotatingFile._shift": FULL,
    "logs:RotatingFile._turn": FULL,
    "distro:_ledger.<locals>.opened": FLEET,
    "distro:_ledger.<locals>.opened.<locals>.<lambda>": FLEET,
    "exporting:for_both": FLEET,
    "leaving:exports_with": FLEET,
    "upkeep:Forwarder.counts": FLEET,
    "distro:_look_soon.<locals>.look": TIMED,
    "logs:RotatingFile._line": TIMED,
    "probe.reporter:Reporter.release": TIMED,
    "record.transport:_Reaper.collecting": TIMED,
    "record.transport:_Reaper.rest": TIMED,
    "supervisor:Loop._crashed": TIMED,
    "supervisor:Loop._rest": TIMED,
    "supervisor:Loop.retire": TIMED,
    "supervisor:pause": TIMED,
    "upkeep:Exports._lost.<locals>.drop_items": TIMED,
}
"""Functions that this application does not call, and why; those that are `TIMED` it may call."""

APPLICATION = """
import atexit, importlib, importlib.metadata, json, os, sys, time
sys.path[:0] = [{tests!r}]
import aiohttp, httpx2, requests
import opentelemetry.exporter.otlp.proto.http.trace_exporter
import otel_llm
from otel_llm import boundary, distro
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
    load("botocore")
    import botocore
    place = f"{{folder}}/{{number}}"
    otel_llm.instrument({{"store.path": place + ".db", "log.file": place + ".log", "no": 1}})
    print(httpx2.post(url, json={{"model": "m", "messages": []}}, timeout=120).content)
    otel_llm.flush(1.0)
    otel_llm.uninstrument()
    print(httpx2.post(url, json={{"model": "m", "messages": []}}, timeout=120).content, flush=True)
    sys.exit(3)


def load(library):
    # As opentelemetry-instrument does.
    point = importlib.metadata.EntryPoint(library, "otel_llm.record.transport:WireInstrumentor", "instrumentors")
    try:
        otel_llm.distro.Distro().load_instrumentor(point)
    except Exception:
        pass


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


def list_modules(_number):
    atexit.register(lambda: open(f"{{folder}}/warm.modules", "w").write(json.dumps(sorted(sys.modules))))


end(*begin("warm", list_modules))
for name in json.load(open(f"{{folder}}/warm.modules")):
    if name.partition(".")[0] not in ("__main__", "botocore"):  # whose import is part of what is lived
        importlib.import_module(name)
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
print(json.dumps([sound, ran, found]))
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


def uncounted(name, child):
    return child["calls"] and not child["errors"] and name not in UNCOUNTED


def environ(port, folder):
    """With an exporter beside the store, for spans alone."""
    return {
        **os.environ,
        "OTEL_LLM_ALERTS_MODE": "off",
        "OTEL_TRACES_EXPORTER": "sqlite,otlp",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}/v1/traces",
        "TMPDIR": str(folder),
    }


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
        env=environ(server.server_port, tmp_path),
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sound, ran, found = json.loads(done.stdout.splitlines()[-1])
    assert sound["code"] == 3
    assert sound["err"] == ""
    wrong = [(name, one["code"], one["err"]) for name, one in found.items() if one["code"] != 3]
    wrong += [(name, one["out"]) for name, one in found.items() if one["out"] != sound["out"]]
    wrong += [(name, one["err"]) for name, one in found.items() if "Traceback" in one["err"]]
    wrong += [(name, one["took"]) for name, one in found.items() if one["took"] > AT_ONCE * sound["took"] + LONGER]
    wrong += [(name, "uncounted") for name, one in found.items() if uncounted(name, one)]
    assert wrong == []
    known = {place.name for place in faults.places(*ROOMS).values()}
    assert sorted(known - {*ran} - UNREACHED.keys()) == []
    assert sorted(name for name in UNREACHED.keys() & {*ran} if UNREACHED[name] is not TIMED) == []


def test_what_is_left_out_has_a_reason():
    assert all({**LEFT_OUT, **UNCOUNTED, **UNREACHED}.values())
    assert {*LEFT_OUT, *UNCOUNTED, *UNREACHED} <= {place.name for place in faults.places(*ROOMS).values()}
