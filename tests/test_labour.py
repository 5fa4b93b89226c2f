"""Our threads say what they take of the processor."""

import os
import threading
import time

import pytest

from otel_llm import labour


@pytest.fixture(autouse=True)
def _fresh():
    labour._spent.clear()
    yield
    labour._spent.clear()


noted = {}
"""By part, the time of its last thread when it had just said it [s]."""


def work(part, seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
    labour.note(part)
    noted[part] = time.thread_time()


def on_threads(*jobs):
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_part_has_the_time_of_its_threads_and_no_others():
    on_threads(("first", 0.05), ("second", 0.02))
    spent = labour.spent()
    assert 0.05 <= spent["first"] <= noted["first"]
    assert 0.02 <= spent["second"] <= noted["second"]


def test_the_time_of_a_thread_that_has_ended_stays():
    for _ in range(3):
        on_threads(("first", 0.02))
    assert labour.spent()["first"] >= 0.06


def test_a_part_without_a_thread_is_absent():
    assert "first" not in labour.spent()


def test_threads_beyond_the_most_are_not_kept(monkeypatch):
    monkeypatch.setattr(labour, "_MOST_THREADS", 0)
    labour.note("first")
    assert "first" not in labour.spent()


def test_a_forked_child_has_nothing_of_its_parents_time():
    labour.note("first")
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        before = labour.spent()
        labour.note("second")
        os.write(writing, b"1" if before == {} and list(labour.spent()) == ["second"] else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
