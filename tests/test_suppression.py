"""The mark by which instrumentations are kept out: OpenTelemetry's own."""

from opentelemetry.instrumentation import utils

from otel_llm import suppression


def test_what_opentelemetry_suppresses_is_suppressed():
    assert suppression.is_instrumentation_enabled()
    with utils.suppress_instrumentation():
        assert not suppression.is_instrumentation_enabled()
    assert suppression.is_instrumentation_enabled()


def test_what_is_suppressed_here_is_suppressed_for_other_instrumentations():
    with suppression.suppress_instrumentation(), suppression.suppress_instrumentation():
        assert not utils.is_instrumentation_enabled()
        assert not suppression.is_instrumentation_enabled()
    assert utils.is_instrumentation_enabled()


def test_the_mark_of_older_instrumentations_counts():
    with utils._suppress_instrumentation("suppress_instrumentation"):
        assert not suppression.is_instrumentation_enabled()
