"""Trace and span ids from the operating system's entropy.

The SDK's generator uses the global `random`: a program that calls ``random.seed(0)`` repeats its trace ids, and two
runs of it melt into one trace (opentelemetry-python issue 4376).
"""

import os

from opentelemetry.sdk.trace import id_generator


class IdGenerator(id_generator.IdGenerator):
    """Ids that ``random.seed()`` cannot repeat, safe after fork."""

    def generate_span_id(self) -> int:
        """64 random bits, never zero."""
        return int.from_bytes(os.urandom(8)) or self.generate_span_id()

    def generate_trace_id(self) -> int:
        """128 random bits, never zero."""
        return int.from_bytes(os.urandom(16)) or self.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Whether every bit is random (W3C trace context, level 2): yes."""
        return True
