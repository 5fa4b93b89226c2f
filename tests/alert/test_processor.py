"""What the host's threads put down: inference spans of any instrumentation, and nothing that could hurt."""

import gc
import os
import weakref
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, Status

from otel_llm import boundary, semconv
from otel_llm.alert.processor import OPEN, AlertProcessor

CHAT = {semconv.OPERATION_NAME: "chat"}


@pytest.fixture
def started():
    return []


@pytest.fixture
def processor(started):
    return AlertProcessor(lambda: started.append(1))


def span(number=1, **attributes):
    context = SpanContext(1, number, is_remote=False)
    return ReadableSpan("x", context, resource=Resource.get_empty(), attributes={**CHAT, **attributes})


def foreign(**more):
    """A span of another SDK: the public doors, and none of the fields."""
    known = {"attributes": CHAT, "start_time": 1, "end_time": 2, "status": Status()}
    return SimpleNamespace(**known, get_span_context=lambda: INVALID_SPAN_CONTEXT, **more)


def test_a_call_is_in_flight_from_its_start_to_its_end(processor):
    processor.on_start(span())
    assert processor.intake.oldest(1e12) is not None
    processor.on_end(span())
    assert processor.intake.oldest(1e12) is None
    ((*_, begun, ended),) = processor.intake.take()
    assert begun <= ended


@pytest.mark.parametrize("operation", ["execute_tool", "invoke_agent", None, 3])
def test_what_is_no_inference_is_left_alone(processor, started, operation):
    said = span(**{semconv.OPERATION_NAME: operation})
    processor.on_start(said)
    processor.on_end(said)
    assert (processor.intake.seen, processor.intake.open, started) == (0, {}, [])


def test_a_span_without_the_sdk_s_fields_is_read_by_its_doors(processor):
    processor.on_start(foreign())
    assert processor.intake.open == {0: pytest.approx(processor.intake.open[0])}
    processor.on_end(foreign())
    assert processor.intake.seen == 1


def test_a_span_without_attributes_is_no_call(processor):
    processor.on_start(SimpleNamespace(attributes=None))
    processor.on_end(SimpleNamespace(attributes=None))
    assert processor.intake.seen == 0


def test_a_span_that_cannot_be_read_is_counted_and_raises_nothing(processor):
    before = dict(boundary.errors())
    for end in (processor.on_start, processor.on_end):
        end(SimpleNamespace())
    after = boundary.errors()
    for place in ("alert.on_start", "alert.on_end"):
        assert after[place] == before.get(place, 0) + 1


def test_calls_in_flight_are_bounded(processor):
    for number in range(OPEN + 9):
        processor.on_start(span(number + 1))
    assert len(processor.intake.open) == OPEN


def test_an_engine_is_called_for_until_one_serves(processor, started):
    processor.on_start(span())
    processor.on_end(span())
    assert len(started) == 2
    processor.intake.served = True
    processor.on_end(span())
    assert len(started) == 2


def test_readings_are_kept_with_the_host_s_name(processor, started):
    processor.take([("hw.temperature", 50.0, {"hw.id": "x"})])
    ((name, value, attributes, _),) = processor.intake.readings
    assert (name, value, attributes["hw.id"]) == ("hw.temperature", 50.0, "x")
    assert attributes["host.name"]
    assert started == [1]


def test_a_forked_child_begins_with_nothing(processor):
    processor.on_start(span())
    processor.on_end(span(2))
    if (pid := os.fork()) == 0:
        intake = processor.intake
        os._exit(0 if (intake.seen, intake.open, intake.pid) == (0, {}, os.getpid()) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert processor.intake.seen == 1


def test_a_processor_that_is_gone_is_not_held():
    held = weakref.ref(AlertProcessor(lambda: None))
    gc.collect()
    assert held() is None


def test_a_flush_and_a_shutdown_wait_for_nobody(processor):
    assert processor.force_flush()
    processor.shutdown()
