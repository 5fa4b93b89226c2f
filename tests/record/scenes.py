"""Calls of every shape, by every client, as a user would make them: what `test_faults` plays with a fault inside."""

import asyncio
import gc
import importlib
import json
import socket
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import httpx2
import requests
import urllib3
from dialogues import DIALOGUES
from opentelemetry.trace import SpanKind

import otel_llm
from otel_llm import semconv
from otel_llm.record import transport
from otel_llm.record.client import call, metric
from otel_llm.record.decorator import traced
from otel_llm.record.queues import queue
from parts import faults

STAND_INS = str(Path(__file__).with_name("stand_ins"))
CHAT = "/v1/chat/completions"
BODY = {"model": "m", "stream": True, "messages": []}
LATE = 0.2
"""[s]"""
fresh = count()
PLACES = {place.name: place for place in faults.places("otel_llm.record").values()}


class Wrong(Exception):  # noqa: N818
    """The user's own."""


class Scene:
    """One way to make a call; returns or raises what its user sees.

    Attributes:
        aloud: Content is captured.
        priced: The user has prices of his own.
        recorded: Providers of spans and metrics, as an application has them.
    """

    aloud = False
    priced = False
    recorded = None

    def __init__(self, server, case, path):
        self.case = case
        self.server = server
        self.url = f"http://127.0.0.1:{server.port}/{case}/{next(fresh)}{path}"


MOCK = httpx2.MockTransport(lambda _request: httpx2.Response(200, json={"model": "m"}))


class Httpx2(Scene):
    def read(self, body=BODY):
        with httpx2.Client(trust_env=False, verify=False, follow_redirects=True, timeout=60) as client:
            response = client.post(self.url, json=body)
            return response.status_code, response.content, sorted(response.extensions)

    def leave(self):
        with (
            httpx2.Client(trust_env=False, verify=False) as client,
            client.stream("POST", self.url, json=BODY) as response,
        ):
            return next(response.iter_bytes(20))

    def elsewhere(self):
        with httpx2.Client(transport=MOCK) as client:
            return client.post("http://192.0.2.1" + CHAT, json=BODY).content

    def forget(self):
        with httpx2.Client(trust_env=False, verify=False) as client:
            request = client.build_request("POST", self.url, json=BODY)
            pieces = client.send(request, stream=True).iter_bytes(20)
            first = next(pieces)
            del pieces
            gc.collect()
            return first

    def late(self):
        soon = httpx2.Timeout(60, read=LATE)
        with httpx2.Client(trust_env=False, verify=False, timeout=soon) as client:
            return client.post(self.url, json=BODY).content

    def mocked(self):
        with httpx2.Client(transport=MOCK) as client:
            return client.post("http://127.0.0.1" + CHAT, json=BODY).content


class Content(Scene):
    """Its content is captured."""

    aloud = True

    def read(self):
        said = {"role": "user", "content": "hi"}
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        parts = [{"role": "user", "parts": [{"text": "hi"}]}]
        return Httpx2.read(self, {**BODY, "messages": [said], "tools": [tool], "system": "s", "contents": parts})


class Httpx2Async(Scene):
    def read(self):
        async def read():
            async with httpx2.AsyncClient(trust_env=False, verify=False, follow_redirects=True, timeout=60) as client:
                response = await client.post(self.url, json=BODY)
                return response.status_code, response.content

        return asyncio.run(read())

    def leave(self):
        async def leave():
            async with (
                httpx2.AsyncClient(trust_env=False, verify=False) as client,
                client.stream("POST", self.url, json=BODY) as response,
            ):
                return await anext(response.aiter_bytes(20))

        return asyncio.run(leave())

    def late(self):
        async def late():
            async with httpx2.AsyncClient(trust_env=False, verify=False) as client, asyncio.timeout(LATE):
                await client.post(self.url, json=BODY)

        return asyncio.run(late())


class Aiohttp(Scene):
    def _run(self, take, **settings):
        async def run():
            async with (
                aiohttp.ClientSession(**settings) as session,
                session.post(self.url, json=BODY) as response,
            ):
                return response.status, await take(response)

        return asyncio.run(run())

    def read(self):
        return self._run(lambda response: response.read())

    def go_on(self):
        def read(response):
            self.server.go_on.set()
            return response.read()

        return self._run(read)

    def leave(self):
        return self._run(lambda response: response.content.readexactly(20))

    def late(self):
        return self._run(lambda response: response.read(), timeout=aiohttp.ClientTimeout(LATE))


