"""An application that calls a model server of its own twice, as `test_gpu.py` starts it."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx

import otel_llm

ANSWER = {
    "model": "m",
    "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}],
    "usage": {"completion_tokens": 9},
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(1.0)
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Say nothing."""


otel_llm.instrument()
server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(2):
    httpx.post(f"http://127.0.0.1:{server.server_port}/v1/chat/completions", json={"model": "m", "messages": []})
time.sleep(1.0)
otel_llm.flush()
