"""An application as a user has it: calls through httpx, told on standard input how they end. Started by tests."""

import logging
import sys

import httpx

import otel_llm

logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
otel_llm.instrument()
ANSWERS = {
    200: {"model": "m", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
    500: {"error": {"code": "down"}},
}
sys.stdout.write("ready\n")
sys.stdout.flush()
for line in sys.stdin:
    status = int(line)
    transport = httpx.MockTransport(lambda _, status=status: httpx.Response(status, json=ANSWERS[status]))
    with httpx.Client(transport=transport) as client:
        client.post("https://api.openai.com/v1/chat/completions", json={"model": "m", "messages": [{"content": "?"}]})
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()
