"""The client SDK: manual spans, and how they meet the tap."""

import asyncio
import gc
import inspect
import os
import threading

import httpx
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from otel_llm import semconv
from otel_llm.record import client, transport
from otel_llm.record.decorator import traced

BAD = "bad key sk-abcdefghijklmnop"
BROKEN = "broken"


@pytest.fixture
def manual(recorded):
    """The client SDK records where the tap does."""
    return recorded


def only(recorded):
    (span,) = recorded.take()
    return span


def test_a_block_is_one_span_with_what_it_was_told(manual):
    with client.call("chat", model="m", provider="in_process") as call:
        call.first_token()
        call.usage(input_tokens=3, output_tokens=5)
        call.finish("stop")
        call.metadata(user="u1", attempt=2)
        call.response(model="m-1", id="r1")
    said = only(manual).attributes
    assert said[semconv.REQUEST_MODEL] == "m"
    assert said[semconv.PROVIDER_NAME] == "in_process"
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (3, 5)
    assert said[semconv.USAGE_SOURCE] == "provider"
    assert said[semconv.RESPONSE_FINISH_REASONS] == ("stop",)
    assert said[semconv.OUTCOME] == "completed"
    assert said["otel_llm.metadata.user"] == "u1"
    assert said["otel_llm.metadata.attempt"] == 2
    assert said[semconv.TIME_TO_FIRST_TOKEN] > 0
    assert said[semconv.TIME_PER_OUTPUT_TOKEN] > 0


def test_what_nobody_said_is_absent(manual):
    with client.call():
        pass
    said = only(manual).attributes
    assert semconv.USAGE_OUTPUT_TOKENS not in said
    assert semconv.TIME_TO_FIRST_TOKEN not in said
    assert semconv.REQUEST_MODEL not in said


def test_an_error_is_recorded_and_goes_on(manual):
    with pytest.raises(ValueError, match="bad"), client.call("chat", model="m"):
        raise ValueError(BAD)
    span = only(manual)
    assert span.attributes[semconv.ERROR_TYPE] == "ValueError"
    assert span.attributes[semconv.OUTCOME] == "error"
    assert span.status.status_code.name == "ERROR"
    assert "abcdef" not in span.status.description


def test_a_cancelled_task_is_no_error(manual):
    async def work():
        async with client.call("chat", model="m"):
            await asyncio.sleep(10)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    span = only(manual)
    assert span.attributes[semconv.OUTCOME] == "cancelled"
    assert span.status.status_code.name == "UNSET"


def test_the_span_is_current_inside_and_not_after(manual):
    with client.call("chat") as call:
        assert trace.get_current_span() is call.span
    assert trace.get_current_span() is not call.span


