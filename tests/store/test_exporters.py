"""The SDK's doors, through the SDK."""

import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult

from otel_llm import boundary
from otel_llm.store import database as module
from otel_llm.store.exporters import (
    SqliteLogRecordExporter,
    SqliteMetricExporter,
    SqliteSpanExporter,
    StoreLogProcessor,
    StoreMetricReader,
    StoreSpanProcessor,
)
from otel_llm.store.query import Reader
from otel_llm.store.values import unpack, unpack_value
from parts.waiting import least, wait_for

RESOURCE = Resource({"service.name": "app"})


@pytest.fixture(autouse=True)
def _own_databases(monkeypatch):
    monkeypatch.setattr(module, "_shared", {})


def select(path, query):
    with Reader(path) as reader:
        return reader._sqlite.execute(query).fetchall()


@pytest.mark.parametrize("kind", ["traces", "metrics", "logs"])
def test_sqlite_is_a_name_that_the_sdk_knows(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_LLM_STORE_PATH", str(tmp_path / "x" / "x.db"))
    (entry,) = entry_points(group=f"opentelemetry_{kind}_exporter", name="sqlite")
    entry.load()()
    assert not (tmp_path / "x").exists()


def test_an_exported_batch_is_on_disk(path, spans):
    exporter = SqliteSpanExporter(path)
    assert exporter.export([spans.call(), spans.call()]) is SpanExportResult.SUCCESS
    assert select(path, "SELECT count(*) FROM spans") == [(2,)]


def test_an_export_that_cannot_be_written_fails_soon(tmp_path, spans):
    (tmp_path / "file").write_text("no folder")

    def export():
        began = time.monotonic()
        assert SqliteSpanExporter(tmp_path / "file" / "x.db").export([spans.call()]) is SpanExportResult.FAILURE
        return time.monotonic() - began

    assert least(export, 2.0) < 2.0


def test_the_sdk_s_batch_processor_delivers_to_the_exporter(path):
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(SqliteSpanExporter(path)))
    provider.get_tracer("x").start_span("a").end()
    assert provider.force_flush()
    provider.shutdown()
    assert select(path, "SELECT count(*) FROM spans") == [(1,)]


def test_the_processor_keeps_sampled_spans_only(database, path):
    class RecordOnly(Sampler):
        def should_sample(self, *_args, **_kwargs):
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self):
            return "record only"

    for sampler in (None, ALWAYS_OFF, RecordOnly()):
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(StoreSpanProcessor(database))
        provider.get_tracer("x").start_span("a").end()
        assert provider.force_flush()
        provider.shutdown()
    assert select(path, "SELECT count(*) FROM spans") == [(1,)]


def test_the_processor_lets_no_error_out(database):
    boundary.reset()
    StoreSpanProcessor(database).on_end(None)
    StoreLogProcessor(database).on_emit(None)
    assert sum(boundary.errors().values()) == 2


LOG = {
    "timestamp": 5 * 10**18,
    "observed_timestamp": 5 * 10**18 + 1,
    "severity_text": "WARN",
    "severity_number": SeverityNumber.WARN,
    "body": {"text": "a", "n": (1, 2.5, None, b"x")},
    "attributes": {"k": "v", "url.full": "http://a/?b"},
    "event_name": "my.event",
}


@pytest.mark.parametrize("door", ["processor", "exporter"])
def test_a_log_record_comes_back(door, path):
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    if door == "processor":
        provider.add_log_record_processor(StoreLogProcessor(module.shared(path)))
    else:
        provider.add_log_record_processor(BatchLogRecordProcessor(SqliteLogRecordExporter(path)))
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    with tracer.start_as_current_span("a") as span:
        provider.get_logger("lib", "1").emit(LogRecord(**LOG))
    assert provider.force_flush()
    provider.shutdown()
    columns = (
        "timestamp, observed_timestamp, severity_text, severity_number, event_name, body, attributes, trace_id, span_id"
    )
    (row,) = select(path, f"SELECT {columns} FROM logs")  # noqa: S608
    assert row[:5] == (5 * 10**18, 5 * 10**18 + 1, "WARN", 13, "my.event")
    assert unpack_value(row[5]) == LOG["body"]
    assert unpack(row[6]) == {"k": "v", "url.full": "http://a/"}
    assert row[7].hex() == f"{span.get_span_context().trace_id:032x}"
    assert row[8].hex() == f"{span.get_span_context().span_id:016x}"
    assert select(
        path,
        "SELECT service, name FROM logs JOIN resources ON resources.id = resource JOIN scopes ON scopes.id = scope",
    ) == [("app", "lib")]


def test_a_log_text_holds_no_query_and_no_key(path):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(StoreLogProcessor(module.shared(path)))
    provider.get_logger("x").emit(LogRecord(body="POST https://a/v1?key=AIzaSy0123456789abc with sk-proj-0123456789"))
    provider.force_flush()
    ((body,),) = select(path, "SELECT body FROM logs")
    assert "AIza" not in body
    assert "sk-proj-0" not in body


