"""One arm of the overhead benchmark: the same calls through the openai SDK, instrumented or not. Prints JSON.

The transport is replaced in the process, so no network and no server disturb the figures; exporters write to nowhere.
Figures are CPU time of this process in microseconds.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

CHUNKS = 200
CALLS = 200
STREAMS = 25
BATCH = 4

MESSAGES: Any = [{"role": "user", "content": "Tell me about distributed tracing. " * 20}]
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": CHUNKS,
    "total_tokens": 120 + CHUNKS,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
HEAD = {"id": "chatcmpl-1234567890abcdef", "created": 1_790_000_000, "model": "gpt-4o-mini-2024-07-18"}
WHOLE = json.dumps(
    {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 150}, "finish_reason": "stop"},
        ],
        "usage": USAGE,
    }
).encode()


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {**HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


PIECES = [
    _event({"role": "assistant", "content": ""}),
    *[_event({"content": f" word{number}"}) for number in range(CHUNKS)],
    _event({}, "stop"),
    b"data: "
    + json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}).encode()
    + b"\n\n",
    b"data: [DONE]\n\n",
]


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def _answer(request: httpx2.Request) -> httpx2.Response:
    if b'"stream":true' in request.content:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(PIECES))
    return httpx2.Response(200, headers={"content-type": "application/json"}, stream=Pieces([WHOLE]))


class Transport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers in the process."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer at once."""
        return _answer(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer at once."""
        return _answer(request)


class Nowhere(SpanExporter):
    """Forgets spans."""

    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the SDK's signature
        """Forget ``spans``."""
        return SpanExportResult.SUCCESS


def set_up(arm: str) -> None:
    """Instrument this process as ``arm`` says."""
    if arm == "none":
        return
    if arm == "otel-llm-store":
        import otel_llm  # noqa: PLC0415

        otel_llm.instrument({"store.path": sys.argv[2]})
        return
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    if arm == "sdk-floor":
        _patch_floor()
    elif arm == "otel-llm":
        from otel_llm.record.transport import WireInstrumentor  # noqa: PLC0415

        WireInstrumentor().instrument()
    elif arm == "genai-openai":
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor  # noqa: PLC0415

        OpenAIInstrumentor().instrument()
    else:
        sys.exit(f"arm: expected none, sdk-floor, otel-llm, otel-llm-store or genai-openai, found {arm!r}")


def _patch_floor() -> None:
    """The least that any instrumentation pays: one span of sixteen attributes, three histogram records, no reading."""
    tracer, meter = trace.get_tracer("floor"), metrics.get_meter("floor")
    instruments = [meter.create_histogram(f"floor.{name}") for name in ("input", "output", "duration")]
    start: dict[str, Any] = {f"floor.start.{number}": "value" for number in range(5)}
    end: dict[str, Any] = {f"floor.end.{number}": number for number in range(11)}
    named = {f"floor.name.{number}": "value" for number in range(4)}
    send = httpx2.Client._send_single_request  # noqa: SLF001 - where otel-llm stands as well

    def sent(client: httpx2.Client, request: httpx2.Request) -> httpx2.Response:
        span = tracer.start_span("chat gpt-4o-mini", kind=trace.SpanKind.CLIENT, attributes=start)
        context = trace.set_span_in_context(span)
        response = send(client, request)
        span.set_attributes(end)
        for instrument in instruments:
            instrument.record(1, named, context)
        span.end()
        return response

    httpx2.Client._send_single_request = sent  # type: ignore[method-assign]  # noqa: SLF001


def _cpu(work: Any, times: int) -> float:
    """CPU time of one ``work()`` [us]: the least of ``times`` short batches, for a busy machine only ever adds."""
    for _ in range(BATCH * 4):
        work()
    gc.collect()
    figures = []
    for _ in range(times):
        started = time.process_time_ns()
        for _ in range(BATCH):
            work()
        figures.append((time.process_time_ns() - started) / BATCH / 1000)
    return min(figures)


def _measure_sync() -> dict[str, float]:
    client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=Transport()))

    def call() -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    def stream() -> None:
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
            pass

    return {"call": _cpu(call, CALLS), "stream": _cpu(stream, STREAMS)}


def _measure_async() -> dict[str, float]:
    loop = asyncio.new_event_loop()
    client = openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=Transport()))

    async def call() -> None:
        await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    async def stream() -> None:
        async for _ in await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
            pass

    return {
        "async_call": _cpu(lambda: loop.run_until_complete(call()), CALLS),
        "async_stream": _cpu(lambda: loop.run_until_complete(stream()), STREAMS),
    }


def main() -> None:
    """Print the arm's figures."""
    set_up(sys.argv[1])
    print(json.dumps({**_measure_sync(), **_measure_async(), "chunks": len(PIECES)}), flush=True)


if __name__ == "__main__":
    main()
