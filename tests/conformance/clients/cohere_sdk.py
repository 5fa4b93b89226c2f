"""cohere, version 2 of its API, which stands on httpx or httpx2."""

import cohere
import httpx

from conformance.bodies import MODEL
from conformance.clients.wire import CHAT, made


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):
        self.base = base
        self.asynchronous = asynchronous
        self.http = made(httpx, order, asynchronous=asynchronous, timeout=timeout)
        kind = cohere.AsyncClientV2 if asynchronous else cohere.ClientV2
        self.client = kind(api_key="none", base_url=base, timeout=timeout, httpx_client=self.http)
        self.options = {"max_retries": retries}

    def close(self):
        return self.http.aclose() if self.asynchronous else self.http.close()

    def ask(self, **more):
        return self.client.chat(**CHAT, request_options=self.options, **more)

    def stream(self, *, usage=True, **more):  # noqa: ARG002 - usage is always told
        return self.client.chat_stream(**CHAT, request_options=self.options, **more)

    def leave(self, stream):
        return stream.aclose() if self.asynchronous else stream.close()

    def raw(self):
        return self.client.with_raw_response.chat(**CHAT, request_options=self.options)

    def streaming(self):
        return self.client.with_raw_response.chat_stream(**CHAT, request_options=self.options)

    def lines(self, response):
        return response.data

    def embed(self):
        asked = {"input_type": "search_query", "embedding_types": ["float"], "texts": ["hi"]}
        return self.client.embed(model=MODEL, request_options=self.options, **asked)

    def hold(self):
        return self.http.send(self.http.build_request("GET", self.base.replace("pool", "hold")), stream=True)

    def release(self, held):
        return held.aclose() if self.asynchronous else held.close()
