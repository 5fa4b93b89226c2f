"""anthropic 0.x (on httpx) and 2 (on httpx2)."""

import importlib

import anthropic

from conformance.clients.wire import CHAT, made

HTTP = importlib.import_module("httpx2" if int(anthropic.__version__.partition(".")[0]) >= 1 else "httpx")
CALL = {**CHAT, "max_tokens": 100}


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):
        self.base = base
        self.asynchronous = asynchronous
        self.http = made(HTTP, order, asynchronous=asynchronous, timeout=timeout) if order else None
        kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        self.client = kind(base_url=base, api_key="none", timeout=timeout, max_retries=retries, http_client=self.http)

    def close(self):
        return self.client.close()

    def ask(self, **more):
        return self.client.messages.create(**CALL, **more)

    def stream(self, *, usage=True, **more):  # noqa: ARG002 - usage is always told
        return self.client.messages.create(**CALL, stream=True, **more)

    def held(self):
        return self.stream()

    def leave(self, stream):
        return stream.close()

    def raw(self):
        return self.client.messages.with_raw_response.create(**CALL)

    def streaming(self):
        return self.client.messages.with_streaming_response.create(**CALL, stream=True)

    def lines(self, response):
        return response.iter_lines()

    def helper(self):
        return self.client.messages.stream(**CALL)

    def post(self):
        return self.client.post("/v1/messages", body=CALL, cast_to=object)

    def hold(self):
        return self.http.send(self.http.build_request("GET", self.base.replace("pool", "hold")), stream=True)

    def release(self, held):
        return held.aclose() if self.asynchronous else held.close()
