"""Queues of the application's own: depth, waits, and the calls that carry them."""

import asyncio
import gc
import os
import queue as queues_of_python
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import otel_llm
from otel_llm import boundary, semconv
from otel_llm.record import client, queues

CALL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def _no_queues(monkeypatch):
    monkeypatch.setattr(queues, "_queues", {})
    queues._next.set(None)
    queues._inside.set(None)


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.port}/whole/v1/chat/completions"


def waits(recorded):
    """Of each queue, how many waits were measured and how long they were together [s]."""
    points = recorded.points().get(semconv.METRIC_QUEUE_WAIT, ())
    return {point.attributes[semconv.QUEUE_NAME]: (point.count, point.sum) for point in points}


def said(span):
    return span.attributes.get(semconv.QUEUE_NAME), span.attributes.get(semconv.QUEUE_WAIT)


def test_the_same_name_is_the_same_queue(recorded):
    assert otel_llm.queue("jobs") is otel_llm.queue("jobs")
    assert otel_llm.queue("jobs") is not otel_llm.queue("other jobs")
    assert otel_llm.queue("jobs").depth == 0


def test_calls_in_the_worker_carry_the_wait_whoever_makes_them(recorded, url):
    jobs = otel_llm.queue("jobs")
    ticket = jobs.enqueue()
    assert (jobs.depth, ticket.waited) == (1, None)
    time.sleep(0.02)

    def work():
        with ticket:
            httpx.post(url, json=CALL, trust_env=False)
            with client.call("chat"):
                pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert jobs.depth == 0
    spans = recorded.take()
    assert [said(span) for span in spans] == [("jobs", ticket.waited)] * 2
    assert ticket.waited >= 0.02
    assert waits(recorded) == {"jobs": (1, pytest.approx(ticket.waited))}


def test_a_call_after_the_worker_carries_nothing(recorded, url):
    with otel_llm.queue("jobs").enqueue():
        pass
    httpx.post(url, json=CALL, trust_env=False)
    assert said(recorded.take()[0]) == (None, None)


def test_tickets_in_tasks_do_not_mix(recorded, url):
    jobs = otel_llm.queue("jobs")

    async def work(ticket, number):
        async with ticket, httpx.AsyncClient(trust_env=False) as http:
            await http.post(url, json={**CALL, "model": f"m{number}"})
            return ticket.waited

    async def main():
        tickets = [jobs.enqueue() for _ in range(4)]
        assert jobs.depth == 4
        return await asyncio.gather(*(work(ticket, number) for number, ticket in enumerate(tickets)))

    waited = asyncio.run(main())
    carried = {span.attributes[semconv.REQUEST_MODEL]: said(span) for span in recorded.take()}
    assert carried == {f"m{number}": ("jobs", wait) for number, wait in enumerate(waited)}


def test_a_wait_in_place_is_carried_by_the_next_call_alone(recorded, url):
    with otel_llm.queue("slots").wait():
        assert otel_llm.queue("slots").depth == 1
        time.sleep(0.01)
    for _ in range(2):
        httpx.post(url, json=CALL, trust_env=False)
    first, second = recorded.take()
    assert said(first)[0] == "slots"
    assert said(first)[1] >= 0.01
    assert said(second) == (None, None)


def test_a_call_told_by_hand_takes_the_wait_and_the_wire_inside_adds_none(recorded, url):
    with otel_llm.queue("slots").wait():
        pass
    with client.call("chat"):
        httpx.post(url, json=CALL, trust_env=False)
    (span,) = recorded.take()
    assert said(span)[0] == "slots"


def test_a_span_of_somebody_elses_gets_the_wait(recorded, url):
    tracer = recorded.provider.get_tracer("app")
    attributes = {semconv.OPERATION_NAME: "chat"}
    with otel_llm.queue("jobs").enqueue(), tracer.start_as_current_span("answer", attributes=attributes):
        httpx.post(url, json=CALL, trust_env=False)
    assert said(recorded.take()[0])[0] == "jobs"


def test_async_waits_belong_to_their_tasks(recorded, url):
    slots = otel_llm.queue("slots")

    async def ask(free):
        async with slots.wait():
            await free.acquire()
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.post(url, json=CALL)
        free.release()

    async def main():
        free = asyncio.Semaphore(1)
        await asyncio.gather(*(ask(free) for _ in range(3)))

    asyncio.run(main())
    spans = recorded.take()
    assert [said(span)[0] for span in spans] == ["slots"] * 3
    assert len({said(span)[1] for span in spans}) == 3
    assert waits(recorded)["slots"][0] == 3