def test_logs_are_exported_durably(path):
    assert SqliteLogRecordExporter(path).export([]) is LogRecordExportResult.SUCCESS
    assert SqliteMetricExporter(path).export(MetricsData([])) is MetricExportResult.SUCCESS


def metrics(path, reader, **views):
    """Record with every instrument; gives the stored points."""
    provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False, **views)
    meter = provider.get_meter("lib")
    meter.create_counter("counter", "1", "counts").add(2, {"a": "b"})
    meter.create_up_down_counter("updown").add(-1.5)
    meter.create_gauge("gauge").set(0.25)
    histogram = meter.create_histogram("histogram", explicit_bucket_boundaries_advisory=[1, 10])
    histogram.record(5, {"a": ("x", "y")})
    histogram.record(50, {"a": ("x", "y")})
    provider.force_flush()
    provider.shutdown()
    columns = "name, type, temporality, monotonic, attributes, bounds, value, data"
    query = f"SELECT {columns} FROM points JOIN streams ON streams.id = stream"  # noqa: S608
    return {row[0]: row[1:] for row in select(path, query)}


@pytest.mark.parametrize("door", ["reader", "exporter"])
def test_points_come_back(door, path):
    if door == "reader":
        reader = StoreMetricReader(module.shared(path))
    else:
        reader = PeriodicExportingMetricReader(SqliteMetricExporter(path))
    found = metrics(path, reader)
    assert found["counter"] == ("sum", 1, 1, '{"a":"b"}', None, 2, None)
    assert found["updown"] == ("sum", 2, 0, "{}", None, -1.5, None)
    assert found["gauge"] == ("gauge", None, None, "{}", None, 0.25, None)
    *head, data = found["histogram"]
    assert head == ["histogram", 1, None, '{"a":["x","y"]}', "[1,10]", None]
    assert unpack(data) == {"count": 2, "sum": 55, "min": 5, "max": 50, "bucket_counts": (0, 1, 1)}


def test_an_exponential_histogram_comes_back(path):
    views = [View(instrument_name="histogram", aggregation=ExponentialBucketHistogramAggregation())]
    found = metrics(path, StoreMetricReader(module.shared(path)), views=views)
    assert found["histogram"][:2] == ("exponential_histogram", 1)
    data = unpack(found["histogram"][-1])
    assert (data["count"], data["sum"], data["zero_count"]) == (2, 55, 0)
    assert sum(data["positive"]["bucket_counts"]) == 2
    assert isinstance(data["scale"], int)


def test_exemplars_name_the_call(path, monkeypatch):
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_on")
    reader = StoreMetricReader(module.shared(path))
    provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)
    with TracerProvider(shutdown_on_exit=False).get_tracer("x").start_as_current_span("a") as span:
        provider.get_meter("x").create_counter("c").add(1)
    provider.shutdown()
    ((data,),) = select(path, "SELECT data FROM points")
    (exemplar,) = unpack(data)["exemplars"]
    assert exemplar["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert exemplar["value"] == 1


def test_deltas_add_up(path):
    reader = StoreMetricReader(module.shared(path))
    provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)
    counter = provider.get_meter("x").create_counter("c")
    for amount in (1, 2, 4):
        counter.add(amount)
        provider.force_flush()
    provider.shutdown()
    assert select(path, "SELECT value FROM points ORDER BY id") == [(1,), (2,), (4,)]


def test_the_reader_has_no_thread_and_collects_once_a_span_came(database, path, spans):
    before = set(threading.enumerate())
    provider = MeterProvider([StoreMetricReader(database, 0.05)], resource=RESOURCE, shutdown_on_exit=False)
    provider.get_meter("x").create_counter("c").add(1)
    assert set(threading.enumerate()) <= before
    assert not path.exists()
    database.submit_span(spans.call())
    wait_for(lambda: database.stats().stored == 2)
    assert select(path, "SELECT value FROM points") == [(1,)]
    provider.shutdown()


def test_the_sdk_s_way_of_shutting_down_a_metric_exporter_is_understood(path):
    SqliteMetricExporter(path).shutdown(timeout=5)
    assert not path.exists()


def test_shutting_one_exporter_down_leaves_the_others(path, spans):
    one, other = SqliteSpanExporter(path), SqliteSpanExporter(path)
    one.export([spans.call()])
    one.shutdown()
    assert other.export([spans.call()]) is SpanExportResult.SUCCESS


def test_a_disabled_sdk_opens_nothing(tmp_path):
    code = "import opentelemetry.trace as t; t.get_tracer('x').start_span('a').end()"
    environment = {
        "PATH": "/usr/bin:/bin",
        "OTEL_SDK_DISABLED": "true",
        "OTEL_TRACES_EXPORTER": "sqlite",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_LLM_STORE_PATH": str(tmp_path / "x" / "x.db"),
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=300)
    assert not (tmp_path / "x").exists()
