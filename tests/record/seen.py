"""What tests of the tap ask about the spans that it recorded."""

from otel_llm import semconv


def only(recorded):
    """The one span, and what it says."""
    (span,) = recorded.wait(1)
    assert span.end_time is not None
    return span, dict(span.attributes)


def ending(span):
    """How a call ended: outcome, status and error."""
    return (span.attributes[semconv.OUTCOME], span.status.status_code, span.attributes.get(semconv.ERROR_TYPE))
