"""What becomes of spans is counted by each part."""

import os
from collections import deque

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from otel_llm.alert.processor import AlertProcessor
from otel_llm.store.database import Database
from otel_llm.store.exporters import StoreSpanProcessor
from otel_llm.upkeep import Exports, Upkeep


class Backend(SpanExporter):
    """Answers as a test wants."""

    def __init__(self, answer=SpanExportResult.SUCCESS):
        self.answer = answer
        self.got = 0

    def export(self, spans):
        self.got += len(spans)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def fates(told):
    return {(fate.part, fate.state, fate.reason): fate.number for fate in told}


def finish(processor, number=3, **attributes):
    """Finish spans that go through ``processor``."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(number):
        provider.get_tracer("test").start_span("chat", attributes=attributes).end()
    return provider


@pytest.mark.parametrize("kind", [SimpleSpanProcessor, BatchSpanProcessor])
def test_spans_that_a_backend_took_are_exported(kind):
    exports, backend = Exports(), Backend()
    processor = kind(backend)
    exports.follow([processor])
    finish(processor).force_flush()
    assert backend.got == 3
    assert fates(exports.fates()) == {("exporters", "exported", None): 3}
    processor.shutdown()


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, OSError("gone")])
def test_spans_that_a_backend_did_not_take_are_dropped(answer):
    exports, backend = Exports(), Backend(answer)
    processor = BatchSpanProcessor(backend)
    exports.follow([processor])
    finish(processor).force_flush()
    assert fates(exports.fates()) == {("exporters", "dropped", "export"): 3}
    processor.shutdown()


def test_spans_that_find_the_exporters_queue_full_are_dropped():
    exports = Exports()
    processor = BatchSpanProcessor(Backend(), max_queue_size=2, max_export_batch_size=2, schedule_delay_millis=60_000)
    processor._batch_processor._worker_awaken.set = lambda: None  # nobody empties it
    exports.follow([processor])
    finish(processor, 5)
    assert fates(exports.fates()) == {("exporters", "dropped", "queue_full"): 3}
    assert exports.depth() == 2


def test_a_processor_that_is_followed_twice_counts_once():
    exports = Exports()
    processor = SimpleSpanProcessor(Backend())
    exports.follow([processor, processor])
    exports.follow([processor])
    finish(processor, 1)
    assert fates(exports.fates()) == {("exporters", "exported", None): 1}


def test_a_processor_without_an_exporter_is_left_alone(tmp_path):
    exports = Exports()
    exports.follow([StoreSpanProcessor(Database(tmp_path / "a.db"))])
    assert fates(exports.fates()) == {}
    assert exports.depth() is None


def test_what_the_store_kept_is_told(tmp_path):
    upkeep = Upkeep()
    upkeep.store = Database(tmp_path / "a.db")
    finish(StoreSpanProcessor(upkeep.store)).force_flush()
    assert fates(upkeep.fates()) == {("store", "seen", None): 3, ("store", "stored", None): 3}
    assert upkeep.depths() == {"store": 0}
    upkeep.store.close(5)


def test_what_the_alerts_saw_and_lost_is_told():
    upkeep = Upkeep()
    upkeep.alerts = AlertProcessor(lambda: None)
    upkeep.alerts.intake.ended = deque(maxlen=2)
    finish(upkeep.alerts, **{"gen_ai.operation.name": "chat"})
    assert fates(upkeep.fates()) == {
        ("alerts", "seen", None): 3,
        ("alerts", "judged", None): 0,
        ("alerts", "dropped", "queue_full"): 1,
    }
    assert upkeep.depths() == {"alerts": 2}


def test_a_process_that_saw_nothing_tells_nothing():
    upkeep = Upkeep()
    upkeep.alerts = AlertProcessor(lambda: None)
    assert fates(upkeep.fates()) == {}
    assert upkeep.depths() == {"alerts": 0}


def test_a_forked_child_counts_for_itself():
    exports = Exports()
    processor = SimpleSpanProcessor(Backend())
    exports.follow([processor])
    finish(processor, 2)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        before = fates(exports.fates())
        finish(processor, 1)
        after = fates(exports.fates())
        os.write(writing, b"1" if before == {} and after == {("exporters", "exported", None): 1} else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
