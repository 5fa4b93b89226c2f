"""Real parts that any test may ask for by name; a missing one fails and says how to get it."""

import hypothesis
import pytest
from opentelemetry import context
from opentelemetry.context import Context

# An example that waits for a processor is not slow; tests that bound a time say so themselves.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

pytest_plugins = [
    "parts.ports",
    "parts.model",
    "parts.collector",
    "parts.application",
    "parts.nvml",
    "parts.receivers",
    "parts.prometheus",
    "parts.redis",
]


@pytest.fixture(autouse=True)
def _no_span_around():
    """A test that makes a detach fail leaves its span current; the next begins without."""
    context.attach(Context())
