"""Real parts that any test may ask for by name; a missing one fails and says how to get it."""

import signal

import hypothesis
import pytest
from opentelemetry import context
from opentelemetry.context import Context

# An example that waits for a processor is not slow; tests that bound a time say so themselves.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# What a shell starts in the background ignores interrupts, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
