"""Recorded exchanges of real providers, replayed in pieces cut anywhere, are told right.

The recordings are not part of this project. Where they lie beside the checkout (``../shared``), these tests exist.
"""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import httpx2
import pytest

from otel_llm import semconv

SHARED = Path(os.environ.get("OTEL_LLM_SHARED") or Path(__file__).parents[3] / "shared")
FIELDS = {
    "operation": semconv.OPERATION_NAME,
    "request_model": semconv.REQUEST_MODEL,
    "response_model": semconv.RESPONSE_MODEL,
    "response_id": semconv.RESPONSE_ID,
    "finish_reasons": semconv.RESPONSE_FINISH_REASONS,
    "input_tokens": semconv.USAGE_INPUT_TOKENS,
    "output_tokens": semconv.USAGE_OUTPUT_TOKENS,
    "cache_read_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_creation_tokens": semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,
    "reasoning_tokens": semconv.USAGE_REASONING_OUTPUT_TOKENS,
    "request_temperature": semconv.REQUEST_TEMPERATURE,
    "request_top_p": semconv.REQUEST_TOP_P,
    "request_max_tokens": semconv.REQUEST_MAX_TOKENS,
    "request_stream": semconv.REQUEST_STREAM,
    "status_code": semconv.HTTP_RESPONSE_STATUS_CODE,
    "error_type": semconv.ERROR_TYPE,
    "error_code": semconv.ERROR_CODE,
    "retry_after": semconv.RETRY_AFTER,
}
LIMITS = {
    "limit_requests": semconv.RATELIMIT_LIMIT_REQUESTS,
    "limit_tokens": semconv.RATELIMIT_LIMIT_TOKENS,
    "remaining_requests": semconv.RATELIMIT_REMAINING_REQUESTS,
    "remaining_tokens": semconv.RATELIMIT_REMAINING_TOKENS,
}

AMENDED = {
    # A stream of completions: its last event says all three, the list of what is expected does not.
    "s-bedrock-045": {"finish_reasons": [["stop_sequence"]], "input_tokens": [16], "output_tokens": [63]},
}
"""Right answers that the recordings' own list lacks, and why."""


def exchanges():
    for file in sorted((SHARED / "transcripts").glob("*/[0-9]*.json")):
        yield json.loads(file.read_text())


def faults(exchange, spans, *, by_host):
    """What the spans of one exchange say wrong, a line each."""
    if len(spans) != int(exchange["expected"]["span"]):
        return [f"{exchange['id']}: {len(spans)} spans"]
    if not spans:
        return []
    said = dict(spans[0].attributes)
    if said.get(semconv.USAGE_SOURCE) == "estimated":
        said.pop(semconv.USAGE_OUTPUT_TOKENS)
    return [*wrong_facts(exchange, said, by_host=by_host), *wrong_times(exchange, said)]


def accepted_answers(exchange):
    """Every right answer by field. Bedrock's head counts tokens too; the list of what is expected knows bodies only."""
    also = AMENDED.get(exchange["id"], {})
    accepted = {
        key: [exchange["expected"].get(key), *exchange["accept"].get(key, []), *also.get(key, [])]
        for key in (*FIELDS, "provider")
    }
    for kind in ("input", "output"):
        counted = exchange["response"]["headers"].get(f"x-amzn-bedrock-{kind}-token-count")
        if counted is not None and accepted[f"{kind}_tokens"] == [None]:
            accepted[f"{kind}_tokens"] = [int(counted)]
    return accepted


