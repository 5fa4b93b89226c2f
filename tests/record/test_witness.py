"""What another room saw of a call stands on its span; what goes wrong there stays there."""

from itertools import count

import httpx
import pytest

from otel_llm import boundary
from otel_llm.record import transport
from otel_llm.record.settings import Config


def url(server, host="127.0.0.1"):
    return f"http://{host}:{server.port}/whole/{next(fresh)}/v1/chat/completions"


fresh = count()
BODY = {"model": "m", "messages": []}


@pytest.fixture
def seen():
    return []


@pytest.fixture
def config(seen):
    def witness(address, port):
        if address == "localhost":
            return None
        seen.append((address, port))

        def state(tokens):
            seen.append(tokens)
            return {"otel_llm.energy": 12.5}

        return state

    transport.configure(Config(), witness)
    yield Config()
    transport.configure(Config())


def test_what_was_seen_of_a_call_stands_on_its_span(recorded, server, seen):
    httpx.post(url(server), json=BODY)
    (span,) = recorded.wait(1)
    assert span.attributes["otel_llm.energy"] == 12.5
    assert seen == [("127.0.0.1", server.port), span.attributes["gen_ai.usage.output_tokens"]]


def test_a_call_of_which_nothing_is_to_be_seen_says_nothing(recorded, server, seen):
    httpx.post(url(server, "localhost"), json=BODY)
    (span,) = recorded.wait(1)
    assert "otel_llm.energy" not in span.attributes
    assert seen == []


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_a_witness_that_fails_costs_only_what_it_would_have_said(recorded, server, moment):
    def witness(_address, _port):
        if moment == "begin":
            raise OSError
        return lambda tokens: {"otel_llm.energy": tokens / 0}

    transport.configure(Config(), witness)
    httpx.post(url(server), json=BODY)
    (span,) = recorded.wait(1)
    assert span.attributes["otel_llm.outcome"] == "completed"
    assert boundary.errors() == {"record.witness": 1}
    boundary.reset()
