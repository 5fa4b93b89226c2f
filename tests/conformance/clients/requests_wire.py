"""requests (urllib3) without an SDK."""

import requests

from conformance.bodies import MODEL
from conformance.clients.wire import CHAT, TOLD


class Client:
    def __init__(self, base, *, asynchronous, timeout, order=None, retries=0):  # noqa: ARG002 - is sync, has no orders
        self.several = {"n": 2}
        self.base = base
        self.timeout = timeout
        self.session = requests.Session()
        again = requests.adapters.Retry(retries, status_forcelist=[429], allowed_methods=None)
        self.session.mount("http://", requests.adapters.HTTPAdapter(max_retries=again))

    def close(self):
        self.session.close()

    def _post(self, path, body, **more):
        response = self.session.post(f"{self.base}/v1/{path}", json=body, timeout=self.timeout, **more)
        response.raise_for_status()
        return response

    def ask(self, **more):
        return self._post("chat/completions", {**CHAT, **more}).json()

    def stream(self, *, usage=True, **more):
        body = {**CHAT, "stream": True, **(TOLD if usage else {}), **more}
        return self._post("chat/completions", body, stream=True)

    def held(self):
        return self.stream()

    def pieces(self, response):
        return response.iter_lines(chunk_size=1)

    def leave(self, response):
        response.close()

    def embed(self):
        return self._post("embeddings", {"model": MODEL, "input": "hi"}).json()