def test_a_wait_that_fails_is_measured_and_carried_by_nobody(recorded, url):
    with pytest.raises(TimeoutError), otel_llm.queue("slots").wait():
        raise TimeoutError
    httpx.post(url, json=CALL, trust_env=False)
    assert said(recorded.take()[0]) == (None, None)
    assert waits(recorded)["slots"][0] == 1
    assert otel_llm.queue("slots").depth == 0


def test_a_dropped_ticket_leaves_the_queue_and_counts_as_no_wait(recorded):
    jobs = otel_llm.queue("jobs")
    ticket = jobs.enqueue()
    knot = [ticket]
    knot.append(knot)
    del ticket, knot
    gc.collect()
    assert jobs.depth == 0
    assert waits(recorded) == {}


def test_a_ticket_entered_again_is_the_same_wait(recorded, url):
    ticket = otel_llm.queue("jobs").enqueue()
    for _ in range(2):
        with ticket:
            httpx.post(url, json=CALL, trust_env=False)
    assert len({said(span) for span in recorded.take()}) == 1
    assert waits(recorded)["jobs"][0] == 1


def test_a_ticket_inside_another_is_told_until_it_ends(recorded, url):
    with otel_llm.queue("outer").enqueue():
        with otel_llm.queue("inner").enqueue():
            httpx.post(url, json=CALL, trust_env=False)
        httpx.post(url, json=CALL, trust_env=False)
    assert [said(span)[0] for span in recorded.take()] == ["inner", "outer"]


def test_a_worker_loop_over_a_queue_of_pythons(recorded, url):
    jobs, todo = otel_llm.queue("jobs"), queues_of_python.Queue()

    def worker():
        while (item := todo.get()) is not None:
            ticket, model = item
            with ticket:
                httpx.post(url, json={**CALL, "model": model}, trust_env=False)

    tickets = [jobs.enqueue() for _ in range(3)]
    for number, ticket in enumerate(tickets):
        todo.put((ticket, f"m{number}"))
    todo.put(None)
    assert jobs.depth == 3
    thread = threading.Thread(target=worker)
    thread.start()
    thread.join()
    carried = [(span.attributes[semconv.REQUEST_MODEL], said(span)) for span in recorded.take()]
    assert carried == [(f"m{number}", ("jobs", ticket.waited)) for number, ticket in enumerate(tickets)]
    assert jobs.depth == 0


def test_depth_is_a_gauge(recorded):
    jobs = otel_llm.queue("jobs")
    held = [jobs.enqueue() for _ in range(3)]
    with held.pop():
        pass
    recorded_depth = {point.attributes[semconv.QUEUE_NAME]: point.value for point in _depths(recorded)}
    assert recorded_depth == {"jobs": 2}


def _depths(recorded):
    with client.call():  # the instruments are made with the first call
        pass
    return recorded.points()[semconv.METRIC_QUEUE_DEPTH]


def test_queues_are_bounded_by_name(recorded, caplog):
    for number in range(queues.MAX_QUEUES):
        otel_llm.queue(f"q{number}")
    more = otel_llm.queue("one more")
    assert more is otel_llm.queue("yet another")
    assert more.name == "other"
    assert len(queues._queues) == queues.MAX_QUEUES + 1
    assert "expected at most 100 names" in caplog.text


def test_names_may_be_anything(recorded):
    assert otel_llm.queue("").name == "other"
    assert otel_llm.queue(7).name == "7"
    assert len(otel_llm.queue("x" * 5000).name) == 1024


def test_counts_hold_under_threads(recorded):
    jobs = otel_llm.queue("jobs")

    def work(_):
        with jobs.enqueue():
            jobs.enqueue()
        with jobs.wait():
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    gc.collect()
    assert jobs.depth == 0
    assert waits(recorded)["jobs"][0] == 800


def test_in_a_forked_child_nobody_waits(recorded):
    jobs = otel_llm.queue("jobs")
    ticket = jobs.enqueue()
    child = os.fork()
    if not child:
        os._exit(jobs.depth)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert jobs.depth == 1
    with ticket:
        assert jobs.depth == 0


def test_a_fault_of_ours_stops_neither_worker_nor_wait(recorded, monkeypatch):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(queues.Queue, "begin", broken)
    monkeypatch.setattr(queues.Queue, "end", broken)
    jobs, done = otel_llm.queue("jobs"), []
    with jobs.enqueue(), jobs.wait():
        done.append(True)
    assert done == [True]
    assert set(boundary.errors()) == {"queue.begin", "queue.end"}
    boundary.reset()
