"""Whatever of the store fails, the host sees nothing and waits for nothing, and the store goes on when it is over.

Each function of the store that runs while something is kept is made to raise, in turn.
"""

import time

import pytest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_llm import boundary
from otel_llm.store import database, exporters
from otel_llm.store.database import Database
from parts import faults
from parts.waiting import WITHIN

KNOWN = faults.places("otel_llm.store")

SDKS = "the SDK calls it as its own: what it does itself is call ours, guarded"
MAKERS = "made while the SDK is set up, under the distro's guard"
THREADS = "the thread's first frame: what it does itself is call ours, guarded"
COUNTERS = "the guard that all of the SDK's calls stand behind"
LEFT_OUT = {
    **dict.fromkeys(
        (
            f"store.exporters:{kind}.{method}"
            for kind in ("StoreSpanProcessor", "StoreLogProcessor", "StoreMetricReader")
            for method in ("on_end", "on_emit", "shutdown", "force_flush", "_receive_metrics")
        ),
        SDKS,
    ),
    **dict.fromkeys(
        (
            f"store.exporters:Sqlite{kind}Exporter.{method}"
            for kind in ("Span", "LogRecord", "Metric")
            for method in ("export", "shutdown", "force_flush")
        ),
        SDKS,
    ),
    "store.exporters:_flush": COUNTERS,
    "store.writer:Writer._run": THREADS,
}
"""Functions that may raise through if they fail themselves, and why that is so."""

CAREFUL = "a span that cannot be written fast is written with care, and so is kept"
TOGETHER = (
    *("store.plans:", "store.alike:", "store.batch:_insert"),
    *(f"store.rows:Encoder.{name}" for name in ("rows", "_known", "_together", "_numbers")),
)
QUIET = dict.fromkeys(TOGETHER, CAREFUL)
"""Beginnings of the names of functions whose faults are mended, and so not counted."""


class Host:
    """An application with all that the store can be attached to."""

    def __init__(self, path, way):
        self.database = database._shared.setdefault(path, Database(path))
        if way == "processors":
            spans = exporters.StoreSpanProcessor(self.database)
            logs: LogRecordProcessor = exporters.StoreLogProcessor(self.database)
            reader = exporters.StoreMetricReader(self.database)
            self.meters = MeterProvider([reader])
        else:
            spans = SimpleSpanProcessor(exporters.SqliteSpanExporter(path))
            logs = SimpleLogRecordProcessor(exporters.SqliteLogRecordExporter(path))
            self.meters = MeterProvider([])
        self.tracers, self.loggers = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(spans)
        self.loggers.add_log_record_processor(logs)
        self.count = self.meters.get_meter("host").create_counter("host.count")

    def work(self):
        """What the host does; how long it took [s]."""
        begun = time.monotonic()
        with self.tracers.get_tracer("host").start_as_current_span("chat m") as span:
            span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "odd": (1, 2)})
            span.add_event("seen", {"a": 1})
        self.loggers.get_logger("host").emit(body="said", event_name="e")
        self.count.add(1, {"a": "b"})
        return time.monotonic() - begun

    def keep(self):
        """Have all of it kept; what the SDK is told, and how long it took [s]."""
        begun = time.monotonic()
        self.meters.force_flush(500)
        self.tracers.force_flush(500)
        return exporters._flush(self.database, 0.5), time.monotonic() - begun

    def close(self):
        self.database.close(1)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["processors", "exporters"])
def test_a_fault_in_any_function_of_the_store_is_unseen_and_counted_and_passes(tmp_path, way):
    with faults.watched(KNOWN) as places:
        host = Host(tmp_path / "first.db", way)
        host.work()
        host.keep()
        host.close()
    wrong = []
    for number, place in enumerate(sorted(places, key=lambda place: place.name)):
        if place.name in LEFT_OUT or place.name.endswith((".__init__", "Database.close")):
            continue
        if way == "exporters" and not place.name.startswith(("store.exporters", "store.database")):
            continue  # the rest is the same as with processors
        for turn in range(3):  # who is not slow once is not slow
            boundary.reset()
            host = Host(tmp_path / f"{number}-{turn}.db", way)
            with faults.failing(place) as calls:
                worked = host.work()
                _, kept = host.keep()
            is_slow = (way == "processors" and worked > 0.3) or kept > 3
            if not is_slow or turn == 2:
                break
            host.close()
        if calls and not boundary.errors() and not place.name.startswith(tuple(QUIET)):
            wrong.append((place.name, "uncounted"))
        if is_slow:
            wrong.append((place.name, "waited", worked, kept))
        deadline = time.monotonic() + WITHIN
        before = host.database.stats().stored
        host.work()
        while host.database.stats().stored <= before and time.monotonic() < deadline:
            host.keep()
            time.sleep(0.02)
        if host.database.stats().stored <= before:
            wrong.append((place.name, "stopped", host.database.stats()))
        host.close()
    boundary.reset()
    assert wrong == []
    assert len(places) > 50


def test_what_is_left_out_has_a_reason():
    assert all(LEFT_OUT.values())
