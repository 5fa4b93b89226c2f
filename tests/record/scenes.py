"""Calls of every shape, by every client, as a user would make them: what `test_faults` plays with a fault inside."""

import asyncio
import gc
import importlib
import sys
from itertools import count
from pathlib import Path

import aiohttp
import httpx2
import requests
import urllib3

from otel_llm.record.client import call, metric
from otel_llm.record.decorator import traced
from otel_llm.record.queues import queue

STAND_INS = str(Path(__file__).with_name("stand_ins"))
CHAT = "/v1/chat/completions"
BODY = {"model": "m", "stream": True, "messages": []}
LATE = 0.05
"""[s]"""
fresh = count()


class Wrong(Exception):  # noqa: N818
    """The user's own."""


class Scene:
    """One way to make a call; returns or raises what its user sees."""

    def __init__(self, server, case, path):
        self.url = f"http://127.0.0.1:{server.port}/{case}/{next(fresh)}{path}"


class Httpx2(Scene):
    def read(self, body=BODY):
        with httpx2.Client(trust_env=False, verify=False, follow_redirects=True, timeout=5) as client:
            response = client.post(self.url, json=body)
            return response.status_code, response.content, sorted(response.extensions)

    def leave(self):
        with (
            httpx2.Client(trust_env=False, verify=False) as client,
            client.stream("POST", self.url, json=BODY) as response,
        ):
            return next(response.iter_bytes(20))

    def forget(self):
        with httpx2.Client(trust_env=False, verify=False) as client:
            request = client.build_request("POST", self.url, json=BODY)
            pieces = client.send(request, stream=True).iter_bytes(20)
            first = next(pieces)
            del pieces
            gc.collect()
            return first

    def late(self):
        with httpx2.Client(trust_env=False, verify=False, timeout=LATE) as client:
            return client.post(self.url, json=BODY).content

    def mocked(self):
        transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json={"model": "m"}))
        with httpx2.Client(transport=transport) as client:
            return client.post("http://127.0.0.1" + CHAT, json=BODY).content


class Content(Scene):
    """Its content is captured."""

    def read(self):
        said = {"role": "user", "content": "hi"}
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        parts = [{"role": "user", "parts": [{"text": "hi"}]}]
        return Httpx2.read(self, {**BODY, "messages": [said], "tools": [tool], "system": "s", "contents": parts})


class Httpx2Async(Scene):
    def read(self):
        async def read():
            async with httpx2.AsyncClient(trust_env=False, verify=False, follow_redirects=True, timeout=5) as client:
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

    def leave(self):
        return self._run(lambda response: response.content.readexactly(20))

    def late(self):
        return self._run(lambda response: response.read(), timeout=aiohttp.ClientTimeout(LATE))


class Requests(Scene):
    def read(self):
        with requests.Session() as session:
            response = session.post(self.url, json=BODY, timeout=5)
            return response.status_code, response.content

    def leave(self):
        with requests.Session() as session, session.post(self.url, json=BODY, stream=True, timeout=5) as response:
            return next(response.iter_content(20))

    def late(self):
        with requests.Session() as session:
            return session.post(self.url, json=BODY, timeout=LATE).content

    def again(self):
        with urllib3.PoolManager(retries=urllib3.Retry(3, status_forcelist=[429], allowed_methods=None)) as pool:
            return pool.request("POST", self.url, json=BODY).data


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

    def tensors(self):
        module = self._of("transformers.generation.utils")
        return module.GenerationMixin().generate(module.Tensor(1, 3), max_new_tokens=2).shape


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
    *((Waiting, how, "whole", CHAT) for how in ("ticket", "block", "tasks")),
    *((Local, how, "whole", CHAT) for how in ("whole", "stream", "left", "broken", "around", "tensors")),
    *((Manual, how, "whole", CHAT) for how in ("coroutine", "generator", "async_generator")),
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
