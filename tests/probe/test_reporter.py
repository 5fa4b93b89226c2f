"""One process of a host reports what they share; its death frees the seat. Real processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import pytest
from stand_in import Said, observer

from otel_llm.probe import reporter as room
from otel_llm.probe.reporter import Reporter

HOLDER = """
    import sys, time
    from pathlib import Path
    from otel_llm.probe.reporter import Reporter
    seat = Reporter(sys.argv[1], Path(sys.argv[2]))
    print(seat.holds(), flush=True)
    time.sleep(60)
"""


@contextmanager
def other_process(place, folder):
    """A process that asks for the seat and stays; what it was told."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), place, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip() == "True"
        finally:
            process.kill()


def test_the_first_process_has_the_seat_and_the_second_has_not(tmp_path):
    with other_process("here", tmp_path) as (_, first):
        assert first
        assert not Reporter("here", tmp_path).holds()


def test_processes_that_report_elsewhere_have_a_seat_of_their_own(tmp_path):
    with other_process("here", tmp_path):
        assert Reporter("there", tmp_path).holds()


def test_the_seat_of_a_killed_process_is_free(tmp_path):
    seat = Reporter("here", tmp_path)
    with other_process("here", tmp_path) as (process, _):
        assert not seat.holds()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert seat.holds()
    seat.release()


def test_a_seat_that_was_left_is_free(tmp_path):
    seat = Reporter("here", tmp_path)
    assert seat.holds()
    seat.release()
    with other_process("here", tmp_path) as (_, second):
        assert second


def test_a_forked_child_does_not_inherit_the_seat(tmp_path):
    seat = Reporter("here", tmp_path)
    assert seat.holds()
    child = os.fork()
    if child == 0:
        os._exit(1 if seat.holds() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    seat.release()


def test_without_any_folder_each_process_reports(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(room, "_folders", lambda: iter([tmp_path / "file" / "below"]))
    assert Reporter("here").holds()


def test_a_folder_of_somebody_elses_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert Reporter("here", tmp_path).holds()
    assert list(tmp_path.iterdir()) == []


def test_what_is_shared_is_read_by_the_next_process_once_the_holder_is_dead(tmp_path):
    source = Said(1.0)
    watcher = observer(source, tmp_path, interval=0.02, shared=True)
    with other_process("here", tmp_path) as (process, _):
        assert watcher.readings() == []
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.02)
        assert [reading.value for reading in watcher.readings()] == [1.0]
    watcher.close()


@pytest.mark.parametrize("slow", [True, False])
def test_what_is_shared_is_not_even_opened_by_the_others(tmp_path, slow):
    source = Said(1.0)
    watcher = observer(source, tmp_path, shared=True, slow=slow)
    with other_process("here", tmp_path):
        watcher.readings()
        assert source.reads == []