def test_a_call_on_the_wire_inside_enriches_the_block(manual):
    transport = httpx.MockTransport(
        lambda _request: httpx.Response(
            200,
            json={
                "id": "c1",
                "model": "m-1",
                "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 4, "completion_tokens": 6},
            },
        )
    )
    with client.call("chat", model="alias") as call, httpx.Client(transport=transport) as http:
        call.metadata(team="a")
        http.post("https://api.openai.com/v1/chat/completions", json={"model": "m", "messages": []})
    said = only(manual).attributes
    assert said[semconv.REQUEST_MODEL] == "alias"
    assert said[semconv.USAGE_OUTPUT_TOKENS] == 6
    assert said[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
    assert said["otel_llm.metadata.team"] == "a"
    (point,) = manual.points()[semconv.METRIC_OPERATION_DURATION]
    assert point.count == 1


def test_a_parent_may_be_given(manual):
    tracer = manual.provider.get_tracer("app")
    parent = tracer.start_span("request")
    with client.call("chat", parent=trace.set_span_in_context(parent)):
        pass
    assert manual.take()[0].parent.span_id == parent.get_span_context().span_id


def test_a_block_entered_in_one_thread_may_be_told_from_another(manual):
    with client.call("chat") as call:
        thread = threading.Thread(target=lambda: call.usage(output_tokens=2))
        thread.start()
        thread.join()
    assert only(manual).attributes[semconv.USAGE_OUTPUT_TOKENS] == 2


def test_a_traced_function_returns_what_it_returns(manual):
    @traced("text_completion", model="m")
    def complete(prompt, *, suffix=""):
        """Complete."""
        return prompt + suffix

    assert complete("a", suffix="b") == "ab"
    assert complete.__doc__ == "Complete."
    assert only(manual).name == "text_completion m"


def test_a_traced_coroutine_is_awaited_inside_its_span(manual):
    @traced("chat", model="m")
    async def ask():
        await asyncio.sleep(0)
        return trace.get_current_span()

    assert asyncio.run(ask()).get_span_context().span_id == only(manual).context.span_id


def test_a_traced_generator_counts_its_first_item_as_its_first_token(manual):
    @traced("chat", model="m")
    def tokens():
        yield "a"
        yield "b"
        return "done"

    assert list(tokens()) == ["a", "b"]
    span = only(manual)
    assert span.attributes[semconv.TIME_TO_FIRST_TOKEN] > 0
    assert span.attributes[semconv.OUTCOME] == "completed"


def test_a_traced_generator_left_early_is_abandoned_and_closed(manual):
    closed = []

    @traced("chat")
    def tokens():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    items = tokens()
    next(items)
    items.close()
    assert closed == [True]
    assert only(manual).attributes[semconv.OUTCOME] == "abandoned"


def test_a_traced_async_generator_tells_errors(manual):
    @traced("chat")
    async def tokens():
        yield 1
        raise RuntimeError(BROKEN)

    async def read():
        async for _ in tokens():
            pass

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(read())
    assert only(manual).attributes[semconv.ERROR_TYPE] == "RuntimeError"


def test_no_context_crosses_a_yield(manual, caplog):
    @traced("chat")
    def tokens():
        yield trace.get_current_span()
        yield trace.get_current_span()

    before = otel_context.get_current()
    inside = []
    for span in tokens():
        inside.append(span)
        assert otel_context.get_current() == before
    assert {span.get_span_context().span_id for span in inside} == {only(manual).context.span_id}
    assert not caplog.records


def test_what_is_sent_into_a_traced_generator_reaches_the_function(manual):
    @traced("chat")
    def echo():
        got = yield "ready"
        while got:
            got = yield got.upper()

    items = echo()
    assert [next(items), items.send("a"), items.send("b")] == ["ready", "A", "B"]
    with pytest.raises(StopIteration):
        items.send("")
    assert only(manual).attributes[semconv.OUTCOME] == "completed"


def test_a_traced_generator_may_handle_what_is_thrown_into_it(manual):
    @traced("chat")
    def patient():
        try:
            yield 1
        except KeyError:
            yield "handled"

    items = patient()
    next(items)
    assert items.throw(KeyError()) == "handled"
    assert list(items) == []
    assert only(manual).attributes[semconv.OUTCOME] == "completed"


def test_a_traced_async_generator_keeps_asend_and_athrow(manual):
    @traced("chat")
    async def echo():
        try:
            got = yield "ready"
            yield got
        except KeyError:
            yield "handled"

    async def main():
        items = echo()
        said = [await anext(items), await items.asend("a"), await items.athrow(KeyError())]
        await items.aclose()
        return said

    assert asyncio.run(main()) == ["ready", "a", "handled"]
    assert only(manual).attributes[semconv.OUTCOME] == "abandoned"


def test_a_traced_function_stays_the_kind_of_function_it_is(manual):
    @traced()
    def plain(): ...

    @traced()
    async def coroutine(): ...

    @traced()
    def generator():
        yield

    @traced()
    async def async_generator():
        yield

    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)
    assert not inspect.isgeneratorfunction(plain)


def test_a_traced_generator_that_nobody_holds_any_more_is_abandoned(manual):
    @traced("chat")
    def tokens():
        yield 1
        yield 2

    next(tokens())
    gc.collect()
    assert manual.wait(1)[0].attributes[semconv.OUTCOME] == "abandoned"


