"""What the store encodes, decoded by OpenTelemetry's own messages, against what the SDK's encoder makes of the same."""

import sqlite3
import time
from contextlib import closing

import pytest
from finished_spans import RESOURCE, SCOPE
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._internal import _encode_value
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, SpanLimits, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_llm.store.otlp import COLUMNS, SpanEncoder
from otel_llm.store.otlp_signals import LOGS, POINTS, logs_request, metrics_request
from otel_llm.store.protobuf import any_value, varint
from parts.waiting import WITHIN

NOW = time.time_ns()  # what is older than the store keeps is deleted at once


def encoded(path):
    with closing(sqlite3.connect(path)) as sqlite:
        rows = sqlite.execute(f"SELECT {COLUMNS} FROM spans ORDER BY id")  # noqa: S608
        return ordered(ExportTraceServiceRequest.FromString(SpanEncoder(sqlite).request(rows)))


def ordered(request):
    """Attributes are a map, and resources and scopes come in no order: both sides in the same."""
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                by_key(span.attributes)
            of_scope.spans.sort(key=lambda span: span.span_id)
        of_resource.scope_spans.sort(key=lambda group: group.scope.name)
        by_key(of_resource.resource.attributes)
    request.resource_spans.sort(key=lambda group: group.resource.SerializeToString(deterministic=True))
    return request


def by_key(attributes):
    attributes.sort(key=lambda pair: pair.key)


def theirs(*spans):
    return ordered(encode_spans(spans))


def test_a_call_is_what_the_sdk_would_have_sent(kept, spans, path):
    span = spans.call(
        response_model="gpt-x-1",
        response_id="r1",
        input_tokens=300,
        output_tokens=2**40,
        temperature=0.5,
        finish_reasons=("stop", "length"),
        stream=True,
        time_to_first_token=0.25,
        server_port=443,
        metadata={"tenant": "a", "shard": 7},
    )
    kept(span)
    assert encoded(path) == theirs(span)


def test_events_links_status_state_and_parent_are_what_the_sdk_would_have_sent(kept, spans, path):
    parent = SpanContext(7 << 100, 9, is_remote=True, trace_flags=TraceFlags(1))
    state = TraceState([("vendor", "x"), ("other", "y")])
    context = SpanContext(7 << 100, 11, is_remote=False, trace_flags=TraceFlags(1), trace_state=state)
    span = spans.span(
        {"a": 1},
        context=context,
        parent=parent,
        events=(Event("first", {"b": (1, 2), "c": "d"}, timestamp=spans.start), Event("bare", timestamp=spans.start)),
        links=(Link(parent, {"e": True}), Link(SpanContext(5, 6, is_remote=False))),
        status=Status(StatusCode.ERROR, "it broke"),
        kind=SpanKind.SERVER,
    )
    kept(span)
    assert encoded(path) == theirs(span)


def test_counts_of_what_was_dropped_are_what_the_sdk_would_have_sent(kept, path):
    provider = TracerProvider(span_limits=SpanLimits(max_attributes=2, max_events=1, max_links=1))
    some = SpanContext(5, 6, is_remote=False)
    span = provider.get_tracer("limited").start_span(
        "x", attributes={"a": 1, "b": 2, "c": 3}, links=[Link(some), Link(some)]
    )
    span.add_event("one")
    span.add_event("two")
    span.end()
    kept(span)
    request = encoded(path)
    (sent,) = request.resource_spans[0].scope_spans[0].spans
    assert (sent.dropped_attributes_count, sent.dropped_events_count, sent.dropped_links_count) == (1, 1, 1)
    assert request == theirs(span)


def test_spans_stand_below_their_resource_and_scope(kept, spans, path):
    other = Resource({"service.name": "other", "host.cpus": 4}, schema_url="https://example.org/1")
    scope = InstrumentationScope("lib", "2", "https://example.org/2", {"k": "v"})
    made = [
        spans.span({"n": 1}),
        spans.span({"n": 2}, resource=other),
        spans.span({"n": 3}, instrumentation_scope=scope),
        spans.span({"n": 4}, instrumentation_scope=None),
    ]
    kept(*made)
    assert encoded(path) == theirs(*made)


def test_more_names_than_a_series_holds_are_kept(kept, spans, path):
    made = [spans.span({"n": number}, name="x" * 2000 + str(number)) for number in range(3)]
    kept(*made)
    assert encoded(path) == theirs(*made)


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=4).map(tuple),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple),
)
KEYS = st.one_of(
    st.sampled_from(["gen_ai.usage.input_tokens", "gen_ai.request.temperature", "a"]), st.text("abc$", min_size=1)
)


