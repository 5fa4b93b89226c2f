"""Sampling hides no call from processors, and exports none that it dropped."""

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, TraceIdRatioBased

from otel_llm import semconv
from otel_llm.record.sampling import RecordInferences
from otel_llm.record.transport import WireInstrumentor

CHAT = {semconv.OPERATION_NAME: "chat"}


def decide(inner, attributes):
    return RecordInferences(inner).should_sample(None, 1, "name", attributes=attributes)


def test_an_inference_that_is_dropped_is_still_recorded():
    result = decide(ALWAYS_OFF, CHAT)
    assert (result.decision, dict(result.attributes)) == (Decision.RECORD_ONLY, CHAT)


@pytest.mark.parametrize("attributes", [None, {}, {"a": 1}, {semconv.OPERATION_NAME: "execute_tool"}])
def test_what_is_no_inference_is_dropped_as_before(attributes):
    assert decide(ALWAYS_OFF, attributes).decision is Decision.DROP


@pytest.mark.parametrize("strange", [["chat"], {"a": 1}, 3, None])
def test_an_operation_of_a_strange_type_breaks_no_start_of_a_span(strange):
    assert decide(ALWAYS_OFF, {semconv.OPERATION_NAME: strange}).decision is Decision.DROP


def test_what_is_sampled_stays_sampled():
    assert decide(ALWAYS_ON, CHAT).decision is Decision.RECORD_AND_SAMPLE


def test_the_description_holds_the_inner_one():
    inner = TraceIdRatioBased(0.5)
    assert inner.get_description() in RecordInferences(inner).get_description()


@pytest.mark.parametrize("inner", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0)])
def test_a_call_that_is_not_sampled_reaches_processors_and_no_exporter(recorded, server, inner):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=RecordInferences(inner))
    provider.add_span_processor(recorded)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tap = WireInstrumentor()
    tap.uninstrument()
    tap.instrument(tracer_provider=provider, meter_provider=recorded.meters, skip_dep_check=True)
    httpx.post(
        f"http://127.0.0.1:{server.port}/whole/sampling/v1/chat/completions", json={"model": "m"}, trust_env=False
    )
    (span,) = recorded.spans
    assert span.attributes[semconv.USAGE_INPUT_TOKENS] == 7
    assert not span.context.trace_flags.sampled
    assert exporter.get_finished_spans() == ()