class Requests(Scene):
    def read(self):
        with requests.Session() as session:
            response = session.post(self.url, json=BODY, timeout=60)
            return response.status_code, response.content

    def leave(self):
        with requests.Session() as session, session.post(self.url, json=BODY, stream=True, timeout=60) as response:
            return next(response.iter_content(20))

    def late(self):
        with requests.Session() as session:
            return session.post(self.url, json=BODY, timeout=LATE).content

    def again(self):
        with urllib3.PoolManager(retries=urllib3.Retry(3, status_forcelist=[429], allowed_methods=None)) as pool:
            return pool.request("POST", self.url, json=BODY).data


class Dialogue(Scene):
    """Each format, and whatever an answer in it may hold."""

    aloud = True

    def read(self):
        return Httpx2.read(self, DIALOGUES[self.case.partition("/")[2]].asked)


class Priced(Scene):
    """The user has prices of his own, of tokens and of servers."""

    priced = True

    def tokens(self):
        return Httpx2.read(self)

    def hours(self):
        return Dialogue.read(self)

    def any_hours(self):
        with call("chat", model="m", provider="vllm"):
            return 1


class Collected(Scene):
    """A reader of metrics collects after two answers that told of limits, the second nearer to them."""

    def twice(self):
        seen = []
        for left in (9, 7):
            with httpx2.Client(trust_env=False, verify=False) as client:
                seen.append(client.post(self.url, json=BODY, headers={"x-left": str(left)}).content)
        recorder = transport._patched["tap"].recorder
        with suppress(AttributeError, faults.Injected):  # as the SDK calls it, but of this recorder, not of the first
            recorder.metrics._observe_limits("time_to_limit", None)
        self.recorded.points()
        return seen


INFERENCE = {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "m"}


class Beside(Scene):
    """Spans of somebody else's tell of the same call."""

    def tracer(self, name="peer"):
        return self.recorded.provider.get_tracer(name)

    def around(self):
        with (
            self.tracer().start_as_current_span("chat m", attributes=INFERENCE),
            self.tracer("another").start_as_current_span("chat m", attributes=INFERENCE),
            self.tracer("http").start_as_current_span("POST", kind=SpanKind.CLIENT),
        ):
            return Httpx2.read(self)

    def aside(self):
        span = self.tracer().start_span("chat m", attributes=INFERENCE)
        seen = Httpx2.read(self)
        span.end()
        return seen

    def afterwards(self):
        began = time.time_ns()
        seen = Httpx2.read(self)
        self.tracer().start_span("chat m", kind=SpanKind.CLIENT, attributes=INFERENCE, start_time=began).end()
        self.tracer().start_span("POST", kind=SpanKind.CLIENT, start_time=began).end()
        return seen

    def ended_early(self):
        with httpx2.Client(trust_env=False, verify=False) as client:
            with self.tracer().start_as_current_span("chat m", attributes=INFERENCE):
                request = client.build_request("POST", self.url, json=BODY)
                response = client.send(request, stream=True)
                pieces = response.iter_bytes()
                first = next(pieces)
            return first + b"".join(pieces)


class Manual(Scene):
    """The client SDK, its decorators made beforehand as a module would."""

    def block(self):
        with call("chat", model="m") as manual:
            manual.first_token()
            manual.usage(input_tokens=1, output_tokens=2)
            manual.finish("stop")
            manual.response(model="m-1", id="1")
            manual.metadata(team="a")
        return 1

    def broken(self):
        with call("chat", model="m"):
            raise Wrong

    def async_block(self):
        async def block():
            async with call("chat", model="m"):
                return 2

        return asyncio.run(block())

    def around(self):
        with call("chat", model="m"):
            return Httpx2.read(self)

    def measure(self):
        return metric("app.score", 1.0)

    def current(self):
        with call("chat", model="m") as manual:
            current = otel_llm.current_call()
        return current in {manual, None}

    def plain(self):
        return _plain(3)

    def coroutine(self):
        return asyncio.run(_coroutine(4))

    def generator(self):
        return list(_generator(5))

    def async_generator(self):
        async def all_items():
            return [item async for item in _async_generator(6)]

        return asyncio.run(all_items())


class Told(Scene):
    """The client SDK, told of content."""

    aloud = True

    def block(self):
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        with call("chat", model="m") as manual:
            manual.content(input="hi", output=["a", {"role": "assistant", "content": "b"}], system="s", tools=[tool])
            manual.content(output="x" * 100_000)
            manual.usage(input_tokens=1, output_tokens=2)
        return 1


class Waiting(Scene):
    """Queues of the application's own around calls."""

    def ticket(self):
        ticket = queue("work").enqueue()
        with ticket:
            return Httpx2.read(self)

    def block(self):
        with queue("work").wait():
            pass
        return Httpx2.read(self)

    def dropped(self):
        ticket = queue("work").enqueue()
        del ticket
        return queue("work").depth >= 0

    def tasks(self):
        async def both():
            async with queue("work").wait():
                pass
            async with queue("work").enqueue():
                return 1

        return asyncio.run(both())


