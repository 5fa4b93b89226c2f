"""Every way to read an answer, by every client: what `test_hostile` compares with and without us."""

import asyncio
import hashlib
import re
import socket

import aiohttp
import hostile
import httpx
import httpx2
import openai
import requests
import urllib3

CHAT = "/v1/chat/completions"
BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
SOME = 20
TURNS = 10
"""Of an event loop: each reads once from every socket that has something."""


def settled(base):
    """Wait until the server has said all that it is going to say; how many connections it has had."""
    with socket.create_connection(base.removeprefix("http://").split(":"), hostile.LONGEST) as connection:
        connection.sendall(hostile.SETTLED)
        return int(connection.makefile().readline())


async def _settled(base):
    """The same, and have the event loop take it all."""
    await asyncio.to_thread(settled, base)
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Seen:
    """What a reader sees of one answer; bytes only as their digest."""

    def __init__(self):
        self.head = None
        self.size = 0
        self.error = None
        self.next = None
        """What the call after it got over the same client: its status, or the exception."""
        self._digest = hashlib.sha256()

    def take(self, data):
        self.size += len(data)
        self._digest.update(data)

    def told(self):
        return (self.head, self.size, self._digest.hexdigest(), self.error, self.next)


def tell(error):
    """An exception with what led to it, without addresses in memory."""
    chain = []
    while error is not None and len(chain) < 9:
        text = re.sub(r"0x[0-9a-f]+|scope [0-9a-f]+|\('127\.0\.0\.1', \d+\)", "X", str(error))
        chain.append((type(error).__module__, type(error).__qualname__, text))
        error = error.__cause__ or error.__context__
    return chain


def head_of(response):
    return [(name.lower(), value) for name, value in response.headers.items()], type(response).__name__


def _encode(pieces):
    return (piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece for piece in pieces)


OF_HTTPX = {
    "bytes": lambda response: response.iter_bytes(),
    "raw": lambda response: response.iter_raw(),
    "lines": lambda response: (line + "\n" for line in response.iter_lines()),
    "left": lambda response: [next(response.iter_raw(SOME), b"")],
    "unread": lambda _response: (),
}
OF_REQUESTS = {
    "content": lambda response: [response.content],
    "pieces": lambda response: response.iter_content(SOME * 10),
    "lines": lambda response: (line + b"\n" for line in response.iter_lines()),
    "left": lambda response: [next(response.iter_content(SOME), b"")],
    "unread": lambda _response: (),
}
OF_URLLIB3 = {
    "data": lambda response: [response.data],
    "stream": lambda response: response.stream(100),
    "raw": lambda response: response.stream(65_536, decode_content=False),
    "left": lambda response: [response.read(SOME)],
    "unread": lambda _response: (),
}


def of_httpx(library, how, base, path, wait):
    seen = Seen()
    with library.Client(base_url=base, trust_env=False, verify=False, timeout=wait, follow_redirects=True) as client:
        try:
            if how == "read":
                response = client.post(path, json=BODY)
                seen.head = response.status_code, head_of(response), len(response.history)
                seen.take(response.content)
            else:
                with client.stream("POST", path, json=BODY) as response:
                    seen.head = response.status_code, head_of(response)
                    for piece in _encode(OF_HTTPX[how](response)):
                        seen.take(piece)
                    if how == "left":
                        settled(base)
        except Exception as error:  # noqa: BLE001 - what the user gets is what is compared
            seen.error = tell(error)
        settled(base)
        try:
            seen.next = client.post("/sound_whole" + CHAT, json=BODY).status_code
        except Exception as error:  # noqa: BLE001
            seen.next = tell(error)
    return seen.told()


async def _of_httpx_async(library, how, base, path, wait):
    seen = Seen()
    async with library.AsyncClient(
        base_url=base, trust_env=False, verify=False, timeout=wait, follow_redirects=True
    ) as client:
        try:
            if how == "read":
                response = await client.post(path, json=BODY)
                seen.head = response.status_code, head_of(response), len(response.history)
                seen.take(response.content)
            elif how == "cancelled":
                async with asyncio.timeout(wait / 2):
                    response = await client.post(path, json=BODY, timeout=60)
                    seen.head = response.status_code, head_of(response), len(response.history)
                    seen.take(response.content)
            else:
                async with client.stream("POST", path, json=BODY) as response:
                    seen.head = response.status_code, head_of(response)
                    pieces = response.aiter_raw(SOME) if how == "left" else response.aiter_bytes()
                    async for piece in pieces:
                        seen.take(piece)
                        if how == "left":
                            await _settled(base)
                            break
        except Exception as error:  # noqa: BLE001
            seen.error = tell(error)
        await _settled(base)
        try:
            seen.next = (await client.post("/sound_whole" + CHAT, json=BODY)).status_code
        except Exception as error:  # noqa: BLE001
            seen.next = tell(error)
    return seen.told()


