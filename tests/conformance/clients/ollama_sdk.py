"""ollama, which stands on httpx."""

import ollama

from conformance.bodies import MODEL
from conformance.clients.wire import CHAT, ORDERS


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):  # noqa: ARG002 - has no retries
        self.asynchronous = asynchronous
        kind = ollama.AsyncClient if asynchronous else ollama.Client
        self.client = kind(host=base, timeout=timeout, **(ORDERS[order] if order else {}))

    def close(self):
        http = self.client._client
        return http.aclose() if self.asynchronous else http.close()

    def ask(self, **more):
        return self.client.chat(**CHAT, **more)

    def stream(self, *, usage=True, **more):  # noqa: ARG002 - usage is always told
        return self.client.chat(**CHAT, stream=True, **more)

    def leave(self, stream):
        return stream.aclose() if self.asynchronous else stream.close()

    def embed(self):
        return self.client.embed(model=MODEL, input="hi")