class Local(Scene):
    """Models in this process, as far as a stand-in is one."""

    def _of(self, module, *path):
        sys.path.insert(0, STAND_INS)
        try:
            found = importlib.import_module(module)
        finally:
            sys.path.remove(STAND_INS)
        for name in path:
            found = getattr(found, name)
        return found

    def whole(self):
        return self._of("llama_cpp", "Llama")("/models/fox.gguf")("Once", max_tokens=3)["choices"][0]["text"]

    def stream(self):
        items = self._of("llama_cpp", "Llama")("/models/fox.gguf")("Once", max_tokens=3, stream=True)
        return [item["choices"][0]["text"] for item in items]

    def left(self):
        items = self._of("llama_cpp", "Llama")("/models/fox.gguf")("Once", max_tokens=3, stream=True)
        first = next(items)["choices"][0]["text"]
        items.close()
        return first

    def broken(self):
        return self._of("llama_cpp", "Llama")("/models/fox.gguf")("bad")

    def around(self):
        with call("chat", model="m"):
            return self.whole()

    def chat(self):
        llama = self._of("llama_cpp", "Llama")("/models/fox.gguf")
        return llama.create_chat_completion([{"role": "user", "content": "Once"}], max_tokens=3)["choices"]

    def served(self):
        """Answers from inside a server of this process, while a call to another one is under way."""
        with (
            socket.create_server(("127.0.0.1", 0)),
            httpx2.Client(trust_env=False, verify=False) as client,
            client.stream("POST", self.url, json=BODY),
        ):
            return self.whole()

    def tensors(self):
        module = self._of("transformers.generation.utils")
        return module.GenerationMixin().generate(module.Tensor(1, 3), max_new_tokens=2).shape

    def streamed_tensors(self):
        module, put = self._of("transformers.generation.utils"), []
        streamer = SimpleNamespace(put=put.append, end=lambda: put.append("end"))
        shape = module.GenerationMixin().generate(module.Tensor(1, 3), streamer=streamer, max_new_tokens=2).shape
        return shape, put[1:]

    def prompt(self):
        times = {"arrival_time": 1.0, "first_scheduled_time": 1.1, "first_token_time": 1.2, "last_token_time": 1.3}
        llm = self._of("vllm.entrypoints.llm", "LLM")("/models/fox", metrics=SimpleNamespace(**times))
        params = SimpleNamespace(temperature=0.5, top_p=1.0, top_k=5, max_tokens=3, seed=1, stop=["a"], n=1)
        return [answer.outputs[0].text for answer in llm.generate("Once", params)]

    def batch(self):
        llm = self._of("vllm.entrypoints.llm", "LLM")("/models/fox")
        return [answer.outputs[0].text for answer in llm.generate(["Once", "Twice"])]

    def conversation(self):
        llm = self._of("vllm.entrypoints.llm", "LLM")("/models/fox")
        return [answer.outputs[0].text for answer in llm.chat([{"role": "user", "content": "Once"}])]

    def refused(self):
        llm = self._of("vllm.entrypoints.llm", "LLM")("/models/fox")
        return llm.generate("Once", SimpleNamespace(max_tokens=0))


class LocalAloud(Local):
    """The same, with content."""

    aloud = True


ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "temperature": 0, "seed": 1}


class InProcess(Scene):
    """A real model in this process: ``model`` is an ``xllamacpp.Server``."""

    model = None

    def whole(self):
        return self.model.handle_chat_completions(ASKED)["choices"]

    def text(self):
        return self.model.handle_completions(json.dumps({"prompt": "Hi", "max_tokens": 1, "temperature": 0}))["choices"]

    def stream(self):
        pieces = []
        self.model.handle_chat_completions({**ASKED, "stream": True}, pieces.append)
        return [choice["delta"] for piece in pieces for choice in piece["choices"]]

    def stopped(self):
        pieces = []
        self.model.handle_chat_completions({**ASKED, "stream": True}, callback=lambda one: pieces.append(one) or 1)
        return len(pieces)

    def broken(self):
        return self.model.handle_chat_completions({"messages": "none"})


class Broken(Scene):
    """A fault of ours comes first: what mends it may have one too."""

    def _with(self, name, play):
        with faults.failing(PLACES[name]):
            return play(self)

    def feed(self):
        return self._with("record.reading:Reading.feed", Httpx2.read)

    def feeder(self):
        return self._with("record.recording:Recording.feeder", Httpx2.read)

    def finish(self):
        return self._with("record.recording:Recording.finish", Httpx2.read)

    def told(self):
        return self._with("record.client:ManualCall.end", Manual.plain)

    def turn(self):
        return self._with("record.metrics:ClientMetrics.close", Httpx2.read)


