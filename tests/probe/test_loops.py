"""The event loops of a process are asked from outside how late they are."""

import asyncio
import gc
import os
import threading
import time
import weakref

import pytest
import uvloop

from otel_llm.probe import loops as loops_module
from otel_llm.probe.loops import MOST_LOOPS, Loops
from parts.waiting import WITHIN, least, wait_for

LAG = "otel_llm.process.event_loop.lag"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request):
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def watch():
    made = Loops(period=0.02, linger=30.0)
    yield made
    assert made._loop.stop(WITHIN)


def lag(watch: Loops) -> float | None:
    """The worst of one reading."""
    readings = watch.read(0.0)
    assert {(one.name, *one.attributes.values()) for one in readings} <= {(LAG, os.getpid())}
    return readings[0].value if readings else None


async def called(watch: Loops, seconds: float) -> None:
    """A call begins, and the loop goes on for so long."""
    watch.note()
    await asyncio.sleep(seconds)


def test_a_loop_that_is_blocked_is_late_by_that(loop, watch):
    async def work() -> float | None:
        await called(watch, 0.1)
        lag(watch)
        time.sleep(1.0)  # noqa: ASYNC251 - the fault that is looked for
        await asyncio.sleep(0.05)
        return lag(watch)

    began = time.monotonic()
    late = loop.run_until_complete(work())
    assert late is not None
    assert 0.1 < late < time.monotonic() - began


def test_a_loop_that_is_free_answers_at_once(loop, watch):
    async def work() -> list[float | None]:
        told = []
        while time.monotonic() < deadline and not any(late is not None and late < 0.02 for late in told):
            await called(watch, 0.05)
            told.append(lag(watch))
        return told

    deadline = time.monotonic() + WITHIN

    answered = [late for late in loop.run_until_complete(work()) if late is not None]
    assert answered
    assert min(answered) < 0.02


def test_a_loop_that_has_not_answered_yet_is_late_by_what_has_passed(loop, watch):
    async def work() -> float | None:
        await called(watch, 0.1)
        lag(watch)
        told: list[float | None] = []
        outside = threading.Timer(1.0, lambda: told.append(lag(watch)))
        outside.start()
        time.sleep(1.5)  # noqa: ASYNC251 - the fault that is looked for
        outside.join()
        return told[0]

    late = loop.run_until_complete(work())
    assert late is not None
    assert late > 0.15


def test_what_was_told_is_not_told_again(loop, watch):
    async def work() -> float | None:
        await called(watch, 0.1)
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is looked for
        await asyncio.sleep(0.1)
        lag(watch)
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:  # what the machine adds comes and goes
            await asyncio.sleep(0.1)
            late = lag(watch)
            if late is not None and late < 0.25:
                return late
        return None

    assert loop.run_until_complete(work()) is not None


def test_where_no_loop_runs_nothing_is_said(watch):
    watch.note()
    assert lag(watch) is None
    assert not watch._loop.is_running


def test_a_loop_that_has_ended_is_said_nothing_of(loop, watch):
    loop.run_until_complete(called(watch, 0.1))
    wait_for(lambda: lag(watch) is None, between=lambda: time.sleep(0.1))
    time.sleep(0.1)
    assert lag(watch) is None


def test_the_time_between_two_runs_of_a_loop_is_not_its_lag(loop, watch):
    def late() -> float:
        loop.run_until_complete(called(watch, 0.1))
        time.sleep(0.4)
        loop.run_until_complete(called(watch, 0.1))
        return lag(watch) or 0.0

    assert least(late, 0.3) < 0.3


def test_a_loop_is_not_kept_alive(watch):
    made = asyncio.new_event_loop()
    made.run_until_complete(called(watch, 0.1))
    made.close()
    gone = weakref.ref(made)
    del made
    wait_for(lambda: gone() is None, between=gc.collect)


def test_no_more_loops_are_watched_than_the_most(watch):
    made = [asyncio.new_event_loop() for _ in range(MOST_LOOPS + 3)]
    for one in made:
        one.run_until_complete(called(watch, 0))
    assert len(watch._state.watched) == MOST_LOOPS
    for one in made:
        one.close()


def test_loops_that_are_closed_make_room(watch):
    for _ in range(2 * MOST_LOOPS):
        made = asyncio.new_event_loop()
        made.run_until_complete(called(watch, 0))
        made.close()
    fresh = asyncio.new_event_loop()
    fresh.run_until_complete(called(watch, 0.1))
    assert id(fresh) in watch._state.watched
    fresh.close()


def test_the_thread_ends_once_no_call_begins_any_more(loop, watch):
    watch._linger = 0.1
    loop.run_until_complete(called(watch, 0.05))
    wait_for(lambda: not watch._loop.is_running)


def test_another_call_has_it_watched_again(loop, watch):
    watch._linger = 0.05
    loop.run_until_complete(called(watch, 0.3))
    watch._linger = 30.0
    lag(watch)
    wait_for(lambda: lag(watch) is not None, between=lambda: loop.run_until_complete(called(watch, 0.2)))


def test_a_loop_that_closes_while_it_is_asked_does_no_harm(watch, monkeypatch):
    class Closing:
        def is_closed(self):
            return False

        def is_running(self):
            return True

        def call_soon_threadsafe(self, _callback):
            raise RuntimeError

    one = Closing()
    state = loops_module._State()
    state.watched[id(one)] = loops_module._Watched(weakref.ref(one))
    watch._post(state)
    assert state.watched[id(one)].asked_at is None


def test_a_forked_child_begins_afresh(watch):
    made = asyncio.new_event_loop()
    made.run_until_complete(called(watch, 0.1))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        before = watch.read(0.0)
        fresh, after, deadline = asyncio.new_event_loop(), [], time.monotonic() + WITHIN
        while not after and time.monotonic() < deadline:
            fresh.run_until_complete(called(watch, 0.3))
            after = watch.read(0.0)
        said = not before and len(after) == 1 and after[0].attributes == {"process.pid": os.getpid()}
        os.write(writing, b"1" if said else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
    made.close()