def test_a_traced_function_can_tell_of_its_call(manual):
    @traced("chat")
    def ask():
        client.current_call().usage(output_tokens=4)

    ask()
    assert only(manual).attributes[semconv.USAGE_OUTPUT_TOKENS] == 4
    assert client.current_call() is None


def test_an_error_is_logged_with_its_span_and_without_secrets(manual):
    logs = InMemoryLogRecordExporter()
    if not isinstance(get_logger_provider(), LoggerProvider):
        set_logger_provider(LoggerProvider())
    get_logger_provider().add_log_record_processor(SimpleLogRecordProcessor(logs))
    with pytest.raises(ValueError, match="bad"), client.call("chat"):
        raise ValueError(BAD)
    (record,) = [finished.log_record for finished in logs.get_finished_logs()]
    assert record.event_name == semconv.EVENT_EXCEPTION
    assert record.span_id == only(manual).context.span_id
    assert record.attributes[semconv.EXCEPTION_TYPE] == "ValueError"
    assert record.attributes[semconv.EXCEPTION_MESSAGE] == "bad key [redacted]"
    assert "test_client.py" in record.attributes[semconv.EXCEPTION_STACKTRACE]


def test_an_error_that_cannot_tell_of_itself_still_counts_as_one(manual):
    class Mute(Exception):  # noqa: N818 - its name is a word
        def __str__(self):
            raise RuntimeError(BROKEN)

    with pytest.raises(Mute), client.call("chat"):
        raise Mute
    span = only(manual)
    assert span.attributes[semconv.ERROR_TYPE].endswith("Mute")
    assert span.status.status_code.name == "ERROR"


def test_calls_open_at_exit_end_by_hand_and_on_the_wire_alike(manual):
    call = client.call("chat", model="m")
    call.begin()
    transport.end_all()
    assert only(manual).attributes[semconv.OUTCOME] == "abandoned"
    call.end()
    assert manual.take() == []


def test_calls_open_at_exit_end_where_the_tap_is_off(recorded):
    transport.WireInstrumentor().uninstrument()
    with client.call("chat") as call:
        assert not call.ended
        transport.end_all()
        assert call.ended


def test_a_forked_copy_of_a_call_is_left_to_its_parent(manual):
    with client.call("chat") as call:
        child = os.fork()
        if not child:
            call.end()
            os._exit(len(manual.spans))
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert only(manual).attributes[semconv.OUTCOME] == "completed"


def test_calls_in_threads_have_the_parent_they_are_given(manual):
    tracer = manual.provider.get_tracer("app")
    with tracer.start_as_current_span("request") as request:
        context = otel_context.get_current()

        def work():
            with client.call("chat", parent=context):
                pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    calls = [span for span in manual.take() if span.name == "chat"]
    assert [span.parent.span_id for span in calls] == [request.get_span_context().span_id] * 4


def test_calls_in_tasks_do_not_mix(manual):
    async def ask(number):
        async with client.call("chat", model=f"m{number}") as call:
            await asyncio.sleep(0.001)
            assert trace.get_current_span() is call.span
            client.current_call().usage(output_tokens=number)

    async def main():
        await asyncio.gather(*(ask(number) for number in range(1, 9)))

    asyncio.run(main())
    said = {span.attributes[semconv.REQUEST_MODEL]: span.attributes for span in manual.take()}
    assert all(said[f"m{number}"][semconv.USAGE_OUTPUT_TOKENS] == number for number in range(1, 9))


def test_a_metric_of_the_user_is_a_histogram(manual, monkeypatch):
    monkeypatch.setattr(client.metrics, "get_meter", lambda *_: manual.meters.get_meter("app"))
    monkeypatch.setattr(client, "_instruments", {})
    client.metric("app.answer.score", 0.8, unit="1", kind="a")
    (point,) = manual.points()["app.answer.score"]
    assert (point.count, point.sum, dict(point.attributes)) == (1, 0.8, {"kind": "a"})
