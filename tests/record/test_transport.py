"""One span per attempt, told right, and an application that sees what it would see without us.

Sync and async, httpx and httpx2, against a real server on the loopback. What the user sees is taken down twice, with
the tap and under ``suppress_instrumentation()``, and must be the same.
"""

import asyncio
import gc
import itertools
import logging
import os
import threading
import time
from types import SimpleNamespace

import httpx
import httpx2
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode
from seen import LATE, arrival, becomes, ending, only, patiently
from server import STREAM

from otel_llm import boundary, semconv

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
PLAIN = {"trust_env": False, "verify": False}
"""No proxies, and no certificates to load: the server is plain, and loading them takes 20 ms."""
LIBRARIES = {"httpx": httpx, "httpx2": httpx2}

fresh = itertools.count()


@pytest.fixture(params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param]


@pytest.fixture(params=["sync", "async"])
def mode(request):
    return request.param


@pytest.fixture(autouse=True)
def _no_complaints(caplog):
    """Nothing is ever logged about contexts or spans that ended before."""
    caplog.set_level(logging.DEBUG, "opentelemetry")
    yield
    said = [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")]
    assert not [text for text in said if "different Context" in text or "ended span" in text or "Failed to" in text]


def url(server, case, path="/v1/chat/completions"):
    return f"http://127.0.0.1:{server.port}/{case}/{next(fresh)}{path}"


def look(response):
    """What a response shows of itself."""
    return {
        "type": type(response),
        "stream": type(response.stream),
        "status": response.status_code,
        "reason": response.reason_phrase,
        "version": response.http_version,
        "headers": response.headers.raw,
        "extensions": sorted(response.extensions),
        "request": (response.request.method, sorted(response.request.extensions), response.request.headers.raw[1:]),
        "history": len(response.history),
        "closed": response.is_closed,
        "consumed": response.is_stream_consumed,
        "downloaded": response.num_bytes_downloaded,
    }


def tell(error):
    """An exception as the user sees it, causes included."""
    chain = []
    while error is not None:
        chain.append((type(error), str(error)))
        error = error.__cause__
    return chain


def keep(seen, response):
    seen.append(look(response))
    seen.append(response.elapsed.total_seconds() > 0 if response.is_closed else None)


READERS = {
    "read": lambda response: [response.read()],
    "bytes": lambda response: response.iter_bytes(),
    "raw": lambda response: response.iter_raw(),
    "small": lambda response: response.iter_bytes(7),
    "lines": lambda response: response.iter_lines(),
    "text": lambda response: response.iter_text(),
}


async def _one(coroutine):
    yield await coroutine


ASYNC_READERS = {
    "read": lambda response: _one(response.aread()),
    "bytes": lambda response: response.aiter_bytes(),
    "raw": lambda response: response.aiter_raw(),
    "small": lambda response: response.aiter_bytes(7),
    "lines": lambda response: response.aiter_lines(),
    "text": lambda response: response.aiter_text(),
}


def visit(  # noqa: PLR0913 - a request has that many sides
    library, mode, target, *, how="raw", most=None, timeout=LATE, follow=False, **more
):
    """Everything that a user sees of one request whose answer is streamed; at ``most`` so many pieces are taken."""
    seen = []
    more = {"json": BODY, **more}

    def sync():
        with library.Client(timeout=timeout, follow_redirects=follow, **PLAIN) as client:
            with client.stream("POST", target, **more) as response:
                seen.append(look(response))
                for number, piece in enumerate(READERS[how](response), 1):
                    seen.append(piece)
                    if number == most:
                        break
            keep(seen, response)

    async def asynchronous():
        async with library.AsyncClient(timeout=timeout, follow_redirects=follow, **PLAIN) as client:
            async with client.stream("POST", target, **more) as response:
                seen.append(look(response))
                number = 0
                async for piece in ASYNC_READERS[how](response):
                    seen.append(piece)
                    number += 1
                    if number == most:
                        break
            keep(seen, response)

    try:
        sync() if mode == "sync" else asyncio.run(asynchronous())
    except Exception as error:  # noqa: BLE001 - it is what the user sees
        seen.append(tell(error))
    return seen


def joined(seen):
    """What was seen, with the pieces put together: where TCP cuts a body is chance."""
    pieces = [one for one in seen if isinstance(one, (bytes, str))]
    rest = [one for one in seen if not isinstance(one, (bytes, str))]
    return (b"" if not pieces else type(pieces[0])().join(pieces)), rest


def assert_unseen(once):
    """The user sees the same with and without the tap."""
    with suppress_instrumentation():
        expected = once()
    assert joined(once()) == joined(expected)


GOOD = ("completed", StatusCode.UNSET, None)


@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("case", ["stream", "whole", "gzip", "br", "zstd", "deflate"])
def test_a_call_that_is_read_to_its_end_is_completed(recorded, server, library, mode, case, how):
    assert_unseen(lambda: visit(library, mode, url(server, case), how=how))
    span, said = only(recorded)
    assert ending(span) == GOOD
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("stop",)
    assert (semconv.TIME_TO_FIRST_TOKEN in said) == (case != "whole")


def test_a_plain_post_is_recorded(recorded, server, library, mode):
    if mode == "sync":
        response = library.post(url(server, "whole"), json=BODY, **PLAIN)
    else:

        async def post():
            async with library.AsyncClient(**PLAIN) as client:
                return await client.post(url(server, "whole"), json=BODY)

        response = asyncio.run(post())
    assert response.json()["usage"]["prompt_tokens"] == 7
    span, said = only(recorded)
    assert (span.name, span.kind, ending(span)) == ("chat m", SpanKind.CLIENT, GOOD)
    assert (said[semconv.SERVER_ADDRESS], said[semconv.SERVER_PORT]) == ("127.0.0.1", server.port)
    assert said[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
    assert 0 < said[semconv.CONNECTION_WAIT] < (span.end_time - span.start_time) / 1e9


FAILURES = {
    "reset": ("error", StatusCode.ERROR, "ReadError"),
    "cut": ("error", StatusCode.ERROR, "RemoteProtocolError"),
    "eof": ("error", StatusCode.ERROR, "incomplete_stream"),
    "html": ("error", StatusCode.ERROR, "500"),
    "missing": ("error", StatusCode.ERROR, "404"),
    "inband": ("error", StatusCode.ERROR, "busy"),
    "hang": ("error", StatusCode.ERROR, "ReadTimeout"),
    "silent": ("error", StatusCode.ERROR, "ReadTimeout"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_call_that_fails_tells_how(recorded, server, library, mode, case):
    def look(soon):
        assert_unseen(lambda: visit(library, mode, url(server, case), timeout=library.Timeout(LATE, read=soon)))
        assert ending(only(recorded)[0]) == expected

    expected = FAILURES[case]
    if "Error" in expected[2] or "Timeout" in expected[2]:
        expected = (*expected[:2], f"{library.__name__}.{expected[2]}")
    patiently(recorded, case, look)


def test_nobody_listening_is_an_error(recorded, library, mode, refusing_port):
    target = f"http://127.0.0.1:{refusing_port}/v1/chat/completions"
    assert_unseen(lambda: visit(library, mode, target))
    span, said = only(recorded)
    assert ending(span) == ("error", StatusCode.ERROR, f"{library.__name__}.ConnectError")
    assert semconv.HTTP_RESPONSE_STATUS_CODE not in said
    assert semconv.CONNECTION_WAIT not in said


def test_an_error_body_gives_its_code_and_its_text_without_keys(recorded, server, library, mode):
    visit(library, mode, url(server, "missing"))
    span, said = only(recorded)
    assert (said[semconv.ERROR_CODE], span.status.description) == ("model_not_found", "no model m")


@pytest.mark.parametrize("how", ["raw", "bytes", "lines", "text"])
def test_a_reader_that_stops_has_abandoned_the_call(recorded, server, library, mode, how):
    assert_unseen(lambda: visit(library, mode, url(server, "hang"), how=how, most=1))
    span, said = only(recorded)
    assert ending(span) == ("abandoned", StatusCode.UNSET, None)
    assert said.get(semconv.USAGE_SOURCE) in (None, "estimated")


def test_a_body_that_is_never_looked_at_is_abandoned(recorded, server, library, mode):
    def leave():
        with library.Client(**PLAIN) as client, client.stream("POST", url(server, "stream"), json=BODY) as one:
            return [look(one)]

    async def leave_async():
        client = library.AsyncClient(**PLAIN)
        async with client, client.stream("POST", url(server, "stream"), json=BODY) as one:
            return [look(one)]

    assert_unseen(leave if mode == "sync" else lambda: asyncio.run(leave_async()))
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


def test_closing_behind_the_end_mark_is_completed(recorded, server, library, mode):
    """As the SDKs do: they stop at ``[DONE]`` and close."""
    seen = visit(library, mode, url(server, "stream"), how="lines", most=17)
    assert "[DONE]" in seen[-3]
    assert ending(only(recorded)[0]) == GOOD


@pytest.mark.parametrize("started", [True, False])
def test_an_answer_that_is_dropped_ends_with_its_collection(recorded, server, library, mode, started):
    if mode == "sync":
        client = library.Client(**PLAIN)
        response = client.send(client.build_request("POST", url(server, "hang"), json=BODY), stream=True)
        if started:
            pieces = response.iter_raw()
            next(pieces)
            del pieces
        assert recorded.spans == [] or started
        del response
        gc.collect()
        span, _ = only(recorded)
        client.close()
    else:

        async def drop():
            async with library.AsyncClient(**PLAIN) as client:
                response = await client.send(client.build_request("POST", url(server, "hang"), json=BODY), stream=True)
                if started:
                    pieces = response.aiter_raw()
                    await anext(pieces)
                    del pieces
                del response
                gc.collect()
                return (await asyncio.to_thread(only, recorded))[0]

        span = asyncio.run(drop())
    assert ending(span) == ("abandoned", StatusCode.UNSET, None)


def test_a_collection_inside_our_own_lock_ends_nothing_there(recorded, server, library):
    """A collector runs anywhere; ending a span where a lock is held would hang the application."""
    client = library.Client(**PLAIN)

    def drop():
        response = client.send(client.build_request("POST", url(server, "hang"), json=BODY), stream=True)
        pieces = response.iter_raw()
        next(pieces)
        cycle = {"response": response, "pieces": pieces}
        cycle["self"] = cycle

    def work():
        gc.disable()
        drop()
        metrics = _recorder().metrics
        with metrics._lock:
            gc.collect()
        done.set()

    done = threading.Event()
    threading.Thread(target=work, daemon=True).start()
    try:
        assert done.wait(60), "the application hangs"
    finally:
        gc.enable()
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)
    client.close()


def _recorder():
    from otel_llm.record import transport  # noqa: PLC0415 - looks inside

    return transport._patched["tap"].recorder


@pytest.mark.parametrize("case", ["hang", "silent"])
@pytest.mark.parametrize("way", ["cancel", "timeout"])
def test_a_task_that_is_cancelled_has_cancelled_the_call(recorded, server, library, case, way):
    async def call(target, seen):
        client = library.AsyncClient(**PLAIN)
        async with client, client.stream("POST", target, json=BODY) as response:
            async for piece in response.aiter_raw():
                seen.append(piece)

    async def waiting(target, seen):
        """Until the client has all that it is going to get."""
        await arrival(server, target)
        await becomes(lambda: b"".join(seen) == (b"".join(STREAM[:3]) if case == "hang" else b""))
        await asyncio.sleep(0.05)

    async def end(target, seen, limit):
        await waiting(target, seen)
        limit.reschedule(asyncio.get_running_loop().time())

    async def main():
        target, seen = url(server, case), []
        try:
            if way == "timeout":
                async with asyncio.timeout(None) as limit:
                    late = asyncio.create_task(end(target, seen, limit))
                    await call(target, seen)
                    await late
            else:
                task = asyncio.create_task(call(target, seen))
                await waiting(target, seen)
                task.cancel("enough")
                await task
        except (TimeoutError, asyncio.CancelledError) as error:
            seen.append(tell(error))
        return seen

    assert_unseen(lambda: asyncio.run(main()))
    assert ending(only(recorded)[0]) == ("cancelled", StatusCode.UNSET, None)


def test_an_interrupt_is_a_cancellation_and_passes(recorded, server, library):
    def interrupt(event, _info):
        if event.endswith("receive_response_headers.started"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), library.Client(**PLAIN) as client:
        client.post(url(server, "silent"), json=BODY, extensions={"trace": interrupt})
    assert ending(only(recorded)[0]) == ("cancelled", StatusCode.UNSET, None)


def test_the_users_own_trace_still_hears_everything(recorded, server, library, mode):
    def once():
        events = []
        if mode == "sync":
            trace_of = lambda event, _info: events.append(event)  # noqa: E731
        else:

            async def trace_of(event, _info):
                events.append(event)

        visit(library, mode, url(server, "whole"), extensions={"trace": trace_of})
        return [tuple(events)]

    assert_unseen(once)


def test_a_trace_of_the_wrong_kind_fails_as_it_would_without_us(recorded, server, library, mode):
    async def wrong_for_sync(_event, _info):
        return None

    def wrong_for_async(_event, _info):
        return None

    wrong = wrong_for_sync if mode == "sync" else wrong_for_async
    assert_unseen(lambda: visit(library, mode, url(server, "whole"), extensions={"trace": wrong}))


def test_a_redirect_that_is_followed_is_two_attempts(recorded, server, library, mode):
    assert_unseen(lambda: visit(library, mode, url(server, "redirect"), follow=True))
    first, second = recorded.wait(2)
    assert [ending(span) for span in (first, second)] == [GOOD, GOOD]
    assert first.attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 307
    assert semconv.HTTP_REQUEST_RESEND_COUNT not in first.attributes
    assert second.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] == 1
    assert [link.context.span_id for link in second.links] == [first.context.span_id]


def test_a_redirect_that_nobody_follows_makes_no_resend_of_the_next_call(recorded, server, library):
    visit(library, "sync", url(server, "redirect"))
    visit(library, "sync", url(server, "whole"))
    assert semconv.HTTP_REQUEST_RESEND_COUNT not in recorded.wait(2)[1].attributes


def test_the_same_call_again_is_no_resend(recorded, server, library):
    target = url(server, "flaky")
    for _ in range(3):
        visit(library, "sync", target)
    assert [ending(span)[2] for span in recorded.wait(3)] == ["429", "429", None]
    assert not any(semconv.HTTP_REQUEST_RESEND_COUNT in span.attributes or span.links for span in recorded.spans)


def test_limits_of_the_head_are_told(recorded, server, library, mode):
    visit(library, mode, url(server, "flaky"))
    _, said = only(recorded)
    assert (said[semconv.RETRY_AFTER], said[semconv.RATELIMIT_REMAINING_REQUESTS]) == (0.03, 0)


def test_a_response_may_be_read_on_another_thread(recorded, server, library):
    def once():
        seen = []
        with library.Client(**PLAIN) as client:
            response = client.send(client.build_request("POST", url(server, "stream"), json=BODY), stream=True)
            thread = threading.Thread(target=lambda: seen.extend(response.iter_raw()))
            thread.start()
            thread.join()
            response.close()
            keep(seen, response)
        return seen

    assert_unseen(once)
    assert ending(only(recorded)[0]) == GOOD


def test_a_generator_may_be_closed_in_another_task(recorded, server, library):
    async def main():
        async with library.AsyncClient(**PLAIN) as client:

            async def pieces():
                async with client.stream("POST", url(server, "hang"), json=BODY) as response:
                    async for piece in response.aiter_raw():
                        yield piece

            stream = pieces()
            await asyncio.create_task(anext(stream))
            await asyncio.create_task(stream.aclose())

    asyncio.run(main())
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


def test_a_mocked_transport_is_recorded_too(recorded, library, mode):
    answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    seen = []

    def handle(request):
        seen.append(request.content)
        return library.Response(200, json=answer)

    def post():
        with library.Client(transport=library.MockTransport(handle), **PLAIN) as client:
            return [look(client.post("https://api.openai.com/v1/chat/completions", json=BODY))]

    async def post_async():
        async with library.AsyncClient(transport=library.MockTransport(handle), **PLAIN) as client:
            return [look(await client.post("https://api.openai.com/v1/chat/completions", json=BODY))]

    assert_unseen(post if mode == "sync" else lambda: asyncio.run(post_async()))
    span, said = only(recorded)
    assert (ending(span), said[semconv.PROVIDER_NAME], said[semconv.USAGE_INPUT_TOKENS]) == (GOOD, "openai", 1)
    assert semconv.CONNECTION_WAIT not in said


def test_a_mocked_transport_that_raises_is_an_error(recorded, library):
    def handle(_request):
        message = "Bearer abcdefgh failed"
        raise library.ConnectError(message)

    with (
        library.Client(transport=library.MockTransport(handle), **PLAIN) as client,
        pytest.raises(library.ConnectError),
    ):
        client.post("https://api.openai.com/v1/chat/completions", json=BODY)
    span, _ = only(recorded)
    assert span.status.description == "Bearer [redacted] failed"


@pytest.mark.parametrize(
    "sent",
    [
        {"content": lambda: iter([b'{"model": ', b'"m"}'])},
        {"files": lambda: {"file": b"abc"}, "headers": lambda: {"content-type": "multipart/form-data; boundary=x"}},
        {"content": lambda: None},
        {"content": lambda: b""},
        {"content": lambda: b"\xff{"},
        {"data": lambda: {"model": "m"}},
    ],
    ids=["generator", "multipart", "none", "empty", "junk", "form"],
)
def test_a_body_that_cannot_be_read_is_sent_untouched_and_still_gives_a_span(recorded, server, library, mode, sent):
    def once():
        more = {name: make() for name, make in sent.items()}
        if mode == "async" and hasattr(more.get("content"), "__next__"):
            pieces = list(more["content"])

            async def generate():
                for piece in pieces:
                    yield piece

            more["content"] = generate()
        return visit(library, mode, url(server, "whole"), json=None, **more)

    before = len(server.received)
    assert_unseen(once)
    plain, tapped = (body for _, _, body in server.received[before:])
    assert plain == tapped
    span, said = only(recorded)
    assert ending(span) == GOOD
    assert semconv.REQUEST_MODEL not in said
    assert span.name == "chat"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/files"),
        ("POST", "/"),
        ("POST", "/v1/chat/completions/x"),
        ("POST", "/v1/models"),
        ("POST", "/v1/traces"),
    ],
)
def test_other_traffic_is_left_alone(recorded, server, library, method, path):
    with library.Client(**PLAIN) as client:
        client.request(method, f"http://127.0.0.1:{server.port}/whole{path}")
    assert recorded.started == []