@settings(deadline=None, max_examples=150)
@given(value=VALUES)
def test_a_value_is_what_the_sdk_makes_of_it(value):
    assert AnyValue.FromString(any_value(value)) == _encode_value(value)


@pytest.mark.parametrize("number", [0, 127, 128, 16383, 16384, 2**63, 2**64 - 1])
def test_a_varint_reads_back(number):
    read = AnyValue.FromString(b"\x18" + varint(number)).int_value
    assert read % 2**64 == number


def test_attributes_of_every_kind_are_what_the_sdk_would_have_sent(database, spans, path):
    made = []

    @settings(deadline=None, max_examples=60)
    @given(attributes=st.dictionaries(KEYS, VALUES, max_size=6))
    def write(attributes):
        span = spans.span(attributes)
        made.append(span)
        assert database.submit_span(span)

    write()
    assert database.flush(WITHIN)
    assert encoded(path) == theirs(*made)


def test_an_integer_beyond_64_bits_is_told_as_text():
    assert AnyValue.FromString(any_value(2**80)).string_value == str(2**80)


def test_nothing_said_is_an_empty_value():
    assert AnyValue.FromString(any_value(None)) == AnyValue()


def test_bytes_and_maps_are_values_too():
    read = AnyValue.FromString(any_value({"a": b"\x00\xff"}))
    assert read.kvlist_value.values[0].value.bytes_value == b"\x00\xff"


def test_a_lone_surrogate_does_not_make_a_request_that_nobody_can_read(kept, spans, path):
    kept(spans.span({"a": "\ud800"}))
    (pair,) = encoded(path).resource_spans[0].scope_spans[0].spans[0].attributes
    assert pair.value.string_value == "?"


def test_logs_are_what_the_sdk_would_have_sent(database, path):
    full = LogRecord(
        timestamp=NOW,
        observed_timestamp=NOW + 2,
        trace_id=5,
        span_id=6,
        trace_flags=TraceFlags(1),
        severity_text="WARN",
        severity_number=SeverityNumber.WARN,
        body={"text": "x", "parts": [1, 2.5]},
        attributes={"a": "b"},
        event_name="thing",
    )
    bare = LogRecord(observed_timestamp=NOW + 3, body="only", attributes={})
    records = [ReadableLogRecord(record, RESOURCE, SCOPE) for record in (full, bare)]
    database.submit_logs(records)
    assert database.flush(WITHIN)
    with closing(sqlite3.connect(path)) as sqlite:
        request = logs_request(sqlite, sqlite.execute(f"SELECT {LOGS} FROM logs ORDER BY id"))  # noqa: S608
    assert ExportLogsServiceRequest.FromString(request) == encode_logs(records)


def test_metrics_are_what_the_sdk_would_have_sent(database, path):
    reader = InMemoryMetricReader()
    view = View(instrument_name="wide", aggregation=ExponentialBucketHistogramAggregation())
    meter = MeterProvider([reader], RESOURCE, views=[view]).get_meter("m", "1")
    span = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_as_current_span("x")
    with span:
        meter.create_counter("count", "1", "how many").add(3, {"a": "b"})
        meter.create_counter("sum").add(2.5)
        meter.create_gauge("level").set(7, {"c": 1})
        narrow, wide = meter.create_histogram("narrow", "s"), meter.create_histogram("wide", "s")
        for value in (0.1, 3, 5000.0):
            narrow.record(value, {"a": "b"})
            wide.record(value)
    data = reader.get_metrics_data()
    assert database.submit_metrics(data)
    assert database.flush(WITHIN)
    query = f"SELECT {POINTS} FROM points JOIN streams ON streams.id = points.stream ORDER BY points.id"  # noqa: S608
    with closing(sqlite3.connect(path)) as sqlite:
        request = metrics_request(sqlite, sqlite.execute(query))
    read, expected = ExportMetricsServiceRequest.FromString(request), encode_metrics(data)
    for both in (read, expected):
        for metric in both.resource_metrics[0].scope_metrics[0].metrics:
            if metric.HasField("gauge"):
                for point in metric.gauge.data_points:
                    point.start_time_unix_nano = 0  # the SDK's encoder leaves it out
    assert read == expected
