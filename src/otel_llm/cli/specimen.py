"""One call of each covered HTTP library to a server of its own: what ``otel-llm doctor`` runs to prove recording works.

Started as ``opentelemetry-instrument python -m otel_llm.cli.specimen`` in a process of its own, it is an application
like any other: it knows nothing of being recorded. It prints the libraries that it called with.
"""

import importlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from typing import Any, Final

LIBRARIES: Final = ("httpx", "httpx2", "urllib3")
INPUT_TOKENS: Final = 7
OUTPUT_TOKENS: Final = 3
_TIMEOUT: Final = 10.0
"""Most time for a call [s]."""
_POLL: Final = 0.01
"""How soon the server sees that it is to stop [s]."""

_QUESTION: Final = {"model": "otel-llm-doctor", "messages": [{"role": "user", "content": "Are you there?"}]}
_ANSWER: Final = {
    "id": "chatcmpl-doctor",
    "object": "chat.completion",
    "created": 0,
    "model": "otel-llm-doctor",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "I am."}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    },
}


class _Model(BaseHTTPRequestHandler):
    """Answers every POST with the same body."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(_ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Keep quiet."""


def _call(library: Any, url: str) -> None:
    if library.__name__ == "urllib3":
        library.PoolManager(timeout=_TIMEOUT).request("POST", url, body=json.dumps(_QUESTION).encode())
        return
    # The user's proxy would carry even this call away.
    with library.Client(trust_env=False, timeout=_TIMEOUT) as client:
        client.post(url, json=_QUESTION).raise_for_status()


def main() -> None:
    """Call, and print who called."""
    with HTTPServer(("127.0.0.1", 0), _Model) as server:
        threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
        for name in LIBRARIES:
            if find_spec(name) is None:
                continue
            _call(importlib.import_module(name), url)
            print(name)  # noqa: T201 - the parent reads it
        server.shutdown()


if __name__ == "__main__":
    main()
