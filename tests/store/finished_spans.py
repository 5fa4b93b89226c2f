"""Finished spans as the SDK hands them to a processor."""

import random
import time

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_llm.calls import Call

SECOND = 1_000_000_000
SCOPE = InstrumentationScope("otel_llm", "0.1.0")
RESOURCE = Resource({"service.name": "app"})


class Spans:
    """Makes spans; each has an id of its own and starts a second after the one before."""

    def __init__(self):
        self.random = random.SystemRandom()
        self.start = time.time_ns() - 3600 * SECOND

    def call(self, *, took=1.0, service="app", at=None, error=None, trace_id=None, **facts):
        """An inference span with these facts of `Call`."""
        said = {"operation": "chat", "provider": "openai", "request_model": "gpt-x", "outcome": "completed", **facts}
        if error:
            said |= {"outcome": "error", "error_type": error}
        return self.span(
            Call(**said).attributes(),
            took=took,
            at=at,
            trace_id=trace_id,
            resource=Resource({"service.name": service}),
            status=Status(StatusCode.ERROR) if error else Status(),
        )

    def span(self, attributes=None, *, took=1.0, at=None, trace_id=None, span_id=None, **parts):
        """Any span; ``at`` [s] after the first, ``took`` so long [s]."""
        if at is None:
            self.start += SECOND
        start = self.start if at is None else self.start + int(at * SECOND)
        context = SpanContext(
            trace_id or self.random.getrandbits(128) | 1,
            span_id or self.random.getrandbits(64) | 1,
            is_remote=False,
            trace_flags=TraceFlags(1),
        )
        return ReadableSpan(
            **{
                "name": "chat gpt-x",
                "context": context,
                "resource": RESOURCE,
                "attributes": attributes,
                "kind": SpanKind.CLIENT,
                "instrumentation_scope": SCOPE,
                "start_time": start,
                "end_time": start + int(took * SECOND),
                **parts,
            }
        )


def cleaned(attributes):
    """``attributes`` as the SDK holds them."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_span("x", attributes=attributes)
    return span.attributes
