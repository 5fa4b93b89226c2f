"""Loops in the background: begun when there is work, begun again after a crash, stopped within bounds."""

import gc
import itertools
import os
import sys
import threading
import time

import pytest

from otel_llm import boundary, supervisor
from otel_llm.supervisor import Loop
from parts.waiting import wait_for

SOON = 60.0
"""What is to come at once comes within so much on any machine [s]."""


@pytest.fixture(autouse=True)
def own_errors():
    boundary.reset()
    yield
    boundary.reset()


@pytest.fixture
def loops():
    """Makes loops that are stopped in the end."""
    made = []

    def make(work, name="test", **parts):
        made.append(Loop(name, work, **parts))
        return made[-1]

    yield make
    for one in made:
        assert one.stop(SOON)


def turns(of):
    """Work that notes each of its turns."""

    def work(loop):
        while loop.goes_on:
            of.append(time.monotonic())
            loop.wait(600)

    return work


def standing(name="test"):
    return {one.name: one for one in supervisor.standing()}.get(name)


def test_nothing_runs_before_it_is_asked_for(loops):
    done = []
    loop = loops(turns(done))
    assert not loop.is_running
    assert standing() is None
    assert loop.ensure()
    wait_for(lambda: done, SOON)
    assert standing().state == "running"


def test_it_runs_once_however_often_it_is_asked_for(loops):
    threads = set()

    def work(loop):
        while loop.goes_on:
            threads.add(threading.get_ident())
            loop.wait(600)

    loop = loops(work)
    askers = [threading.Thread(target=lambda: [loop.ensure() for _ in range(200)]) for _ in range(4)]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    wait_for(lambda: threads, SOON)
    assert len(threads) == 1


def test_a_wake_ends_the_wait(loops):
    done = []
    loop = loops(turns(done))
    loop.ensure()
    wait_for(lambda: len(done) == 1, SOON)
    loop.wake()
    loop.wake()
    wait_for(lambda: len(done) >= 2, SOON)


def test_work_that_returns_is_called_again_when_there_is_more(loops):
    done = []
    loop = loops(lambda _: done.append(1))
    loop.ensure()
    wait_for(lambda: done and not loop.is_running, SOON)
    assert standing().state == "idle"
    loop.ensure()
    wait_for(lambda: len(done) == 2, SOON)


def test_who_retires_is_followed_by_another(loops):
    may_go = threading.Event()
    done = []

    def work(loop):
        done.append(1)
        loop.retire()
        may_go.wait(SOON)

    loop = loops(work)
    loop.ensure()
    wait_for(lambda: done and not loop.is_running, SOON)
    loop.ensure()
    wait_for(lambda: len(done) == 2, SOON)
    may_go.set()


def test_a_crash_is_counted_and_the_work_begun_again(loops):
    done = []

    def work(loop):
        done.append(1)
        if len(done) < 3:
            raise KeyError
        loop.wait(600)

    loop = loops(work, where="test.loop")
    loop.ensure()
    wait_for(lambda: len(done) == 3, SOON)
    assert (standing().state, standing().restarts) == ("running", 2)
    assert standing().error.startswith("KeyError at test_supervisor.py:")
    assert boundary.errors() == {"test.loop": 2}


def test_between_crashes_it_rests_and_says_so(loops):
    tries = []

    def work(_loop):
        tries.append(time.monotonic())
        raise OSError

    loop = loops(work)
    loop.ensure()
    wait_for(lambda: standing() is not None and standing().state == "resting", SOON)
    wait_for(lambda: len(tries) >= 3, SOON)
    assert tries[1] - tries[0] >= supervisor.SHORTEST
    assert tries[2] - tries[1] >= 2 * supervisor.SHORTEST