@traced(model="m")
def _plain(value):
    return value


@traced(model="m")
async def _coroutine(value):
    return value


@traced(model="m")
def _generator(value):
    yield value
    yield value


@traced(model="m")
async def _async_generator(value):
    yield value
    yield value


CALLS = [
    *((kind, "read", case, CHAT) for kind in (Httpx2, Httpx2Async, Aiohttp, Requests) for case in ("whole", "stream")),
    *((kind, "read", case, CHAT) for kind in (Httpx2, Aiohttp, Requests) for case in ("inband", "cut", "missing")),
    *((kind, "leave", "hang", CHAT) for kind in (Httpx2, Httpx2Async, Aiohttp, Requests)),
    *((kind, "late", "silent", CHAT) for kind in (Httpx2, Httpx2Async, Aiohttp, Requests)),
    *((kind, "late", "hang", CHAT) for kind in (Aiohttp, Requests)),
    *((Httpx2, "read", case, CHAT) for case in ("gzip", "deflate", "br", "zstd", "redirect", "html", "eof")),
    *((kind, "read", "gzip", CHAT) for kind in (Aiohttp, Requests)),
    (Httpx2, "forget", "hang", CHAT),
    (Httpx2, "mocked", "whole", CHAT),
    (Httpx2, "elsewhere", "whole", CHAT),
    (Aiohttp, "go_on", "held", CHAT),
    (Httpx2, "read", "whole", "/llm/talk"),
    (Content, "read", "gzip", CHAT),
    (Requests, "again", "flaky", CHAT),
    *((Httpx2, "read", "whole", path) for path in ("/v1/messages", "/v1/responses", "/api/chat", "/v2/chat")),
    *((Httpx2, "read", "whole", path) for path in ("/completion", "/generate", "/v1/embeddings")),
    (Httpx2, "read", "stream", "/v1/messages"),
    (Httpx2, "read", "whole", "/v1beta/models/m:generateContent"),
    *((Httpx2, "read", "bedrock", f"/model/m/{door}") for door in ("converse", "converse-stream", "invoke")),
    (Httpx2, "read", "bedrock", "/model/m/invoke-with-response-stream"),
    *((Manual, how, "whole", CHAT) for how in ("block", "broken", "async_block", "around", "measure", "plain")),
    *(
        (Content, "read", case, path)
        for case in ("stream", "whole")
        for path in (CHAT, "/v1/messages", "/v1/responses")
    ),
    *((Content, "read", "whole", path) for path in ("/api/chat", "/v2/chat", "/v1beta/models/m:generateContent")),
    (Content, "read", "bedrock", "/model/m/converse"),
    *((Waiting, how, "whole", CHAT) for how in ("ticket", "block", "tasks", "dropped")),
    *((Local, how, "whole", CHAT) for how in ("whole", "stream", "left", "broken", "around", "tensors", "refused")),
    *((Local, how, "whole", CHAT) for how in ("streamed_tensors", "prompt", "batch", "conversation")),
    (Local, "served", "hang", CHAT),
    *((LocalAloud, how, "whole", CHAT) for how in ("stream", "chat", "batch", "conversation")),
    *((InProcess, how, "whole", CHAT) for how in ("whole", "text", "stream", "stopped", "broken")),
    *((Manual, how, "whole", CHAT) for how in ("coroutine", "generator", "async_generator", "current")),
    (Told, "block", "whole", CHAT),
    *((Dialogue, "read", f"dialogue/{name}", one.path) for name, one in DIALOGUES.items()),
    (Priced, "tokens", "whole", CHAT),
    (Priced, "any_hours", "whole", CHAT),
    (Priced, "hours", "dialogue/llamacpp", DIALOGUES["llamacpp"].path),
    (Collected, "twice", "limited", CHAT),
    *((Beside, how, "whole", CHAT) for how in ("around", "aside", "afterwards")),
    (Beside, "ended_early", "stream", CHAT),
    *((Broken, how, "stream", CHAT) for how in ("feed", "feeder", "finish", "told", "turn")),
]


def play(server, scene):
    """What a user sees of ``scene``: what came, or the exception and what it says."""
    kind, how, case, path = scene
    one = kind(server, case, path)
    try:
        return getattr(one, how)()
    except Exception as error:  # noqa: BLE001 - whatever he sees
        return type(error), str(error).partition(" at 0x")[0].replace(one.url, "URL")


def name(scene):
    kind, how, case, path = scene
    return f"{kind.__name__}-{how}-{case}{path if path != CHAT else ''}".replace("/", ".")
