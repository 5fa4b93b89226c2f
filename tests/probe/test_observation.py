"""Readings reach every reader once, whatever a source does."""

import os
import threading
import time

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from stand_in import BYTES, LOAD, Clock, Said, observer

from otel_llm import boundary
from otel_llm.probe.observation import Observer, Offer
from otel_llm.probe.reporter import Reporter
from parts.waiting import WITHIN, wait_for


@pytest.fixture(autouse=True)
def _fresh():
    boundary.reset()
    yield
    boundary.reset()


@pytest.fixture
def clock():
    return Clock()


def values(reader, name="test.load"):
    """What one collection gives of a metric."""
    data = reader.get_metrics_data()
    metrics = [
        metric
        for of_resource in (data.resource_metrics if data else ())
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    ]
    return [point.value for metric in metrics if metric.name == name for point in metric.data.data_points]


def registered(watcher, number=1):
    readers = [InMemoryMetricReader() for _ in range(number)]
    watcher.register(MeterProvider(metric_readers=readers).get_meter("test"))
    return readers


def test_nothing_is_opened_before_the_first_collection(tmp_path):
    opened = []
    offer = Offer(open=lambda: opened.append(1), instruments=(LOAD,))
    watcher = Observer([offer], interval=10, reporter=Reporter("here", tmp_path))
    (reader,) = registered(watcher)
    assert opened == []
    values(reader)
    assert opened == [1]


def test_what_has_nothing_to_read_is_asked_once(tmp_path, clock):
    opened = []
    offer = Offer(open=lambda: opened.append(1), instruments=(LOAD,))
    watcher = Observer([offer], interval=10, reporter=Reporter("here", tmp_path), clock=clock)
    for _ in range(3):
        assert watcher.readings() == []
        clock.now += 10
    assert opened == [1]


def test_one_snapshot_serves_every_reader_and_instrument(tmp_path, clock):
    source = Said(1.0)
    readers = registered(observer(source, tmp_path, clock=clock), 3)
    assert [values(reader) for reader in readers] == [[1.0]] * 3
    assert len(source.reads) == 1


def test_a_snapshot_is_told_again_while_it_is_younger_than_half_the_interval(tmp_path, clock):
    source = Said(1.0, 2.0)
    (reader,) = registered(observer(source, tmp_path, clock=clock))
    seen = []
    for later in (0, 4.9, 0.2):
        clock.now += later
        seen += values(reader)
    assert seen == [1.0, 1.0, 2.0]


def test_a_source_that_says_nothing_has_no_point(tmp_path):
    (reader,) = registered(observer(Said(None), tmp_path))
    assert values(reader) == []


def test_a_source_that_raises_is_absent_counted_and_asked_again(tmp_path, clock):
    (reader,) = registered(observer(Said(1.0, OSError("gone"), 3.0), tmp_path, clock=clock))
    seen = []
    for _ in range(3):
        seen.append(values(reader))
        clock.now += 10
    assert seen == [[1.0], [], [3.0]]
    assert boundary.errors() == {"probe.read": 1}


def test_a_counter_starts_at_nought_and_never_falls(tmp_path, clock):
    source = Said(500, 530, 10, 15, metric=BYTES.name)
    (reader,) = registered(observer(source, tmp_path, clock=clock))
    seen = []
    for _ in range(4):
        seen += values(reader, BYTES.name)
        clock.now += 10
    assert seen == [0, 30, 30, 35]


def test_a_subscriber_gets_what_was_just_read_and_only_once(tmp_path, clock):
    watcher = observer(Said(1.0, 2.0), tmp_path, clock=clock)
    got = []
    cancel = watcher.subscribe(lambda readings: got.append([reading.value for reading in readings]))
    for _ in range(2):
        watcher.readings()
        watcher.readings()
        clock.now += 10
    cancel()
    watcher.readings()
    assert got == [[1.0], [2.0]]


def test_a_subscriber_that_raises_disturbs_nobody(tmp_path):
    watcher = observer(Said(1.0), tmp_path)
    watcher.subscribe(lambda _readings: 1 / 0)
    assert [reading.value for reading in watcher.readings()] == [1.0]
    assert boundary.errors() == {"probe.subscriber": 1}


def test_a_slow_source_holds_no_collection_up(tmp_path):
    release = threading.Event()

    class Slow(Said):
        def read(self, now):
            release.wait(WITHIN)
            return super().read(now)

    watcher = observer(Slow(1.0), tmp_path, slow=True)
    started = time.monotonic()
    assert watcher.readings() == []
    assert time.monotonic() - started < WITHIN / 2
    release.set()
    wait_for(lambda: [reading.value for reading in watcher.readings()] == [1.0])
    watcher.close()


def test_no_thread_is_started_for_a_slow_source_that_is_not_there_yet(tmp_path):
    there = []
    watcher = observer(Said(1.0), tmp_path, slow=True, interval=0.01, is_there=lambda: bool(there))
    (reader,) = registered(watcher)
    assert values(reader) == []
    assert not watcher._loop.is_running
    there.append(1)
    wait_for(lambda: values(reader) == [1.0])
    watcher.close()


def test_a_slow_source_that_hangs_is_absent_after_a_while(tmp_path, clock):
    release = threading.Event()

    class Hangs(Said):
        def read(self, now):
            if self.reads:
                release.wait(WITHIN)
            return super().read(now)

    watcher = observer(Hangs(1.0), tmp_path, slow=True, interval=0.01, clock=clock)
    watcher.readings()
    wait_for(lambda: len(watcher.readings()) == 1)
    clock.now += 1
    assert watcher.readings() == []
    release.set()
    watcher.close()


def test_a_slow_source_is_not_read_at_the_exit(tmp_path):
    source = Said(1.0)
    watcher = observer(source, tmp_path, slow=True)
    watcher.finish()
    watcher.readings()
    assert source.reads == []
    assert not watcher._loop.is_running


def test_closing_closes_the_sources(tmp_path):
    source = Said(1.0)
    watcher = observer(source, tmp_path)
    watcher.readings()
    watcher.close()
    assert source.closed == 1


def test_a_forked_child_opens_its_own_sources(tmp_path, clock):
    opened = []

    def open_source():
        opened.append(os.getpid())
        return Said(1.0)

    offer = Offer(open=open_source, instruments=(LOAD,))
    watcher = Observer([offer], interval=10, reporter=Reporter("here", tmp_path), clock=clock)
    watcher.readings()
    child = os.fork()
    if child == 0:
        watcher.readings()
        os._exit(0 if opened == [os.getppid(), os.getpid()] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_last_collection_of_a_process_reads_anew(tmp_path, clock):
    watcher = observer(Said(1.0, 2.0), tmp_path, clock=clock)
    (reader,) = registered(watcher)
    assert values(reader) == [1.0]
    watcher.finish()
    assert values(reader) == [2.0]
