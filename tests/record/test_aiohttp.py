"""aiohttp: its user sees what he would see without us, and each attempt is one span that ends once, told right."""

import asyncio
import gc
import io
import itertools
import json
import time

import aiohttp
import openai
import pytest
from aiohttp.streams import StreamReader
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode
from seen import arrival, ending, only, patiently

from otel_llm import semconv

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
GOOD = ("completed", StatusCode.UNSET, None)

fresh = itertools.count()


def url(server, case, path="/v1/chat/completions"):
    return f"http://127.0.0.1:{server.port}/{case}/aio{next(fresh)}{path}"


async def _one(coroutine):
    yield await coroutine


async def _chunks(response):
    async for piece, _ in response.content.iter_chunks():
        yield piece


READERS = {
    "read": lambda response: _one(response.read()),
    "text": lambda response: _one(response.text()),
    "json": lambda response: _one(response.json(content_type=None)),
    "any": lambda response: response.content.iter_any(),
    "small": lambda response: response.content.iter_chunked(7),
    "lines": lambda response: response.content,
    "chunks": _chunks,
    "stream": lambda response: _one(response.content.read()),
}


def look(response):
    """What a response shows of itself."""
    return {
        "types": (type(response), type(response.content)),
        "status": (response.status, response.reason, response.version),
        "headers": [pair for pair in response.raw_headers if pair[0] != b"location"],
        "request": (response.method, list(response.request_info.headers)),
        "history": [(type(one), one.status) for one in response.history],
        "names": sorted(vars(response)),
    }


def tell(error):
    """An exception as the user sees it, causes included."""
    chain = []
    while error is not None:
        chain.append((type(error), str(error).partition("http://")[0]))
        error = error.__cause__
    return chain


async def visit(target, how="any", most=None, session=None, **more):
    """Everything that a user sees of one request; at ``most`` so many pieces are taken."""
    seen = []
    pieces = []
    try:
        async with aiohttp.ClientSession(**(session or {})) as client:
            async with client.post(target, **({} if "data" in more else {"json": BODY}), **more) as response:
                seen.append(look(response))
                number = 0
                async for piece in READERS[how](response):
                    pieces.append(piece)
                    number += 1
                    if number == most:
                        break
            seen.append((response.closed, response.content.at_eof(), response.content.is_eof()))
    except Exception as error:  # noqa: BLE001 - it is what the user sees
        seen.append(tell(error))
    if pieces and isinstance(pieces[0], (bytes, str)):
        pieces = [type(pieces[0])().join(pieces)]
    return seen, pieces


def both(make):
    """What is seen without the tap and with it; they must be equal."""
    with suppress_instrumentation():
        expected = asyncio.run(make())
    seen = asyncio.run(make())
    assert seen == expected
    return seen


@pytest.mark.parametrize("how", [name for name in READERS if name != "json"])
@pytest.mark.parametrize("case", ["stream", "whole", "gzip", "br", "zstd", "deflate"])
def test_a_call_that_is_read_to_its_end_is_completed(recorded, server, case, how):
    both(lambda: visit(url(server, case), how))
    span, said = only(recorded)
    assert ending(span) == GOOD
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("stop",)
    assert (semconv.TIME_TO_FIRST_TOKEN in said) == (case != "whole")
    assert said[semconv.REQUEST_MODEL] == "m"
    assert (said[semconv.SERVER_ADDRESS], said[semconv.SERVER_PORT]) == ("127.0.0.1", server.port)


def test_json_is_what_it_was(recorded, server):
    both(lambda: visit(url(server, "whole"), "json"))
    assert ending(only(recorded)[0]) == GOOD


@pytest.mark.parametrize("case", ["gzip", "br", "zstd", "deflate"])
def test_a_body_that_the_user_wants_compressed_is_read_too(recorded, server, case):
    both(lambda: visit(url(server, case), session={"auto_decompress": False}))
    assert only(recorded)[1][semconv.USAGE_OUTPUT_TOKENS] == 5


