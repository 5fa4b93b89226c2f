"""What tests of the tap ask about the spans that it recorded."""

import asyncio
import time
from urllib.parse import urlsplit

from otel_llm import semconv
from parts.waiting import wait_for

LATE = 60.0
"""A time-out that nobody is to run into [s]."""

ENDLESS = {"hang", "silent"}
"""What a `server.Server` does that only its client ends."""


def only(recorded):
    """The one span, and what it says."""
    (span,) = recorded.wait(1)
    assert span.end_time is not None
    return span, dict(span.attributes)


def ending(span):
    """How a call ended: outcome, status and error."""
    return (span.attributes[semconv.OUTCOME], span.status.status_code, span.attributes.get(semconv.ERROR_TYPE))


def patiently(recorded, case, look):
    """``look`` with a time-out [s]: a short one where only that ends the ``case``, longer ones where it fails.

    A client that waits 0.15 s sees less of a server that had no processor for as long.
    """
    for soon in (0.15, 1.5) if case in ENDLESS else ():
        try:
            return look(soon)
        except AssertionError:
            wait_for(lambda: len(recorded.spans) == len(recorded.started), LATE)
            recorded.take()
            recorded.started.clear()
    return look(8.0 if case in ENDLESS else LATE)


async def arrival(server, target):
    """Wait until ``server`` has read the request for ``target``."""
    path = urlsplit(target).path
    await becomes(lambda: any(received == path for received, _, _ in server.received.copy()))


async def becomes(condition):
    """Wait until ``condition`` holds; others go on meanwhile."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < LATE
        await asyncio.sleep(0.005)
