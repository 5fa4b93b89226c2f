"""google-genai, which stands on httpx."""

from google import genai
from google.genai import types

from conformance.bodies import MODEL
from conformance.clients.wire import ORDERS

RETRIES = {"initial_delay": 0.02, "max_delay": 0.05, "jitter": 0.0}


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):
        self.several = {"config": types.GenerateContentConfig(candidate_count=2)}
        self.base = base
        self.asynchronous = asynchronous
        args = dict(ORDERS[order]) if order == "http2" else {}
        options = types.HttpOptions(
            base_url=base,
            timeout=round(timeout * 1000),
            retry_options=types.HttpRetryOptions(attempts=retries + 1, **RETRIES),
            client_args=args,
            async_client_args=args,
        )
        self.client = genai.Client(api_key="none", http_options=options)
        self.models = self.client.aio.models if asynchronous else self.client.models

    def close(self):
        return self.client.aio.aclose() if self.asynchronous else self.client.close()

    def ask(self, **more):
        return self.models.generate_content(model=MODEL, contents="hi", **more)

    def stream(self, *, usage=True, **more):  # noqa: ARG002 - usage is always told
        return self.models.generate_content_stream(model=MODEL, contents="hi", **more)

    def leave(self, stream):
        return stream.aclose() if self.asynchronous else stream.close()

    def embed(self):
        return self.models.embed_content(model=MODEL, contents="hi")
