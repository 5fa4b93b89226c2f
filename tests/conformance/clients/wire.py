"""httpx and httpx2 by themselves, and their clients made to order for the SDKs that stand on them."""

from conformance.bodies import MODEL

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
TOLD = {"stream_options": {"include_usage": True}}
ORDERS = {"pool": {"limits": 1}, "http2": {"http1": False, "http2": True}}
"""How a client is made for a shape that wants more than the default one."""


def made(library, order, *, asynchronous, **more):
    """A client of ``library`` as ``order`` says."""
    wanted = dict(ORDERS[order]) if order else {}
    if "limits" in wanted:
        wanted["limits"] = library.Limits(max_connections=wanted["limits"])
    return getattr(library, "AsyncClient" if asynchronous else "Client")(**wanted, **more)


class Wire:
    """The library's own words for each shape; in the async client most of them are awaited."""

    def __init__(self, library, base, *, asynchronous, timeout, order=None, retries=0):  # noqa: ARG002 - has no retries
        self.several = {"n": 2}
        self.asynchronous = asynchronous
        self.base = base
        self.http = made(library, order, asynchronous=asynchronous, timeout=timeout, trust_env=False)

    def close(self):
        return self.http.aclose() if self.asynchronous else self.http.close()

    def ask(self, **more):
        return self.http.post(f"{self.base}/v1/chat/completions", json={**CHAT, **more})

    def stream(self, *, usage=True, **more):
        body = {**CHAT, "stream": True, **(TOLD if usage else {}), **more}
        return self.http.send(
            self.http.build_request("POST", f"{self.base}/v1/chat/completions", json=body), stream=True
        )

    def held(self):
        return self.http.stream("POST", f"{self.base}/v1/chat/completions", json={**CHAT, "stream": True, **TOLD})

    def pieces(self, response):
        response.raise_for_status()
        return response.aiter_lines() if self.asynchronous else response.iter_lines()

    def leave(self, response):
        return response.aclose() if self.asynchronous else response.close()

    def embed(self):
        return self.http.post(f"{self.base}/v1/embeddings", json={"model": MODEL, "input": "hi"})

    def hold(self):
        """Take the only connection of the pool with something that is no call."""
        return self.http.send(self.http.build_request("GET", f"{self.base.replace('pool', 'hold')}"), stream=True)

    def release(self, held):
        return self.leave(held)
