"""Whatever a server does, an application sees the same with us as without us, and each call is one span that ends.

`hostile.BEHAVIOURS` says what the server does, `readers.READERS` how its answer is read: each is tried with each, with
the tap off and on, once, and all that can be seen is compared: head, bytes, exceptions with their causes, and what the
next call gets over the same client. Nothing of it is left to a race: see `hostile.Wire` and `readers.settled`.
"""

import gc
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import hostile
import httpx2
import pytest
from opentelemetry import trace
from readers import CHAT, READERS, settled

from otel_llm import semconv, supervisor
from otel_llm.record import transport
from otel_llm.record.shells import httpx as shell

HERE = Path(__file__).parent
SMALL = sorted(set(hostile.BEHAVIOURS) - hostile.LARGE)
WAITING = {"silent", "stalls", "open_after_the_end"}
"""Behaviours that only the client ends."""

WAITS = (0.2, 1.5, 8.0)
"""How long it waits then: longer where it ran out of time before it had what there was [s]."""

WAIT = 20.0

OUTCOMES = {"completed", "abandoned", "cancelled", "error"}
MARGIN = 20_000_000 // 1024
"""Most memory that a process may take over the same one without us [KiB]."""


@pytest.fixture(scope="module")
def villain():
    one = hostile.Server()
    yield one
    one.close()


def look(villain, read, behaviour, wait=WAIT):
    """What is seen of one answer, and how many connections it took."""
    base = f"http://127.0.0.1:{villain.port}"
    before = settled(base)
    seen = read(base, f"/{behaviour}{CHAT}", wait)
    return (*seen, settled(base) - before)


def look_without(villain, read, behaviour, wait=WAIT):
    """The same with the tap off."""
    tap = transport._patched.pop("tap")
    try:
        return look(villain, read, behaviour, wait)
    finally:
        transport._patched["tap"] = tap


def settle(recorded):
    deadline = time.monotonic() + 30
    while len(recorded.spans) < len(recorded.started) and time.monotonic() < deadline:
        gc.collect()  # an answer that nobody holds may hold itself
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", SMALL)
def test_what_is_seen_of_a_hostile_server_is_the_same_and_each_call_is_one_span(recorded, villain, behaviour):
    differing, open_ended, untold = [], [], []
    for name, read in READERS.items():
        for wait in WAITS if behaviour in WAITING else (WAIT,):
            recorded.take()
            recorded.started.clear()
            expected = look_without(villain, read, behaviour, wait)
            assert not recorded.started
            seen = look(villain, read, behaviour, wait)
            settle(recorded)
            if seen == expected:
                break
        if len(recorded.spans) != len(recorded.started) or not recorded.started:
            open_ended.append((name, len(recorded.started), len(recorded.spans)))
        for span in recorded.spans:
            failed = span.status.status_code is trace.StatusCode.ERROR
            if span.attributes.get(semconv.OUTCOME) not in OUTCOMES or (
                failed != (span.attributes[semconv.OUTCOME] == "error")
            ):
                untold.append((name, dict(span.attributes)))
        if seen != expected:
            differing.append((name, expected, seen))
    assert differing == []
    assert open_ended == []
    assert untold == []
    assert not transport._patched["tap"].recorder.open


def drop_a_byte(pieces):
    yield next(pieces)[1:]
    yield from pieces


def change_the_message(pieces):
    try:
        yield from pieces
    except httpx2.HTTPError as error:
        error.args = (f"{error} ",)
        raise


def change_the_type(pieces):
    try:
        yield from pieces
    except httpx2.HTTPError as error:
        raise RuntimeError(*error.args) from error.__cause__


def add_a_cause(pieces):
    try:
        yield from pieces
    except httpx2.HTTPError as error:
        raise error from KeyError()


def swallow(pieces):
    with suppress(httpx2.HTTPError):
        yield from pieces


@pytest.mark.parametrize("plant", [drop_a_byte, change_the_message, change_the_type, add_a_cause, swallow])
def test_a_tap_that_changes_something_is_found_out(recorded, villain, plant, monkeypatch):
    class Planted(shell.SyncPieces):
        def __iter__(self):
            return plant(super().__iter__())

    read = READERS["httpx2-raw"]
    assert look(villain, read, "closed_in_body") == look_without(villain, read, "closed_in_body")
    monkeypatch.setattr(shell, "SyncPieces", Planted)
    assert look(villain, read, "closed_in_body") != look_without(villain, read, "closed_in_body")
    assert recorded.started


@pytest.mark.slow
def test_hostile_servers_leave_no_thread_behind(recorded, villain):
    mine = threads()
    for behaviour in ("reset_in_body", "closed_in_body", "bad_chunk_size", "encoding_lie"):
        look(villain, READERS["httpx2-read"], behaviour)
    assert threads() - mine <= {"reaper"}


def threads():
    """What threads of ours work for."""
    return {one.name for one in supervisor.standing() if one.state == "running"}


CHILD = """
import json, sys
sys.path.insert(0, {here!r})
from readers import READERS
with_us, base, names = sys.argv[1] == "with", sys.argv[2], json.loads(sys.argv[3])
if with_us:
    import otel_llm
    otel_llm.instrument()
told = {{}}
for behaviour, reader in names:
    told[behaviour + " " + reader] = READERS[reader](base, "/" + behaviour + "/v1/chat/completions", 60.0)
spans = None
if with_us:
    from otel_llm.record import transport
    transport.reaper.drain()
    spans = len(transport.recorder().open)
    otel_llm.flush(60)
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # rusage keeps the parent's peak
print(json.dumps([told, peak, spans]))
"""
FLOWING = ("httpx2-async-bytes", "aiohttp-any", "urllib3-raw")
"""Ways to read that hold nothing themselves, one for each shell: what flows is the same for all that a shell serves."""


def child(villain, with_us, reader, tmp_path):
    """What a process of its own sees of all large answers, its peak [KiB] and its open calls."""
    names = [(behaviour, reader) for behaviour in sorted(hostile.LARGE)]
    base = f"http://127.0.0.1:{villain.port}"
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(here=str(HERE)), with_us, base, json.dumps(names)],
        env={**os.environ, "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db")},
        capture_output=True,
        text=True,
        timeout=550,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("reader", FLOWING)
def test_bombs_and_endless_streams_are_seen_the_same_and_cost_no_memory(villain, reader, tmp_path):
    expected, without, _ = child(villain, "without", reader, tmp_path)
    seen, peak, still_open = child(villain, "with", reader, tmp_path)
    assert seen == expected
    assert still_open == 0
    assert peak - without < MARGIN


def test_the_page_lists_what_is_tried():
    page = (HERE.parents[1] / "docs/hostile.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)) == {
        name: act.__doc__.strip() for name, act in hostile.BEHAVIOURS.items()
    }
