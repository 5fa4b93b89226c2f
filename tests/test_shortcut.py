"""Round the SDK's slow doors the same comes out, and where they are built otherwise the doors are used."""

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import INVALID_SPAN

from otel_llm import shortcut

NEWS = {"text": "a" * 30, "number": 7, "share": 0.5, "flag": True, "texts": ("a", "b")}


@pytest.fixture(autouse=True)
def _tried_anew(monkeypatch):
    monkeypatch.setattr(shortcut, "_trusted", {})


def spans(limits=None):
    """Two that are alike."""
    tracer = TracerProvider(span_limits=limits).get_tracer("test")
    return [tracer.start_span("call", attributes={"first": "one", "number": 1}) for _ in range(2)]


def test_what_is_added_reads_as_if_it_had_been_set():
    swift, plain = spans()
    shortcut.add(swift, NEWS)
    shortcut.add(swift, {"number": 8})
    plain.set_attributes({**NEWS, "number": 8})
    assert dict(swift.attributes) == dict(plain.attributes) == dict(shortcut.attributes(swift))
    assert all(shortcut._trusted.values())


@pytest.mark.parametrize("limits", [SpanLimits(max_span_attribute_length=5), SpanLimits(max_span_attributes=3)])
def test_limits_hold(limits):
    swift, plain = spans(limits)
    shortcut.add(swift, NEWS)
    plain.set_attributes(NEWS)
    assert dict(swift.attributes) == dict(plain.attributes)
    assert swift.dropped_attributes == plain.dropped_attributes


def test_nothing_is_added_to_a_span_that_has_ended():
    span, _ = spans()
    span.end()
    shortcut.add(span, NEWS)
    assert dict(span.attributes) == {"first": "one", "number": 1}


def test_a_class_that_keeps_its_attributes_elsewhere_is_left_its_own_door():
    class Elsewhere(dict):
        def __init__(self, maxlen=None, attributes=None, immutable=False, max_value_len=None):  # noqa: ARG002, FBT002 - as the SDK has it
            super().__init__(attributes or {})
            self.maxlen, self.max_value_len, self.dropped = maxlen, max_value_len, 0
            self._dict = {}

    class Other:
        def __init__(self):
            self._attributes = Elsewhere()
            self.told = {}

        def set_attributes(self, attributes):
            self.told.update(attributes)

    span = Other()
    shortcut.add(span, NEWS)
    shortcut.add(span, {"number": 8})
    assert span.told == {**NEWS, "number": 8}


def test_what_is_no_span_of_the_sdks_is_read_and_written_by_its_doors():
    shortcut.add(INVALID_SPAN, NEWS)
    assert shortcut.attributes(INVALID_SPAN) == {}
