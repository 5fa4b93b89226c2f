"""litellm, which calls OpenAI's format through the openai SDK: sync on httpx, async on aiohttp."""

import litellm

from conformance.bodies import MODEL
from conformance.clients.wire import CHAT, TOLD

litellm.suppress_debug_info = True
litellm.telemetry = False


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):  # noqa: ARG002 - makes its own HTTP client
        self.several = {"n": 2}
        self.asynchronous = asynchronous
        self.how = {"api_base": f"{base}/v1", "api_key": "none", "timeout": timeout, "max_retries": retries}

    def close(self):
        """It keeps its clients for the process."""

    def _call(self, name, **asked):
        return getattr(litellm, f"a{name}" if self.asynchronous else name)(**asked, **self.how)

    def ask(self, **more):
        return self._call("completion", **{**CHAT, "model": f"openai/{MODEL}"}, **more)

    def stream(self, *, usage=True, **more):
        return self.ask(stream=True, **(TOLD if usage else {}), **more)

    def leave(self, stream):
        return stream.aclose()

    def responses(self):
        return self._call("responses", model=f"openai/{MODEL}", input="hi")

    def responses_stream(self):
        return self._call("responses", model=f"openai/{MODEL}", input="hi", stream=True)

    def embed(self):
        return self._call("embedding", model=f"openai/{MODEL}", input=["hi"])
