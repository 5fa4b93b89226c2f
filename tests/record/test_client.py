"""The client SDK: manual spans, and how they meet the tap."""

import asyncio
import threading

import httpx
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_llm import semconv
from otel_llm.record import client, recording
from otel_llm.record.settings import Config

BAD = "bad key sk-abcdefghijklmnop"
BROKEN = "broken"


@pytest.fixture
def manual(recorded, monkeypatch):
    """The client SDK records where the tap does."""
    recorder = recording.Recorder(Config(), recorded.provider, recorded.meters)
    monkeypatch.setattr(recording, "shared", lambda: recorder)
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
    @client.traced("text_completion", model="m")
    def complete(prompt, *, suffix=""):
        """Complete."""
        return prompt + suffix

    assert complete("a", suffix="b") == "ab"
    assert complete.__doc__ == "Complete."
    assert only(manual).name == "text_completion m"


def test_a_traced_coroutine_is_awaited_inside_its_span(manual):
    @client.traced("chat", model="m")
    async def ask():
        await asyncio.sleep(0)
        return trace.get_current_span()

    assert asyncio.run(ask()).get_span_context().span_id == only(manual).context.span_id


def test_a_traced_generator_counts_its_first_item_as_its_first_token(manual):
    @client.traced("chat", model="m")
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

    @client.traced("chat")
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
    @client.traced("chat")
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
    @client.traced("chat")
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
