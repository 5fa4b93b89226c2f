"""The SDKs as their users use them: retries, raw and streaming responses, streams that are left."""

import asyncio
import gc
import itertools

import anthropic
import openai
import pytest
from opentelemetry.trace import StatusCode
from seen import LATE, ending

from otel_llm import semconv

CALL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
fresh = itertools.count()


@pytest.fixture
def base(server):
    return lambda case: f"http://127.0.0.1:{server.port}/{case}/{next(fresh)}/v1"


@pytest.fixture(params=["sync", "async"])
def ask(request, base):
    """Runs a coroutine function of a client; the sync client's methods are awaited too."""

    def run(case, work, **more):
        async def main():
            client = openai.AsyncOpenAI(base_url=base(case), api_key="k", **more)
            async with client:
                return await work(client)

        def main_sync():
            with openai.OpenAI(base_url=base(case), api_key="k", **more) as client:
                return drive(work(Awaitable(client)))

        return asyncio.run(main()) if request.param == "async" else main_sync()

    return run


def drive(coroutine):
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError


class Awaitable:
    """A sync object whose methods can be awaited and whose iteration is async: one test for both clients."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        return Awaitable(value) if hasattr(value, "__dict__") else value

    def __call__(self, *args, **more):
        return Awaitable(self._inner(*args, **more))

    def __await__(self):
        yield from ()
        return self if isinstance(self._inner, openai.Stream) else self._inner

    async def __aenter__(self):
        return Awaitable(self._inner.__enter__())

    async def __aexit__(self, *error):
        return self._inner.__exit__(*error)

    async def __aiter__(self):
        for item in self._inner:
            yield item


GOOD = ("completed", StatusCode.UNSET, None)


async def create(client):
    return await client.chat.completions.create(**CALL)


def test_retries_are_attempts_linked_to_the_one_before(recorded, ask):
    ask("flaky", create, max_retries=3)
    spans = recorded.wait(3)
    assert [ending(span)[2] for span in spans] == ["429", "429", None]
    assert [span.attributes.get(semconv.HTTP_REQUEST_RESEND_COUNT) for span in spans] == [None, 1, 2]
    assert [[link.context.span_id for link in span.links] for span in spans] == [
        [],
        [spans[0].context.span_id],
        [spans[1].context.span_id],
    ]
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert all(span.attributes[semconv.ATTEMPT_BACKOFF] >= 0.02 for span in spans[1:])


def test_the_backoff_is_the_time_between_two_attempts(recorded, ask):
    """The least of some: the clock of spans and that of durations are read one after the other."""
    off = []
    for _ in range(3):
        ask("flaky", create, max_retries=3)
        for before, span in itertools.pairwise(recorded.wait(3)):
            gap = (span.start_time - before.end_time) / 1e9
            off.append(abs(span.attributes[semconv.ATTEMPT_BACKOFF] - gap))
        recorded.take()
    assert min(off) < 0.01


def test_the_call_behind_a_retried_one_is_no_resend(recorded, ask):
    async def both(client):
        await client.chat.completions.create(**CALL)
        await client.chat.completions.create(**CALL)

    ask("flaky", both, max_retries=3)
    last = recorded.wait(4)[3]
    assert semconv.HTTP_REQUEST_RESEND_COUNT not in last.attributes
    assert last.links == ()


def test_retries_that_run_out_reach_the_user(recorded, ask):
    with pytest.raises(openai.RateLimitError):
        ask("flaky", create, max_retries=1)
    assert [ending(span)[2] for span in recorded.wait(2)] == ["429", "429"]


def test_resends_are_counted_apart(recorded, ask):
    ask("flaky", create, max_retries=3)
    points = {point.attributes[semconv.RESEND]: point.value for point in recorded.points()[semconv.METRIC_OPERATIONS]}
    assert points == {False: 1, True: 2}


def test_a_stream_tells_everything(recorded, ask):
    async def work(client):
        return [chunk async for chunk in await client.chat.completions.create(**CALL, stream=True)]

    assert len(ask("stream", work)) == 8
    (span,) = recorded.spans
    assert ending(span) == GOOD
    assert (span.attributes[semconv.STREAM_CHUNKS], span.attributes[semconv.USAGE_OUTPUT_TOKENS]) == (8, 5)


def test_a_stream_without_usage_is_estimated(recorded, ask):
    async def work(client):
        return [chunk async for chunk in await client.chat.completions.create(**CALL, stream=True)]

    ask("plain", work)
    (span,) = recorded.spans
    assert (span.attributes[semconv.USAGE_OUTPUT_TOKENS], span.attributes[semconv.USAGE_SOURCE]) == (5, "estimated")
    assert semconv.USAGE_INPUT_TOKENS not in span.attributes
    assert semconv.TIME_PER_OUTPUT_TOKEN not in span.attributes
    assert semconv.METRIC_TOKEN_USAGE not in recorded.points()


def test_a_raw_response_is_told(recorded, ask):
    async def work(client):
        raw = await client.chat.completions.with_raw_response.create(**CALL)
        return raw.parse()

    assert ask("whole", work).usage.prompt_tokens == 7
    assert ending(recorded.spans[0]) == GOOD


@pytest.mark.parametrize("case", ["stream", "whole"])
def test_a_streaming_response_is_told(recorded, ask, case):
    async def work(client):
        more = {"stream": True} if case == "stream" else {}
        async with client.chat.completions.with_streaming_response.create(**CALL, **more) as response:
            return [line async for line in response.iter_lines()]

    assert ask(case, work)
    (span,) = recorded.spans
    assert (ending(span), span.attributes[semconv.USAGE_INPUT_TOKENS]) == (GOOD, 7)


def test_a_bare_post_is_told(recorded, ask):
    async def work(client):
        return await client.post("/chat/completions", cast_to=dict, body=CALL)

    assert ask("whole", work)["usage"]["prompt_tokens"] == 7
    assert ending(recorded.spans[0]) == GOOD


def test_a_stream_that_is_closed_early_is_abandoned(recorded, ask):
    async def work(client):
        stream = await client.chat.completions.create(**CALL, stream=True)
        async for _ in stream:
            break
        await stream.close()

    ask("hang", work)
    assert ending(recorded.wait(1)[0]) == ("abandoned", StatusCode.UNSET, None)


def test_a_stream_that_is_dropped_is_abandoned(recorded, base):
    client = openai.OpenAI(base_url=base("hang"), api_key="k")

    def drop():
        next(iter(client.chat.completions.create(**CALL, stream=True)))

    drop()
    gc.collect()
    assert ending(recorded.wait(1)[0]) == ("abandoned", StatusCode.UNSET, None)
    client.close()


def test_an_error_in_the_stream_reaches_user_and_span(recorded, ask):
    async def work(client):
        async for _ in await client.chat.completions.create(**CALL, stream=True):
            pass

    with pytest.raises(openai.APIError, match="try later"):
        ask("inband", work)
    (span,) = recorded.wait(1)
    assert ending(span) == ("error", StatusCode.ERROR, "busy")
    assert span.status.description == "try later"


def test_a_time_out_is_retried_and_told(recorded, ask):
    with pytest.raises(openai.APITimeoutError):
        ask("silent", create, max_retries=1, timeout=openai.Timeout(LATE, read=0.1))
    first, second = recorded.wait(2)
    assert ending(first)[2] == ending(second)[2] == "httpx2.ReadTimeout"
    assert second.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] == 1


def test_the_responses_api_is_told(recorded, ask):
    async def work(client):
        return await client.responses.create(model="m", input="hi")

    ask("whole", work)
    (span,) = recorded.spans
    assert (ending(span), span.attributes[semconv.USAGE_INPUT_TOKENS]) == (GOOD, 7)


def test_anthropic_retries_are_attempts(recorded, base):
    with anthropic.Anthropic(
        base_url=base("flaky").removesuffix("/v1"), api_key="k", max_retries=3, open_telemetry=False
    ) as client:
        client.messages.create(max_tokens=5, **CALL)
    spans = recorded.wait(3)
    assert [span.attributes.get(semconv.HTTP_REQUEST_RESEND_COUNT) for span in spans] == [None, 1, 2]
