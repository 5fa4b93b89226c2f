"""``otel-llm alerts watch`` while alerts come and go, into a pipe and on a terminal."""

import os
import pty
import queue
import select
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest

from otel_llm.alert import clock
from otel_llm.ledger import Kept
from otel_llm.store.ledger import SqliteLedger
from parts.waiting import WITHIN

RUN = "from otel_llm.cli import main; main()"
IN_A_TERMINAL = f"""
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background hands down that it is ignored
{RUN}
"""
IN_A_PIPE = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {RUN}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.db"


@pytest.fixture
def turn(path):
    """Has an alert change its state, as the judge does."""
    opened = []

    def to(state, **content):
        opened.append(SqliteLedger(path, clock.boot()))
        ledger, now = opened[-1], time.time()
        said = {"labels": [["gen_ai_request_model", "m"]], "state": state, "value": 0.5, **content}
        kept = Kept(
            fingerprint="0123456789abcdef",
            rule="Errors",
            digest="d",
            state=state,
            content=said,
            labels={"alertname": "Errors", "gen_ai_request_model": "m"},
            at=clock.now(),
            wall=now,
            boot=clock.boot(),
        )
        assert ledger.commit(ledger.lease("test", clock.now()), [kept], [])

    yield to
    for one in opened:
        one.close()


@pytest.fixture
def watching(path):
    started = []

    def start(program=IN_A_PIPE, **streams):
        command = [sys.executable, "-c", program, "alerts", "watch", "--interval", "200ms", "--db", str(path)]
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        started.append(subprocess.Popen(command, env=environ, **streams))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def lines_of(stream):
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in stream], daemon=True).start()
    return lines


def test_into_a_pipe_each_change_is_a_line_from_before_there_is_a_store(watching, turn):
    with watching(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, talk = lines_of(process.stdout), lines_of(process.stderr)
        assert talk.get(timeout=WITHIN).startswith("Waiting for")
        for state, word, content in (
            ("pending", "pending", {"active_at": time.time()}),
            ("firing", "firing", {"fired_at": time.time()}),
            ("inactive", "resolved", {"fired_at": time.time(), "resolved_at": time.time()}),
        ):
            turn(state, **content)
            assert out.get(timeout=WITHIN).split()[1:] == [word, "Errors", "gen_ai_request_model=m"]
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 130
        assert out.empty()


def drained(parent, process, until):
    shown = b""
    deadline = time.monotonic() + WITHIN
    while until not in shown and time.monotonic() < deadline and process.poll() is None:
        if select.select([parent], [], [], 0.1)[0]:
            shown += os.read(parent, 65536)
    assert until in shown, shown
    return shown


def test_on_a_terminal_the_table_changes_and_ctrl_c_ends_it(watching, turn):
    turn("inactive")
    parent, child = pty.openpty()
    before = termios.tcgetattr(child)
    process = watching(IN_A_TERMINAL, stdin=child, stdout=child, stderr=child, start_new_session=True)
    drained(parent, process, b"No alert is pending or fires.")
    turn("firing", fired_at=time.time())
    assert b"Errors" in drained(parent, process, b"gen_ai_request_model=m")
    turn("inactive", fired_at=time.time(), resolved_at=time.time())
    drained(parent, process, b"resolved")
    os.write(parent, b"\x03")
    assert process.wait(WITHIN) == 130
    assert termios.tcgetattr(child) == before
    os.close(parent)
    os.close(child)