def test_nothing_is_recorded_under_suppression(recorded, server, library, mode):
    with suppress_instrumentation():
        visit(library, mode, url(server, "stream"))
    assert recorded.started == []
    assert not recorded.points().get(semconv.METRIC_OPERATIONS)


def test_nothing_is_recorded_once_the_tap_is_off(recorded, server, library, mode):
    from otel_llm.record import transport  # noqa: PLC0415 - looks inside

    tap = transport._patched.pop("tap")
    visit(library, mode, url(server, "stream"))
    transport._patched["tap"] = tap
    assert recorded.started == []


def test_the_caller_is_the_parent_and_stays_current(recorded, server, library, mode):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    seen = []
    with tracer.start_as_current_span("work") as work:
        if mode == "sync":
            with library.Client(**PLAIN) as client:
                with client.stream("POST", url(server, "stream"), json=BODY) as response:
                    seen.append(trace.get_current_span())
                    seen.extend(trace.get_current_span() for _ in response.iter_raw())
                seen.append(trace.get_current_span())
        else:

            async def call():
                async with library.AsyncClient(**PLAIN) as client:
                    async with client.stream("POST", url(server, "stream"), json=BODY) as response:
                        seen.append(trace.get_current_span())
                        seen.extend([trace.get_current_span() async for _ in response.aiter_raw()])
                    seen.append(trace.get_current_span())

            asyncio.run(call())
    assert set(seen) == {work}
    call_span = recorded.wait(2)[0]
    assert call_span.parent.span_id == work.get_span_context().span_id