FAILURES = {
    "reset": "aiohttp.client_exceptions.ClientPayloadError",
    "cut": "aiohttp.client_exceptions.ClientPayloadError",
    "eof": "incomplete_stream",
    "html": "500",
    "missing": "404",
    "inband": "busy",
    "hang": "aiohttp.client_exceptions.SocketTimeoutError",
    "silent": "aiohttp.client_exceptions.SocketTimeoutError",
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_call_that_fails_tells_how(recorded, server, case):
    def look(soon):
        both(lambda: visit(url(server, case), timeout=aiohttp.ClientTimeout(sock_read=soon)))
        assert ending(only(recorded)[0]) == ("error", StatusCode.ERROR, FAILURES[case])

    patiently(recorded, case, look)


@pytest.mark.parametrize("how", ["any", "read"])
@pytest.mark.parametrize("case", ["hang", "silent"])
def test_the_time_that_a_session_allows_in_all_is_an_error(recorded, server, case, how):
    def look(soon):
        both(lambda: visit(url(server, case), how, timeout=aiohttp.ClientTimeout(total=soon)))
        assert ending(only(recorded)[0]) == ("error", StatusCode.ERROR, "TimeoutError")

    patiently(recorded, case, look)


def test_nobody_listening_is_an_error(recorded, refusing_port):
    target = f"http://127.0.0.1:{refusing_port}/v1/chat/completions"
    both(lambda: visit(target))
    assert ending(only(recorded)[0])[2] == "aiohttp.client_exceptions.ClientConnectorError"


def test_a_status_that_raises_is_an_error(recorded, server):
    both(lambda: visit(url(server, "missing"), session={"raise_for_status": True}))
    assert ending(only(recorded)[0])[2] == "404"


@pytest.mark.parametrize("how", ["lines", "small"])
def test_a_reader_that_stops_has_abandoned_the_call(recorded, server, how):
    both(lambda: visit(url(server, "hang"), how, most=1, session={"read_bufsize": 2}))
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


@pytest.mark.parametrize("way", ["cancel", "timeout"])
def test_a_cancelled_reader_that_closes_nothing_has_cancelled_the_call(recorded, server, way):
    async def read(session, begin):
        response = await session.post(url(server, "hang"), json=BODY)
        async for _ in response.content:
            begin()

    async def main():
        async with aiohttp.ClientSession() as session:
            loop = asyncio.get_running_loop()
            if way == "timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(None) as limit:
                        await read(session, lambda: limit.reschedule(loop.time() + 0.05))
            else:
                begun = asyncio.Event()
                task = asyncio.create_task(read(session, begun.set))
                await begun.wait()
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main())
    gc.collect()
    assert ending(only(recorded)[0]) == ("cancelled", StatusCode.UNSET, None)


@pytest.mark.parametrize("case", ["hang", "silent"])
@pytest.mark.parametrize("how", ["any", "read"])
@pytest.mark.parametrize("way", ["cancel", "timeout"])
def test_a_task_that_is_cancelled_has_cancelled_the_call(recorded, server, case, how, way):
    async def end(target, limit):
        await arrival(server, target)
        limit.reschedule(asyncio.get_running_loop().time() + 0.05)

    async def main():
        target = url(server, case)
        try:
            if way == "timeout":
                async with asyncio.timeout(None) as limit:
                    late = asyncio.create_task(end(target, limit))
                    await visit(target, how)
                    await late
            else:
                task = asyncio.create_task(visit(target, how))
                await arrival(server, target)
                await asyncio.sleep(0.05)
                task.cancel("enough")
                await task
        except (TimeoutError, asyncio.CancelledError) as error:
            return tell(error)

    both(main)
    assert ending(only(recorded)[0]) == ("cancelled", StatusCode.UNSET, None)


def test_an_answer_that_is_dropped_ends_with_its_session(recorded, server):
    async def main():
        async with aiohttp.ClientSession() as client:
            response = await client.post(url(server, "hang"), json=BODY)
            await response.content.readany()
            del response
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert ending(only(recorded)[0])[0] == "abandoned"


def test_an_answer_that_is_read_leaves_nothing_to_the_garbage_collector(recorded, server):
    """No more than without us: what we hang on an answer is untied with it."""

    async def main():
        await visit(url(server, "stream"))
        await visit(url(server, "whole"))

    asyncio.run(main())
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        asyncio.run(main())
        gc.collect()
        assert not [one for one in gc.garbage if isinstance(one, (StreamReader, aiohttp.ClientResponse))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_a_redirect_that_is_followed_is_two_attempts(recorded, server):
    both(lambda: visit(url(server, "redirect")))
    first, second = recorded.wait(2)
    assert [ending(span) for span in (first, second)] == [GOOD, GOOD]
    assert first.attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 307
    assert second.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] == 1
    assert [link.context.span_id for link in second.links] == [first.context.span_id]


