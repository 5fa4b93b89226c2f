"""An application beside other instrumentations: makes calls of many shapes and prints what spans came of each.

Runs in an environment of its own. Its one argument is JSON: ``base`` (the server's URL), ``order`` (``ours first``,
``theirs first``, ``theirs alone``, or ``opentelemetry-instrument``, which has switched everything on), ``theirs``
(instrumentors as ``module:class``), ``shapes`` (names of functions here). Prints JSON: spans and points by shape.
"""

import asyncio
import contextlib
import importlib
import json
import sys

import anthropic
import openai
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_llm

CALL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**CALL, "stream": True}


class Clients:
    """Clients whose server answers as ``case`` says; each has a path of its own, so that its attempts are counted."""

    def __init__(self, base, shape):
        self.base, self.shape = base, shape

    def openai(self, case, kind=openai.OpenAI):
        return kind(base_url=f"{self.base}/{case}/{self.shape}/v1", api_key="k")

    def anthropic(self, case, kind=anthropic.Anthropic):
        return kind(base_url=f"{self.base}/{case}/{self.shape}", api_key="k")

    def async_openai(self, case):
        return self.openai(case, openai.AsyncOpenAI)

    def async_anthropic(self, case):
        return self.anthropic(case, anthropic.AsyncAnthropic)


def openai_plain(clients):
    with clients.openai("whole") as client:
        client.chat.completions.create(**CALL)


def openai_stream(clients):
    with clients.openai("stream") as client:
        for _ in client.chat.completions.create(**STREAM):
            pass


def openai_left(clients):
    with clients.openai("hang") as client:
        stream = client.chat.completions.create(**STREAM)
        next(iter(stream))
        stream.close()


def openai_retried(clients):
    with clients.openai("flaky") as client:
        client.chat.completions.create(**CALL)


def openai_failed(clients):
    with clients.openai("missing") as client, contextlib.suppress(openai.NotFoundError):
        client.chat.completions.create(**CALL)


def openai_async(clients):
    async def main():
        async with clients.async_openai("whole") as client:
            await client.chat.completions.create(**CALL)

    asyncio.run(main())


def openai_async_stream(clients):
    async def main():
        async with clients.async_openai("stream") as client:
            async for _ in await client.chat.completions.create(**STREAM):
                pass

    asyncio.run(main())


def openai_async_left(clients):
    async def main():
        async with clients.async_openai("hang") as client:
            stream = await client.chat.completions.create(**STREAM)
            async for _ in stream:
                break
            await stream.close()

    asyncio.run(main())


def openai_responses(clients):
    with clients.openai("whole") as client:
        client.responses.create(model="m", input="hi")


def openai_responses_stream(clients):
    with clients.openai("stream") as client:
        for _ in client.responses.create(model="m", input="hi", stream=True):
            pass


def openai_by_hand(clients):
    with clients.openai("whole") as client, otel_llm.call("chat", model="m") as call:
        client.chat.completions.create(**CALL)
        call.metadata(tenant="a")


def openai_responses_by_hand(clients):
    with clients.openai("whole") as client, otel_llm.call("chat", model="m") as call:
        client.responses.create(model="m", input="hi")
        call.metadata(tenant="a")


def openai_interleaved(clients):
    """Two streams of one context that are open at once: two calls."""
    with clients.openai("stream") as client:
        first = client.chat.completions.create(**STREAM)
        second = client.chat.completions.create(**STREAM)
        for _ in zip(first, second, strict=True):
            pass
        list(first), list(second)


def anthropic_plain(clients):
    with clients.anthropic("whole") as client:
        client.messages.create(max_tokens=9, **CALL)


def anthropic_stream(clients):
    with clients.anthropic("stream") as client:
        for _ in client.messages.create(max_tokens=9, **STREAM):
            pass


def anthropic_helper(clients):
    with clients.anthropic("stream") as client, client.messages.stream(max_tokens=9, **CALL) as stream:
        for _ in stream.text_stream:
            pass


def anthropic_left(clients):
    with clients.anthropic("hang") as client:
        stream = client.messages.create(max_tokens=9, **STREAM)
        next(iter(stream))
        stream.close()


def anthropic_retried(clients):
    with clients.anthropic("flaky") as client:
        client.messages.create(max_tokens=9, **CALL)


def anthropic_async(clients):
    async def main():
        async with clients.async_anthropic("whole") as client:
            await client.messages.create(max_tokens=9, **CALL)

    asyncio.run(main())


def anthropic_async_stream(clients):
    async def main():
        async with clients.async_anthropic("stream") as client:
            async for _ in await client.messages.create(max_tokens=9, **STREAM):
                pass

    asyncio.run(main())


def anthropic_by_hand(clients):
    with clients.anthropic("whole") as client, otel_llm.call("chat", model="m") as call:
        client.messages.create(max_tokens=9, **CALL)
        call.metadata(tenant="a")


def anthropic_interleaved(clients):
    with clients.anthropic("stream") as client:
        first = client.messages.create(max_tokens=9, **STREAM)
        second = client.messages.create(max_tokens=9, **STREAM)
        list(first), list(second)


def switch_on(order, theirs):
    """The instrumentations, in ``order``; with ``opentelemetry-instrument`` they are on."""
    if order == "opentelemetry-instrument":
        return
    steps = [(module, name) for module, _, name in (one.partition(":") for one in theirs)]
    if order != "theirs alone":
        steps.insert(0 if order == "ours first" else len(steps), None)
    for step in steps:
        if step is None:
            otel_llm.instrument({"store.enabled": False})
        else:
            getattr(importlib.import_module(step[0]), step[1])().instrument()


def told(span):
    return {
        "name": span.name,
        "scope": span.instrumentation_scope.name,
        "id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes),
    }


def points(reader):
    """By name of a metric, how many measurements were made; sums by their value."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    number = getattr(point, "count", None)
                    found[metric.name] = found.get(metric.name, 0) + (point.value if number is None else number)
    return found


def main(base, order, theirs, shapes):
    reader, memory = InMemoryMetricReader(), InMemorySpanExporter()
    if order != "opentelemetry-instrument":
        trace.set_tracer_provider(TracerProvider())
        metrics.set_meter_provider(MeterProvider([reader]))
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(memory))
    switch_on(order, theirs)
    before, said = {}, {}
    for shape in shapes:
        globals()[shape](Clients(base, f"{order}-{shape}".replace(" ", "-")))
        otel_llm.flush()
        after = points(reader)
        measured = {name: after[name] - before.get(name, 0) for name in after}
        said[shape] = {"spans": [told(span) for span in memory.get_finished_spans()], "measured": measured}
        before = after
        memory.clear()
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