def test_the_call_is_current_while_it_is_sent(recorded, library):
    seen = []

    def handle(_request):
        seen.append(trace.get_current_span().get_span_context().span_id)
        return library.Response(200, json={})

    with library.Client(transport=library.MockTransport(handle), **PLAIN) as client:
        client.post("https://api.openai.com/v1/chat/completions", json=BODY)
    span, _ = only(recorded)
    assert seen == [span.context.span_id]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_calls_at_the_same_time_do_not_mix(recorded, server, library):
    async def main():
        async with library.AsyncClient(**PLAIN) as client:

            async def call(number):
                key = otel_context.attach(otel_context.set_value("who", number))
                target = url(server, "stream" if number % 2 else "flaky")
                async with client.stream("POST", target, json={**BODY, "model": f"m{number}"}) as response:
                    async for _ in response.aiter_raw():
                        assert otel_context.get_value("who") == number
                otel_context.detach(key)

            await asyncio.gather(*(call(number) for number in range(20)))

    asyncio.run(main())
    spans = {span.name: ending(span)[2] for span in recorded.wait(20)}
    assert spans == {f"chat m{number}": None if number % 2 else "429" for number in range(20)}
    assert not any(span.links for span in recorded.spans)


def test_a_thread_that_cannot_be_started_costs_no_call(recorded, server, library, monkeypatch):
    from otel_llm.record import transport  # noqa: PLC0415 - looks inside

    monkeypatch.setattr(transport.reaper, "_pid", 0)

    with monkeypatch.context() as patched:
        patched.setattr(transport.reaper._loop, "ensure", lambda: False)
        visit(library, "sync", url(server, "stream"))
    assert ending(only(recorded)[0]) == GOOD
    assert transport.reaper._pid == 0
    boundary.reset()


