"""Whatever of ours fails, the application sees nothing of it, the span ends once and the fault is counted."""

import asyncio
from itertools import count

import httpx2
import pytest
from opentelemetry.sdk.trace import Span

from otel_llm import boundary, semconv
from otel_llm.calls import Call
from otel_llm.record import framing, recording, transport
from otel_llm.record.metrics import ClientMetrics
from otel_llm.record.providers import openai
from otel_llm.record.reading import Reading
from otel_llm.record.recording import Recorder, Recording

BODY = {"model": "m", "stream": True, "messages": []}
fresh = count()

PLACES = [
    (Recorder, "begin"),
    (recording, "_previous"),
    (recording, "outer_span"),
    (recording, "read_head"),
    (recording, "draw_up"),
    (recording, "scrub"),
    (recording, "_redirect"),
    (recording, "qualified_name"),
    (recording, "Reading"),
    (framing, "inflater"),
    (framing, "choose"),
    (framing, "split"),
    (framing, "count"),
    (framing, "decode"),
    (Recording, "_start_span"),
    (Recording, "_conclude"),
    (Recording, "_describe"),
    (Recording, "_remember"),
    (Recording, "respond"),
    (Reading, "feed"),
    (Reading, "finish"),
    (Reading, "_look"),
    (openai, "open"),
    (openai, "read"),
    (ClientMetrics, "begin"),
    (ClientMetrics, "record"),
    (ClientMetrics, "end"),
    (Call, "attributes"),
    (Span, "set_attributes"),
    (Span, "set_status"),
    (transport.reaper, "attend"),
]

WITHOUT_A_SPAN = {
    (Recorder, "begin"),
    (recording, "_previous"),
    (recording, "outer_span"),
    (Recording, "_start_span"),
    (openai, "open"),
    (Call, "attributes"),
}
"""A fault before there is a span to end."""


class Injected(Exception):  # noqa: N818 - a name that no other exception has
    """Ours, and nobody else's."""


def visit(server, case, mode):
    """What a user sees of one call."""
    target = f"http://127.0.0.1:{server.port}/{case}/{next(fresh)}/v1/chat/completions"

    async def visit_async():
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            response = await client.post(target, json=BODY)
            return response.status_code, response.content

    try:
        if mode == "async":
            return asyncio.run(visit_async())
        with httpx2.Client(trust_env=False, verify=False) as client:
            response = client.post(target, json=BODY)
            return response.status_code, response.content
    except httpx2.HTTPError as error:
        return type(error), str(error)


@pytest.fixture
def faulty(monkeypatch):
    """Makes one of our functions fail; tells how often it did."""
    failed = []

    def break_(holder, name):
        def fail(*_args, **_more):
            failed.append(name)
            raise Injected

        monkeypatch.setattr(holder, name, fail)
        return failed

    return break_


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("case", ["stream", "inband", "cut"])
@pytest.mark.parametrize("place", PLACES, ids=[name for _, name in PLACES])
def test_a_fault_of_ours_is_unseen_and_the_span_ends_once(recorded, server, faulty, place, case, mode):
    holder, name = place
    expected = visit(server, case, mode)
    transport._patched["tap"].recorder = None
    recorded.take()
    recorded.started.clear()
    failed = faulty(holder, name)
    assert visit(server, case, mode) == expected
    ended, started = len(recorded.spans), len(recorded.started)
    counted = boundary.errors()
    boundary.reset()
    assert ended == started
    assert bool(counted) == bool(failed)
    if place not in WITHOUT_A_SPAN:
        assert ended == 1


def test_a_fault_is_a_metric(recorded, server, faulty):
    faulty(Reading, "finish")
    visit(server, "stream", "sync")
    (point,) = recorded.points()[semconv.METRIC_SELF_ERRORS]
    boundary.reset()
    assert (point.value, dict(point.attributes)) == (1, {semconv.SELF_WHERE: "record.read"})


def test_facts_that_were_gathered_before_a_fault_are_kept(recorded, server, faulty):
    faulty(Reading, "finish")
    visit(server, "stream", "sync")
    boundary.reset()
    (span,) = recorded.spans
    assert span.attributes[semconv.OUTCOME] == "completed"
    assert span.attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
    assert span.attributes[semconv.TIME_TO_FIRST_TOKEN] > 0
