"""aiohttp without an SDK."""

import aiohttp

from conformance.bodies import MODEL
from conformance.clients.wire import CHAT, TOLD


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):  # noqa: ARG002 - has no retries, is async
        self.several = {"n": 2}
        self.base = base
        wait = aiohttp.ClientTimeout(connect=timeout, sock_connect=timeout, sock_read=timeout)
        self.session = aiohttp.ClientSession(
            timeout=wait, connector=aiohttp.TCPConnector(limit=1 if order == "pool" else 100)
        )

    def close(self):
        return self.session.close()

    async def ask(self, **more):
        async with self.session.post(f"{self.base}/v1/chat/completions", json={**CHAT, **more}) as response:
            return await response.json()

    def held(self, *, usage=True, **more):
        body = {**CHAT, "stream": True, **(TOLD if usage else {}), **more}
        return self.session.post(f"{self.base}/v1/chat/completions", json=body)

    async def stream(self, **more):
        response = await self.held(**more)
        response.raise_for_status()
        return response

    def pieces(self, response):
        return aiter(response.content)

    def leave(self, response):
        response.close()

    async def embed(self):
        asked = {"model": MODEL, "input": "hi"}
        async with self.session.post(f"{self.base}/v1/embeddings", json=asked) as response:
            return await response.json()

    async def hold(self):
        return await self.session.get(self.base.replace("pool", "hold"))

    def release(self, held):
        held.close()
