"""A store replayed into the real Collector, by HTTP and by gRPC: all of it, as it was, also when killed midway."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from otel_llm.calls import Call
from otel_llm.store.exporters import SqliteSpanExporter
from otel_llm.store.query import Filter, Reader
from otel_llm.store.replay import BATCH

pytestmark = pytest.mark.slow

SPANS = 5000
PROTOCOLS = ["http/protobuf", "grpc"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "otel-llm.db"
    exporter = SqliteSpanExporter(path)
    provider = TracerProvider(resource=Resource({"service.name": "replayed"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=SPANS, max_export_batch_size=512))
    tracer = provider.get_tracer("app", "1.2")
    for number in range(SPANS):
        call = Call(operation="chat", provider="openai", request_model="m", input_tokens=number, outcome="completed")
        tracer.start_span("chat m", kind=SpanKind.CLIENT, attributes=call.attributes()).end()
    provider.shutdown()
    return path


@pytest.fixture
def store(recorded, tmp_path) -> Path:
    """A copy that no backend was sent anything of."""
    path = tmp_path / "otel-llm.db"
    subprocess.run([sys.executable, "-c", _COPY, recorded, path], check=True)
    return path


_COPY = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', sys.argv[2:])"


def command(store, collector, protocol, *more):
    url = collector.grpc if protocol == "grpc" else collector.http
    run = [sys.executable, "-c", "from otel_llm.cli import main; main()", "replay", "--db", store, "--to", url]
    return [*run, "--protocol", protocol, *more]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_collector_is_sent_every_span_as_it_was(collecting, store, protocol):
    with collecting() as collector:
        more = ("--compression", "gzip") if protocol == "grpc" else ()
        done = subprocess.run(command(store, collector, protocol, *more), capture_output=True, text=True, check=False)
        collector.stop()
        spans = collector.spans()
        written = collector.folder / "traces.jsonl"
    assert (done.returncode, done.stderr) == (0, "Sent 5,000 spans.\n")
    back = [sys.executable, "-c", "from otel_llm.cli import main; main()", "import", written, "--db", store]
    imported = subprocess.run(back, capture_output=True, text=True, check=False)
    assert "0 new, 5,000 there already, 0 faulty" in imported.stderr
    with Reader(store) as reader:
        kept = {call.span_id: call for call in reader.calls(Filter())}
    assert len(spans) == len(kept) == SPANS
    for span in spans:
        call = kept[span["spanId"]]
        assert span["traceId"] == call.trace_id
        assert span["attributes"] == call.attributes
        assert span["resource"] == call.resource
        assert int(span["startTimeUnixNano"]) == call.start_time_unix_nano
        assert int(span["endTimeUnixNano"]) == call.end_time_unix_nano


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_replay_that_is_killed_goes_on_where_it_was(collecting, store, protocol):
    kills = 0
    with collecting() as collector:
        for _ in range(3):
            process = subprocess.Popen(command(store, collector, protocol, "--rate", "2000"), stderr=subprocess.DEVNULL)
            time.sleep(1.2)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        done = subprocess.run(command(store, collector, protocol), capture_output=True, text=True, check=False)
        collector.stop()
        received = Counter(span["spanId"] for span in collector.spans())
    assert done.returncode == 0, done.stderr
    assert kills
    assert len(received) == SPANS
    assert received.total() - SPANS <= BATCH * kills


def test_what_is_recorded_meanwhile_is_sent_on(collecting, store):
    with collecting() as collector:
        process = subprocess.Popen(command(store, collector, "http/protobuf", "--follow"), stderr=subprocess.DEVNULL)
        exporter = SqliteSpanExporter(store)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        deadline = time.monotonic() + 120
        traces = collector.folder / "traces.jsonl"
        while not traces.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        span = provider.get_tracer("late").start_span("late")
        span.end()
        provider.shutdown()
        wanted = f"{span.get_span_context().span_id:016x}"
        while wanted not in traces.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        collector.stop()
        assert wanted in {span["spanId"] for span in collector.spans()}
