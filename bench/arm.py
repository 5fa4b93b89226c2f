"""One arm, in the environment of what it measures: the same calls through the openai SDK. Prints JSON.

``python bench/arm.py ARM MODE``: ``cost`` measures the process before the instrumentation is switched on and after,
``memory`` and ``lag`` with it on, ``start`` only switches it on. The transport is replaced in the process, so no
network and no server disturb the figures; exporters write to nowhere. Costs are CPU time of the process [us].
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import peers

try:
    import httpx2
except ImportError:  # openai 2.x
    import httpx as httpx2  # type: ignore[no-redef]

CHUNKS = 200
CALLS = 150
STREAMS = 6
BATCH = 2

MESSAGES: Any = [{"role": "user", "content": "Tell me about distributed tracing. " * 20}]
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": CHUNKS,
    "total_tokens": 120 + CHUNKS,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
HEAD = {"id": "chatcmpl-1234567890abcdef", "created": 1_790_000_000, "model": "gpt-4o-mini-2024-07-18"}
WHOLE = json.dumps(
    {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 150}, "finish_reason": "stop"},
        ],
        "usage": USAGE,
    }
).encode()


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {**HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


PIECES = [
    _event({"role": "assistant", "content": ""}),
    *[_event({"content": f" word{number}"}) for number in range(CHUNKS)],
    _event({}, "stop"),
    b"data: "
    + json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}).encode()
    + b"\n\n",
    b"data: [DONE]\n\n",
]


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def _answer(request: httpx2.Request) -> httpx2.Response:
    if b'"stream":true' in request.content:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(PIECES))
    return httpx2.Response(200, headers={"content-type": "application/json"}, stream=Pieces([WHOLE]))


class Transport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers in the process."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer at once."""
        return _answer(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer at once."""
        return _answer(request)


def _cpu(work: Any, times: int) -> float:
    """CPU time of one ``work()`` [us]: the least of ``times`` short batches, for a busy machine only ever adds."""
    for _ in range(BATCH * 4):
        work()
    gc.collect()
    figures = []
    for _ in range(times):
        started = time.process_time_ns()
        for _ in range(BATCH):
            work()
        figures.append((time.process_time_ns() - started) / BATCH / 1000)
    return min(figures)


def _measure_sync() -> dict[str, float]:
    client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=Transport()))

    def call() -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    def stream() -> None:
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
            pass

    return {"call": _cpu(call, CALLS), "stream": _cpu(stream, STREAMS)}


def _measure_async() -> dict[str, float]:
    loop = asyncio.new_event_loop()
    client = openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=Transport()))

    async def call() -> None:
        await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    async def stream() -> None:
        async for _ in await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
            pass

    return {
        "async_call": _cpu(lambda: loop.run_until_complete(call()), CALLS),
        "async_stream": _cpu(lambda: loop.run_until_complete(stream()), STREAMS),
    }


def _rss() -> int:
    """Resident memory of this process [B]."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _measure_memory(calls: int, streams: int) -> dict[str, int]:
    """Resident memory after a few calls, and what it grows by over ``calls`` calls and ``streams`` left streams [B]."""
    client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=Transport()))

    def call(times: int) -> None:
        for _ in range(times):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    def leave(times: int) -> None:
        for _ in range(times):
            next(iter(client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)))

    call(500)
    leave(50)
    first = _rss()
    call(calls)
    called = _rss()
    leave(streams)
    time.sleep(1)
    return {"rss": first, "growth_calls": called - first, "growth_streams": _rss() - called}


TICK = 0.005
"""Between two looks at the event loop's clock [s]."""

PAUSE = 0.25
"""Between two pieces of a stream [s]."""


class Paced(Transport):
    """Answers with streams whose pieces take their time."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002 - the signature
        """A stream of some thirty pieces."""
        pieces = [*PIECES[:28], *PIECES[-3:]]

        class Slowly(Pieces):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for piece in self._pieces:
                    await asyncio.sleep(PAUSE)
                    yield piece

        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Slowly(pieces))


def _measure_lag(streams: int) -> dict[str, float]:
    """How late the event loop is while ``streams`` streams run at once [s]."""
    late: list[float] = []

    async def watch() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - due)

    async def run() -> None:
        client = openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=Paced()))

        async def stream(number: int) -> None:
            await asyncio.sleep(number * 4 / streams)
            async for _ in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                pass

        await stream(0)
        watcher = asyncio.create_task(watch())
        await asyncio.gather(*(stream(number) for number in range(streams)))
        watcher.cancel()

    asyncio.run(run())
    late.sort()
    return {
        "median": late[len(late) // 2],
        "p99": late[int(len(late) * 0.99)],
        "max": late[-1],
        "streams": streams + 1,
        **peers.kept(sys.argv[1]),
    }


def main() -> None:
    """Print the arm's figures."""
    arm, mode = sys.argv[1], sys.argv[2]
    switch_on = peers.PEERS[arm].switch_on
    figures: dict[str, Any] = {}
    if mode == "cost":
        figures["bare"] = {**_measure_sync(), **_measure_async()}
    switch_on()
    if mode == "cost":
        figures.update({"with": {**_measure_sync(), **_measure_async()}, "chunks": len(PIECES)})
    elif mode == "memory":
        figures = _measure_memory(int(sys.argv[3]), int(sys.argv[4]))
    elif mode == "lag":
        figures = _measure_lag(int(sys.argv[3]))
    print(json.dumps(figures), flush=True)
    os._exit(0)  # what instrumentations do at exit is not measured here


if __name__ == "__main__":
    main()