def of_httpx_async(*arguments):
    return asyncio.run(_of_httpx_async(*arguments))


LONGEST = 240.0
"""Most time that a reader may take, a stream of 200 MB too [s]."""


async def _of_aiohttp(how, base, path, wait):
    seen = Seen()
    limit = aiohttp.ClientTimeout(sock_read=wait)
    async with aiohttp.ClientSession(base, timeout=limit) as session:
        try:
            async with session.post(path, json=BODY) as response:
                seen.head = response.status, repr(response.raw_headers), len(response.history)
                if how == "read":
                    seen.take(await response.read())
                elif how == "left":
                    seen.take(await response.content.read(1))
                elif how == "any":
                    async for piece in response.content.iter_any():
                        seen.take(piece)
                elif how == "lines":
                    async for line in response.content:
                        seen.take(line)
                if how in {"left", "unread"}:
                    await _settled(base)
        except Exception as error:  # noqa: BLE001
            seen.error = tell(error)
        await _settled(base)
        try:
            async with session.post("/sound_whole" + CHAT, json=BODY) as response:
                await response.read()
                seen.next = response.status
        except Exception as error:  # noqa: BLE001
            seen.next = tell(error)
    return seen.told()


def of_aiohttp(*arguments):
    return asyncio.run(asyncio.wait_for(_of_aiohttp(*arguments), LONGEST))


def of_requests(how, base, path, wait):
    seen = Seen()
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.post(base + path, json=BODY, stream=how != "content", timeout=wait) as response:
                seen.head = response.status_code, head_of(response), len(response.history)
                for piece in OF_REQUESTS[how](response):
                    seen.take(piece)
                if how in {"left", "unread"}:
                    settled(base)
        except Exception as error:  # noqa: BLE001
            seen.error = tell(error)
        settled(base)
        try:
            seen.next = session.post(base + "/sound_whole" + CHAT, json=BODY, timeout=wait).status_code
        except Exception as error:  # noqa: BLE001
            seen.next = tell(error)
    return seen.told()


def of_urllib3(how, base, path, wait):
    seen = Seen()
    with urllib3.PoolManager(timeout=wait, retries=urllib3.Retry(2, redirect=3, read=False)) as pool:
        response = None
        try:
            response = pool.request("POST", base + path, json=BODY, preload_content=how == "data")
            seen.head = response.status, head_of(response)
            for piece in OF_URLLIB3[how](response):
                seen.take(piece)
            if how in {"left", "unread"}:
                settled(base)
        except Exception as error:  # noqa: BLE001
            seen.error = tell(error)
        finally:
            if response is not None:
                response.close() if how == "unread" else response.release_conn()
        settled(base)
        try:
            seen.next = pool.request("POST", base + "/sound_whole" + CHAT, json=BODY).status
        except Exception as error:  # noqa: BLE001
            seen.next = tell(error)
    return seen.told()


def of_openai(how, base, path, wait):
    seen = Seen()
    door = base + path.removesuffix("/chat/completions")
    with (
        httpx2.Client(trust_env=False, verify=False, timeout=wait, follow_redirects=True) as http,
        openai.OpenAI(api_key="k", base_url=door, max_retries=0, http_client=http) as client,
    ):
        try:
            asked = client.chat.completions.create(model="m", messages=BODY["messages"], stream=how == "stream")
            for part in asked if how == "stream" else [asked]:
                seen.take(repr(part).encode("utf-8", "surrogatepass"))
        except Exception as error:  # noqa: BLE001
            seen.error = tell(error)
    return seen.told()


def readers():
    """Each way to read, as a function of base, path and longest wait [s]; by name."""
    ways = {}

    def add(name, function, *first):
        ways[name] = lambda base, path, wait: function(*first, base, path, wait)

    for library in (httpx, httpx2):
        for how in ("read", *OF_HTTPX):
            add(f"{library.__name__}-{how}", of_httpx, library, how)
        for how in ("read", "bytes", "left", "cancelled"):
            add(f"{library.__name__}-async-{how}", of_httpx_async, library, how)
    for how in ("read", "any", "lines", "left", "unread"):
        add(f"aiohttp-{how}", of_aiohttp, how)
    for how in OF_REQUESTS:
        add(f"requests-{how}", of_requests, how)
    for how in OF_URLLIB3:
        add(f"urllib3-{how}", of_urllib3, how)
    for how in ("whole", "stream"):
        add(f"openai-{how}", of_openai, how)
    return ways


READERS = readers()