def test_answers_left_faster_than_a_thread_ends_them_are_ended_by_who_leaves_them(recorded, monkeypatch):
    from otel_llm.record import transport  # noqa: PLC0415 - looks inside

    class Endless(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                yield b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'

    def handle(_request):
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Endless())

    idle = SimpleNamespace(is_running=True, is_own=False, wake=lambda: None)
    transport.reaper.attend()
    monkeypatch.setattr(transport.reaper, "_loop", idle)  # the thread gets no turn
    transport.reaper.drain()
    most = 0
    with httpx.Client(transport=httpx.MockTransport(handle), **PLAIN) as client:
        for number in range(300):
            request = client.build_request("POST", "https://api.openai.com/v1/chat/completions", json=BODY)
            pieces = client.send(request, stream=True).iter_raw()
            next(pieces)
            circle = [pieces]
            circle.append(circle)  # the collector's to find, as those of the SDKs are
            del pieces, circle
            if number % 10 == 9:
                gc.collect()
            most = max(most, len(transport.reaper._orphans))
    assert transport._CROWD < most <= transport._CROWD + 20
    monkeypatch.undo()
    gc.collect()
    transport.reaper.drain()
    assert {ending(span)[0] for span in recorded.wait(300)} == {"abandoned"}


def test_the_time_between_first_and_last_token_is_per_token(recorded, server, library):
    visit(library, "sync", url(server, "stream"))
    span, said = only(recorded)
    duration = (span.end_time - span.start_time) / 1e9
    assert said[semconv.TIME_PER_OUTPUT_TOKEN] == pytest.approx(
        (duration - said[semconv.TIME_TO_FIRST_TOKEN]) / 4, abs=1e-4
    )


def test_the_span_lasts_as_long_as_the_call(recorded, library):
    def handle(_request):
        time.sleep(0.05)
        return library.Response(200, json={})

    with library.Client(transport=library.MockTransport(handle), **PLAIN) as client:
        began = time.perf_counter()
        client.post("https://api.openai.com/v1/chat/completions", json=BODY)
        took = time.perf_counter() - began
    span, _ = only(recorded)
    assert 0.05 <= (span.end_time - span.start_time) / 1e9 < took


def test_a_forked_child_leaves_its_parents_call_alone(recorded, server):
    client = httpx.Client(**PLAIN)
    response = client.send(client.build_request("POST", url(server, "hang"), json=BODY), stream=True)
    child = os.fork()
    if child == 0:
        response.close()
        os._exit(len(recorded.spans))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert recorded.spans == []
    response.close()
    client.close()
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


def test_no_call_that_has_ended_is_remembered(recorded, server, library, mode):
    for case in ("stream", "whole", "cut", "html", "reset"):
        visit(library, mode, url(server, case))
    recorded.wait(5)
    assert _recorder().open == set()
