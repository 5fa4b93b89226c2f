"""openai 2 (on httpx) and 3 (on httpx2)."""

import importlib

import openai

from conformance.bodies import MODEL
from conformance.clients.wire import CHAT, TOLD, made

HTTP = importlib.import_module("httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx")


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):
        self.several = {"n": 2}
        self.base = base
        self.asynchronous = asynchronous
        self.http = made(HTTP, order, asynchronous=asynchronous, timeout=timeout) if order else None
        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        self.client = kind(
            base_url=f"{base}/v1", api_key="none", timeout=timeout, max_retries=retries, http_client=self.http
        )

    def close(self):
        return self.client.close()

    def ask(self, **more):
        return self.client.chat.completions.create(**CHAT, **more)

    def stream(self, *, usage=True, **more):
        return self.client.chat.completions.create(**CHAT, stream=True, **(TOLD if usage else {}), **more)

    def held(self):
        return self.stream()

    def leave(self, stream):
        return stream.close()

    def raw(self):
        return self.client.chat.completions.with_raw_response.create(**CHAT)

    def streaming(self):
        return self.client.chat.completions.with_streaming_response.create(**CHAT, stream=True, **TOLD)

    def lines(self, response):
        return response.iter_lines()

    def helper(self):
        return self.client.chat.completions.stream(**CHAT, **TOLD)

    def responses(self):
        return self.client.responses.create(model=MODEL, input="hi")

    def responses_stream(self):
        return self.client.responses.create(model=MODEL, input="hi", stream=True)

    def embed(self):
        return self.client.embeddings.create(model=MODEL, input="hi", encoding_format="float")

    def post(self):
        return self.client.post("/chat/completions", body=CHAT, cast_to=object)

    def hold(self):
        return self.http.send(self.http.build_request("GET", self.base.replace("pool", "hold")), stream=True)

    def release(self, held):
        return held.aclose() if self.asynchronous else held.close()
