"""One call, one inference span, whoever else instruments the client."""

import asyncio
import logging

import anthropic
import httpx
import httpx2
import openai
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.trace import StatusCode

from otel_llm import semconv
from otel_llm.record.transport import WireInstrumentor

MESSAGES = [{"role": "user", "content": "hi"}]
CALL = {"model": "m", "messages": MESSAGES}


@pytest.fixture(autouse=True)
def _no_complaints(caplog):
    caplog.set_level(logging.DEBUG, "opentelemetry")
    yield
    said = [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")]
    assert not [text for text in said if "different Context" in text or "ended span" in text or "Failed to" in text]


@pytest.fixture
def base(server):
    return lambda case: f"http://127.0.0.1:{server.port}/{case}/v1"


def inferences(recorded):
    spans = recorded.spans
    return [s for s in spans if s.attributes.get(semconv.OPERATION_NAME) in semconv.INFERENCE_OPERATIONS]


def operations(recorded):
    """How many inferences our metrics count, and how many the convention's duration counts, by anyone."""
    points = recorded.points()
    ours = sum(point.value for point in points.get(semconv.METRIC_OPERATIONS, ()))
    return ours, sum(point.count for point in points.get(semconv.METRIC_OPERATION_DURATION, ()))


def test_a_span_that_the_user_made_is_enriched(recorded, base):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    attributes = {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "mine"}
    with tracer.start_as_current_span("answer", attributes=attributes):
        httpx.post(base("whole") + "/chat/completions", json=CALL, trust_env=False)
    (span,) = recorded.spans
    assert (span.name, span.attributes[semconv.REQUEST_MODEL]) == ("answer", "mine")
    assert span.attributes[semconv.USAGE_INPUT_TOKENS] == 7
    assert span.attributes[semconv.OUTCOME] == "completed"
    assert operations(recorded) == (1, 1)


def test_a_span_around_two_attempts_tells_of_the_last_and_keeps_its_own_status(recorded, base):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    with tracer.start_as_current_span("answer", attributes={semconv.OPERATION_NAME: "chat"}):
        httpx.post(base("html") + "/chat/completions", json=CALL, trust_env=False)
        httpx.post(base("whole") + "/chat/completions", json=CALL, trust_env=False)
    (span,) = recorded.spans
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
    assert span.attributes[semconv.OUTCOME] == "completed"
    assert semconv.ERROR_TYPE not in span.attributes


def test_a_span_that_ended_before_its_stream_is_left_alone(recorded, base):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    client = httpx.Client(trust_env=False)
    with tracer.start_as_current_span("answer", attributes={semconv.OPERATION_NAME: "chat"}):
        request = client.build_request("POST", base("stream") + "/chat/completions", json={**CALL, "stream": True})
        response = client.send(request, stream=True)
    response.read()
    client.close()
    (span,) = recorded.spans
    assert semconv.USAGE_INPUT_TOKENS not in span.attributes


def test_an_agent_around_a_call_is_its_parent_and_no_inference(recorded, base):
    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    with tracer.start_as_current_span("agent", attributes={semconv.OPERATION_NAME: "invoke_agent"}):
        httpx.post(base("whole") + "/chat/completions", json=CALL, trust_env=False)
    call, agent = recorded.spans
    assert call.parent.span_id == agent.context.span_id
    assert semconv.USAGE_INPUT_TOKENS not in agent.attributes


@pytest.fixture(params=["before", "after"])
def alongside(request, recorded):
    """Switches another instrumentation on, before the tap or after it."""
    on = []

    def switch(instrumentor):
        tap = WireInstrumentor()
        if request.param == "before":
            tap.uninstrument()
        instrumentor.instrument(tracer_provider=recorded.provider, meter_provider=recorded.meters)
        if request.param == "before":
            tap.instrument(tracer_provider=recorded.provider, meter_provider=recorded.meters, skip_dep_check=True)
        on.append(instrumentor)

    yield switch
    for instrumentor in on:
        instrumentor.uninstrument()


@pytest.mark.parametrize(
    ("library", "instrumentor"),
    [(httpx, HTTPXClientInstrumentor), (httpx2, HTTPX2ClientInstrumentor)],
    ids=["httpx", "httpx2"],
)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_span_of_the_http_instrumentation_is_the_child(recorded, base, alongside, library, instrumentor, mode):
    alongside(instrumentor())
    target = base("whole") + "/chat/completions"
    if mode == "sync":
        library.post(target, json=CALL, trust_env=False)
    else:

        async def post():
            async with library.AsyncClient(trust_env=False) as client:
                await client.post(target, json=CALL)

        asyncio.run(post())
    wire, call = recorded.spans
    assert inferences(recorded) == [call]
    assert wire.parent.span_id == call.context.span_id
    assert wire.instrumentation_scope.name.startswith("opentelemetry.instrumentation.httpx")
    assert not any(name.startswith("gen_ai") for name in wire.attributes)


def chat(base, case, **more):
    with openai.OpenAI(base_url=base(case), api_key="k", max_retries=2) as client:
        answer = client.chat.completions.create(**CALL, **more)
        return list(answer) if more.get("stream") else answer


def test_the_openai_sdk_alone_gives_one_span(recorded, base):
    assert chat(base, "whole").usage.prompt_tokens == 7
    (span,) = recorded.spans
    assert span.attributes[semconv.USAGE_OUTPUT_TOKENS] == 5


@pytest.mark.parametrize("stream", [False, True])
def test_with_the_official_openai_instrumentation_its_span_is_enriched(recorded, base, alongside, stream):
    alongside(OpenAIInstrumentor())
    chat(base, "stream" if stream else "whole", **({"stream": True} if stream else {}))
    (span,) = inferences(recorded)
    assert span.instrumentation_scope.name.startswith("opentelemetry.")
    assert (span.attributes[semconv.USAGE_INPUT_TOKENS], span.attributes[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert operations(recorded) == (1, 1)


def test_with_the_official_openai_instrumentation_responses_are_told_once(recorded, base, alongside):
    alongside(OpenAIInstrumentor())
    with openai.OpenAI(base_url=base("whole"), api_key="k") as client:
        client.responses.create(model="m", input="hi")
    (span,) = inferences(recorded)
    assert span.attributes[semconv.USAGE_INPUT_TOKENS] == 7


def test_with_the_official_openai_instrumentation_async_calls_are_told_once(recorded, base, alongside):
    alongside(OpenAIInstrumentor())

    async def main():
        async with openai.AsyncOpenAI(base_url=base("stream"), api_key="k") as client:
            async for _ in await client.chat.completions.create(**CALL, stream=True):
                pass

    asyncio.run(main())
    (span,) = inferences(recorded)
    assert span.attributes[semconv.USAGE_INPUT_TOKENS] == 7


def claude(base, case, **more):
    url = base(case).removesuffix("/v1")
    return anthropic.Anthropic(base_url=url, api_key="k", **more)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("stream", [False, True])
def test_an_anthropic_call_is_one_inference_span(recorded, base, native, stream):
    traces = {"enabled": native}
    options = {"traces": traces, "tracer_provider": recorded.provider}
    with claude(base, "stream" if stream else "whole", open_telemetry=options) as client:
        answer = client.messages.create(max_tokens=9, **CALL, **({"stream": True} if stream else {}))
        if stream:
            list(answer)
    (span,) = inferences(recorded)
    assert (span.attributes[semconv.USAGE_INPUT_TOKENS], span.attributes[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert span.attributes[semconv.OUTCOME] == "completed"
    assert operations(recorded)[0] == 1


def test_an_anthropic_stream_that_is_left_is_abandoned_on_its_own_span(recorded, base):
    """The SDK ends its span before it closes the answer."""
    with claude(base, "hang", open_telemetry={"tracer_provider": recorded.provider}) as client:
        stream = client.messages.create(max_tokens=9, **CALL, stream=True)
        next(iter(stream.response.iter_raw()))
        stream.close()
    (span,) = inferences(recorded)
    assert span.attributes[semconv.OUTCOME] == "abandoned"
    assert operations(recorded)[0] == 1


def test_an_async_anthropic_call_is_one_inference_span(recorded, base):
    async def main():
        options = {"tracer_provider": recorded.provider}
        url = base("stream").removesuffix("/v1")
        client = anthropic.AsyncAnthropic(base_url=url, api_key="k", open_telemetry=options)
        async with client, client.messages.stream(max_tokens=9, **CALL) as stream:
            async for _ in stream:
                pass

    asyncio.run(main())
    (span,) = inferences(recorded)
    assert span.attributes[semconv.USAGE_INPUT_TOKENS] == 7
    assert span.attributes[semconv.TIME_TO_FIRST_TOKEN] > 0