def wrong_facts(exchange, said, *, by_host):
    expected, name = exchange["expected"], exchange["id"]
    accepted = accepted_answers(exchange)
    found = []
    for key, attribute in FIELDS.items():
        value = said.get(attribute)
        value = list(value) if isinstance(value, tuple) else value
        if key not in exchange["unsure"] and value not in accepted[key]:
            found.append(f"{name} {exchange['request']['host']}: {key} is {value!r}, not {accepted[key]!r}")
    for key, attribute in LIMITS.items():
        if (expected["ratelimit"] or {}).get(key) != said.get(attribute):
            found.append(f"{name}: {key} is {said.get(attribute)!r}, not {expected['ratelimit']!r}")
    names = accepted["provider"] if by_host else expected["provider_by_format"]
    if "provider" not in exchange["unsure"] and names and names != [None]:
        value = said.get(semconv.PROVIDER_NAME)
        if value not in names:
            found.append(f"{name} {exchange['request']['host']}: provider is {value!r}, not {names!r}")
    return found


def wrong_times(exchange, said):
    expected, name = exchange["expected"], exchange["id"]
    found = []
    if expected["is_stream"] and expected["status_code"] == 200 and expected["content_events"]:
        first_chunk, first_token = said.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK), said.get(semconv.TIME_TO_FIRST_TOKEN)
        if first_chunk is None or first_token is None or not 0 < first_chunk <= first_token:
            found.append(f"{name}: first chunk {first_chunk!r}, first token {first_token!r}")
    if not expected["is_stream"] and semconv.RESPONSE_TIME_TO_FIRST_CHUNK in said:
        found.append(f"{name}: a first chunk without a stream")
    return found


def ask(exchange, port, seed, *, by_host):
    """Method, URL, headers and body of a request that the replay server answers with the exchange."""
    request = exchange["request"]
    headers = {**request["headers"], "x-replay-id": f"{exchange['id']}~{seed}", "accept-encoding": "gzip, deflate, br"}
    if by_host:
        url = f"http://{request['host'].partition(':')[0]}:{port}{request['path']}"
    else:
        url = f"http://127.0.0.1:{port}/x/{exchange['id']}~{seed}{request['path']}"
    if request["query"]:
        url += f"?{request['query']}"
    return request["method"], url, headers, (request["body"] or "").encode()


if (SHARED / "transcripts").is_dir():

    @pytest.fixture(scope="module")
    def replay():
        command = [sys.executable, str(SHARED / "tools" / "replay_server.py"), str(SHARED / "transcripts")]
        with subprocess.Popen([*command, "--cut", "random"], stdout=subprocess.PIPE, text=True) as server:
            yield int(server.stdout.readline().rpartition(":")[2])
            server.terminate()

    @pytest.fixture
    def resolve(monkeypatch):
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *args, **more: real("127.0.0.1", *args, **more))

    @pytest.mark.parametrize("by_host", [True, False], ids=["host", "loopback"])
    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    def test_every_exchange_is_told_right_sync(replay, resolve, recorded, library, by_host):
        found = []
        seeds = itertools.count(1)
        with library.Client(timeout=10, trust_env=False) as client:
            for exchange in exchanges():
                method, url, headers, body = ask(exchange, replay, next(seeds), by_host=by_host)
                with client.stream(method, url, headers=headers, content=body) as response:
                    for _ in response.iter_raw():
                        pass
                found += faults(exchange, recorded.take(), by_host=by_host)
        assert not found, f"{len(found)} faults:\n" + "\n".join(found[:40])

    @pytest.mark.parametrize("by_host", [True, False], ids=["host", "loopback"])
    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    def test_every_exchange_is_told_right_async(replay, resolve, recorded, library, by_host):
        async def run():
            found = []
            async with library.AsyncClient(timeout=10, trust_env=False) as client:
                for seed, exchange in enumerate(exchanges(), 5000):
                    method, url, headers, body = ask(exchange, replay, seed, by_host=by_host)
                    async with client.stream(method, url, headers=headers, content=body) as response:
                        async for _ in response.aiter_raw():
                            pass
                    found += faults(exchange, recorded.take(), by_host=by_host)
            return found

        found = asyncio.run(run())
        assert not found, f"{len(found)} faults:\n" + "\n".join(found[:40])