@pytest.mark.parametrize(
    ("make", "model"),
    [
        (lambda: json.dumps(BODY), "m"),
        (lambda: json.dumps(BODY).encode(), "m"),
        (lambda: io.BytesIO(json.dumps(BODY).encode()), "m"),
        (lambda: {"model": "m"}, None),
        (lambda: _one(_later(b'{"model": "m"}')), None),
        (lambda: b"\xff{", None),
    ],
    ids=["text", "bytes", "file", "form", "generator", "junk"],
)
def test_what_is_sent_is_what_would_be_sent(recorded, server, make, model):
    before = len(server.received)
    both(lambda: visit(url(server, "whole"), data=make()))
    plain, tapped = (body for _, _, body in server.received[before:])
    assert plain == tapped
    span, said = only(recorded)
    assert (ending(span), said.get(semconv.REQUEST_MODEL)) == (GOOD, model)


async def _later(value):
    return value


@pytest.mark.parametrize("path", ["/v1/files", "/v1/models", "/v1/traces", "/"])
def test_other_traffic_is_left_alone(recorded, server, path):
    asyncio.run(visit(url(server, "whole", path)))
    assert recorded.started == []


def test_the_call_is_current_while_it_is_sent_and_no_longer(recorded, server):
    seen = []

    async def note(*_):
        seen.append(trace.get_current_span().get_span_context().span_id)

    async def main():
        config = aiohttp.TraceConfig()
        config.on_connection_create_end.append(note)
        await visit(url(server, "whole"), session={"trace_configs": [config]})
        return trace.get_current_span()

    assert asyncio.run(main()) is trace.INVALID_SPAN
    assert seen == [only(recorded)[0].context.span_id]


def test_calls_at_the_same_time_do_not_mix(recorded, server):
    async def call(client, number):
        target = url(server, "stream" if number % 2 else "missing")
        async with client.post(target, json={**BODY, "model": f"m{number}"}) as response:
            await response.read()

    async def main():
        async with aiohttp.ClientSession() as client:
            await asyncio.gather(*(call(client, number) for number in range(20)))

    asyncio.run(main())
    spans = {span.name: ending(span)[2] for span in recorded.wait(20)}
    assert spans == {f"chat m{number}": None if number % 2 else "404" for number in range(20)}
    assert not any(span.parent for span in recorded.spans)


@pytest.mark.parametrize("case", ["stream", "gzip"])
def test_openai_over_aiohttp_is_one_call_one_span(recorded, server, case):
    async def main():
        base = url(server, case, "/v1")
        async with openai.AsyncOpenAI(
            api_key="k", base_url=base, http_client=openai.DefaultAioHttpClient(trust_env=False)
        ) as client:
            stream = await client.chat.completions.create(model="m", messages=BODY["messages"], stream=True)
            return len([chunk async for chunk in stream])

    assert both(main) == 8
    span, said = only(recorded)
    assert (ending(span), said[semconv.USAGE_OUTPUT_TOKENS]) == (GOOD, 5)
    assert len(recorded.started) == 1
    assert sum(point.value for point in recorded.points()[semconv.METRIC_OPERATIONS]) == 1


async def _read(sending):
    await (await sending).read()


def test_the_wait_for_a_connection_is_told(recorded, server):
    async def main():
        queued, config = asyncio.Event(), aiohttp.TraceConfig()

        async def note(*_told):
            queued.set()

        config.on_connection_queued_start.append(note)
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, trace_configs=[config]) as session:
            slow = await session.post(url(server, "hang"), json=BODY)
            headed.append(time.perf_counter() - begun)
            other = asyncio.create_task(_read(session.post(url(server, "whole"), json=BODY)))
            await queued.wait()
            await asyncio.sleep(0.5)
            slow.close()
            await other

    headed, begun = [], time.perf_counter()
    asyncio.run(main())
    first, second = (span.attributes[semconv.CONNECTION_WAIT] for span in recorded.wait(2))
    assert 0 < first < headed[0]
    assert second >= 0.5


def test_where_nothing_was_sent_no_wait_is_told(recorded, refusing_port):
    async def main():
        async with aiohttp.ClientSession() as session:
            await session.post(f"http://127.0.0.1:{refusing_port}/v1/chat/completions", json=BODY)

    with pytest.raises(aiohttp.ClientConnectorError):
        asyncio.run(main())
    (span,) = recorded.wait(1)
    assert semconv.CONNECTION_WAIT not in span.attributes
