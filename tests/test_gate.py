"""A fork waits until threads of ours are outside, for a while."""

import os
import threading
import time

import pytest

from otel_llm.gate import Gate

gates = {"short": Gate(0.2), "long": Gate(60.0)}
"""What is registered with the interpreter stays so: two for all tests."""


def fork():
    """Fork and have the child end; how long the fork took [s], and whether the child found the gates open."""
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if all(gate.lock.acquire(blocking=False) for gate in gates.values()) else 1)
    took = time.monotonic() - begun
    return took, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def hold():
    """Hold a gate on a thread for so long, and no longer than the test lasts; when it let go is kept."""
    threads, over, left = [], threading.Event(), []

    def begin(gate, seconds):
        inside = threading.Event()

        def work():
            with gate.lock:
                inside.set()
                over.wait(seconds)
                left.append(time.monotonic())

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        inside.wait()
        return left

    yield begin
    over.set()
    for one in threads:
        one.join()


def test_a_fork_waits_for_who_is_inside(hold):
    left = hold(gates["long"], 0.5)
    took, is_open = fork()
    assert left
    assert took < 30
    assert is_open


def test_a_fork_waits_no_longer_than_it_may_and_the_child_finds_it_open(hold):
    hold(gates["short"], 60.0)
    took, is_open = fork()
    assert took < 30
    assert is_open
    assert gates["short"].lock.locked()


def test_a_fork_while_nobody_is_inside_leaves_it_open():
    assert fork()[1]
    assert all(not gate.lock.locked() for gate in gates.values())


def test_a_lock_of_a_kind_that_was_exchanged_is_made_anew(monkeypatch):
    gate = gates["short"]
    before = gate.lock
    assert gate.lock is before
    monkeypatch.setattr(threading, "Lock", lambda: "gevent's")
    assert gate.lock == "gevent's"
    monkeypatch.undo()
    assert not gate.lock.locked()
