"""Spans that begin by the short way are the SDK's own, whoever is asked about them."""

import json

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, NoOpTracer, SpanContext, SpanKind, TraceFlags

from otel_llm.record import spans
from otel_llm.record.spans import Spans

ATTRIBUTES = {"gen_ai.operation.name": "chat", "server.port": 443}
PARENT = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Seen(SpanProcessor):
    def __init__(self):
        self.started = []

    def on_start(self, span, parent_context=None):
        self.started.append((dict(span.attributes), span.start_time, parent_context))


def build(**settings):
    """A tracer and what its spans are exported to."""
    provider = TracerProvider(shutdown_on_exit=False, **settings)
    exporter, seen = InMemorySpanExporter(), Seen()
    provider.add_span_processor(seen)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test", "1"), exporter, seen


def both(tracer, context=None, attributes=None):
    """A span of each way."""
    context, attributes = context or Context(), attributes or ATTRIBUTES
    swift = Spans(tracer).begin("chat m", context, attributes, 5)
    return tracer.start_span("chat m", context, SpanKind.CLIENT, dict(attributes), start_time=5), swift


@pytest.fixture
def short_way(monkeypatch):
    """Each span that began by the short way, but for those of trials."""
    taken = []
    begin = spans._Pattern.begin
    monkeypatch.setattr(spans, "_agree", lambda *_: True)
    monkeypatch.setattr(spans._Pattern, "begin", lambda *given: (taken.append(given), begin(*given))[1])
    return taken


@pytest.mark.parametrize("parent", [None, PARENT])
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ParentBased(ALWAYS_OFF), ParentBased(ALWAYS_ON)])
def test_what_is_exported_is_what_the_public_door_gives(parent, sampler, short_way):
    tracer, exporter, seen = build(sampler=sampler)
    context = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
    for span in both(tracer, context):
        span.set_attribute("late", (1, 2))
        span.add_event("happened", {"a": 1}, timestamp=6)
        span.set_status(trace.StatusCode.ERROR, "why")
        span.end(9)
    told = [json.loads(one.to_json()) for one in exporter.get_finished_spans()]
    dropped = parent is None and "root:AlwaysOff" in sampler.get_description()
    assert len(told) == 2 * (not dropped)
    if told:
        slow, swift = ({name: value for name, value in one.items() if name != "context"} for one in told)
        assert slow == swift
        assert seen.started[0] == seen.started[1] == (ATTRIBUTES, 5, context)
    assert len(short_way) == 1


def test_the_tracer_of_the_sdk_is_trusted():
    assert Spans(build()[0])._pattern is not None


def test_each_span_has_ids_of_its_own():
    tracer = build()[0]
    begun = Spans(tracer)
    contexts = [begun.begin("a", Context(), ATTRIBUTES, 1).get_span_context() for _ in range(5)]
    assert len({one.span_id for one in contexts}) == len({one.trace_id for one in contexts}) == 5
    assert all(one.is_valid and one.trace_flags.sampled for one in contexts)


def test_what_a_sampler_says_of_attributes_is_said_and_cleaned_and_touches_no_other_span():
    class Adds(Sampler):
        def should_sample(self, _context, _id, _name, _kind=None, attributes=None, *_more):
            attributes["rate"] = [0.5]
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

        def get_description(self):
            return "adds"

    tracer = build(sampler=Adds())[0]
    slow, swift = both(tracer)
    assert dict(swift.attributes) == dict(slow.attributes) == {**ATTRIBUTES, "rate": (0.5,)}
    assert "rate" not in ATTRIBUTES


@pytest.mark.parametrize(
    "limits",
    [SpanLimits(max_span_attributes=1), SpanLimits(max_span_attribute_length=2), SpanLimits(max_span_attributes=0)],
)
def test_limits_that_cut_are_the_public_doors_to_keep(limits, short_way):
    slow, swift = both(build(span_limits=limits)[0])
    assert dict(swift.attributes) == dict(slow.attributes)
    assert swift.dropped_attributes == slow.dropped_attributes
    assert short_way == []


def test_a_tracer_that_is_switched_off_later_begins_no_span(short_way):
    tracer = build()[0]
    begun = Spans(tracer)
    tracer._tracer_config.is_enabled = False
    assert not begun.begin("a", Context(), ATTRIBUTES, 1).is_recording()
    assert short_way == []


def test_where_somebody_replaces_the_sdks_function_it_is_called(monkeypatch, short_way):
    tracer = build()[0]
    begun, called = Spans(tracer), []
    inner = Tracer.start_span

    def start_span(self, *args, **more):
        called.append(args)
        return inner(self, *args, **more)

    monkeypatch.setattr(Tracer, "start_span", start_span)
    begun.begin("a", Context(), ATTRIBUTES, 1)
    assert (len(called), short_way) == (1, [])


def test_where_the_sdk_counts_its_spans_they_begin_by_the_public_door(monkeypatch, short_way):
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    tracer = build(meter_provider=MeterProvider(shutdown_on_exit=False))[0]
    Spans(tracer).begin("a", Context(), ATTRIBUTES, 1)
    assert short_way == []


def test_a_way_that_makes_something_else_is_not_taken(monkeypatch):
    monkeypatch.setattr(spans, "_filled", _odd)
    assert Spans(build()[0])._pattern is None


def _odd(kind, fields):
    made = object.__new__(kind)
    made.__dict__ = {**fields, "odd": 1}
    return made


def test_a_tracer_of_no_sdk_begins_its_spans_itself():
    tracer = NoOpTracer()
    begun = Spans(tracer)
    assert begun._pattern is None
    assert not begun.begin("a", Context(), ATTRIBUTES, 1).is_recording()
