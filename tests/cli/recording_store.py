"""A store filled through the real exporter, and a command on a real terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context

from otel_llm.calls import Call
from otel_llm.store.exporters import SqliteSpanExporter

SECOND = 1_000_000_000


class Recorded:
    """A store and what was put into it."""

    def __init__(self, path):
        self.path = path
        # On a whole five seconds: what is drawn over time is then the same at any time of day.
        self.began = (time.time_ns() // SECOND // 5 * 5 - 60) * SECOND
        self.exporter = SqliteSpanExporter(path)
        self.providers = {}

    def _tracer(self, service):
        if service not in self.providers:
            provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(self.exporter))
            self.providers[service] = provider
        return self.providers[service].get_tracer("otel_llm")

    def add(self, *, at=0.0, took=1.0, service="app", error="", before=None, **facts):
        """Record a call that began ``at`` [s] after the first moment and ``took`` so long [s]; gives its span.

        ``before`` is the attempt that it resends, ``inside`` its parent, ``event`` the name of one, ``also`` more
        attributes, the rest `Call`'s.
        """
        inside, event, also = facts.pop("inside", None), facts.pop("event", None), facts.pop("also", {})
        call = Call(**{"operation": "chat", "outcome": "error" if error else "completed", **facts})
        start = self.began + round(at * SECOND)
        span = self._tracer(service).start_span(
            call.span_name,
            context=None if inside is None else set_span_in_context(inside),
            kind=SpanKind.CLIENT,
            attributes=call.attributes() | also,
            links=() if before is None else (Link(before.get_span_context()),),
            start_time=start,
        )
        if event:
            span.add_event(event, {"size": 3}, timestamp=start + SECOND // 100)
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(start + round(took * SECOND))
        return span

    def open_parent(self, service="app"):
        """A span of the application that calls can be inside of."""
        return self._tracer(service).start_span("handle", start_time=self.began)

    def written(self):
        """Wait until all of it is on disk."""
        assert self.exporter.force_flush(60_000)


def hexed(span):
    return f"{span.get_span_context().span_id:016x}"


def traced(span):
    return f"{span.get_span_context().trace_id:032x}"


def show(*arguments, columns, **environment):
    """What ``otel-llm`` prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", "from otel_llm.cli import main; main()", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env={**kept, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    assert process.wait(60) == 0, b"".join(chunks)
    return b"".join(chunks).decode().replace("\r\n", "\n").splitlines()