def test_the_pause_grows_to_a_bound():
    assert [supervisor.pause(crashes) for crashes in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert supervisor.pause(1000) == supervisor.LONGEST


@pytest.fixture
def long_rests(monkeypatch):
    """Who crashes rests until somebody wakes it."""
    monkeypatch.setattr(supervisor, "pause", lambda _crashes: 600.0)


def test_a_wake_shortens_the_rest_but_not_below_the_least(loops, long_rests):
    tries = []

    def work(_loop):
        tries.append(time.monotonic())
        raise OSError

    loop = loops(work)
    loop.ensure()

    def wake():
        loop.wake()
        time.sleep(0.005)

    wait_for(lambda: len(tries) >= 5, SOON, wake)
    assert min(after - before for before, after in itertools.pairwise(tries)) >= supervisor.SHORTEST


def test_a_wake_in_the_first_moments_of_a_rest_is_heard_after_them(loops, long_rests):
    tries = []

    def work(loop):
        tries.append(time.monotonic())
        if len(tries) < 2:
            raise OSError
        loop.wait(600)

    loop = loops(work)
    loop.ensure()
    wait_for(lambda: standing() is not None and standing().state == "resting", SOON)
    loop.wake()
    wait_for(lambda: len(tries) == 2, SOON)
    assert tries[1] - tries[0] >= supervisor.SHORTEST


def test_a_stop_ends_the_wait_the_rest_and_the_work(loops, long_rests):
    ended = []
    waits, rests = loops(turns([]), end=lambda: ended.append("waits")), loops(lambda _: 1 / 0, "rests")
    waits.ensure()
    rests.ensure()
    wait_for(lambda: standing("rests") is not None and standing("rests").state == "resting", SOON)
    assert waits.stop(SOON)
    assert rests.stop(SOON)
    assert ended == ["waits"]
    assert standing().state == "stopped"
    assert not waits.ensure()


def test_a_stop_waits_for_who_has_retired_already():
    may_go, retiring = threading.Event(), threading.Event()

    def work(loop):
        retiring.set()
        may_go.wait(SOON)
        loop.retire()

    loop = Loop("test", work)
    loop.ensure()
    retiring.wait(SOON)
    threading.Timer(0.1, may_go.set).start()
    assert loop.stop(SOON)


def test_a_stop_does_not_wait_longer_than_it_may():
    may_go = threading.Event()
    loop = Loop("test", lambda _: may_go.wait(SOON))
    loop.ensure()
    assert loop.stop(0.05) is False
    may_go.set()
    assert loop.stop(SOON)


def test_its_own_thread_may_stop_it():
    told = []
    loop = Loop("test", lambda loop: told.append(loop.stop(SOON)))
    loop.ensure()
    wait_for(lambda: told == [False], SOON)


def test_a_failing_end_is_counted(loops):
    loop = loops(turns([]), end=lambda: 1 / 0, where="test.end")
    loop.ensure()
    assert loop.stop(SOON)
    assert boundary.errors() == {"test.end": 1}


def test_a_thread_that_is_not_to_be_had_is_tried_again(loops, monkeypatch):
    def refuse(*_):
        message = "can't start new thread"
        raise RuntimeError(message)

    done = []
    loop = loops(turns(done))
    with monkeypatch.context() as patch:
        patch.setattr("otel_llm.supervisor._thread.start_new_thread", refuse)
        assert not loop.ensure()
    assert (standing().state, standing().error) == ("idle", "can't start new thread")
    assert loop.ensure()
    wait_for(lambda: done, SOON)


def test_a_thread_that_leaves_by_the_back_door_is_replaced(loops):
    done = []

    def work(_loop):
        done.append(1)
        sys.exit()

    loop = loops(work)
    loop.ensure()
    wait_for(lambda: done and not loop.is_running, SOON)
    loop.ensure()
    wait_for(lambda: len(done) == 2, SOON)


def test_a_forked_child_starts_a_thread_of_its_own(loops):
    done = []
    loop = loops(turns(done))
    loop.ensure()
    loop.error = "of the parent"
    wait_for(lambda: done, SOON)
    child = os.fork()
    if child == 0:
        try:
            before = len(done)
            fresh = not loop.is_running and standing() is None and loop.ensure()
            wait_for(lambda: len(done) > before, SOON)
            os._exit(0 if fresh and standing().error is None else 1)
        finally:
            os._exit(1)  # a failure here is told by the parent alone
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loop.is_running


def test_of_loops_with_one_name_the_worst_is_told(loops):
    loops(turns([])).ensure()
    crashing = loops(lambda _: 1 / 0)
    crashing.ensure()
    wait_for(lambda: standing().restarts, SOON)


def test_a_loop_that_is_gone_is_not_told():
    kept = [Loop("gone", lambda _: None)]
    kept[0].ensure()
    wait_for(lambda: not kept[0].is_running, SOON)
    assert standing("gone")
    kept.clear()
    gc.collect()
    wait_for(lambda: standing("gone") is None, SOON)
