"""One arm, in the environment of what it measures: the same calls through the openai SDK. Prints JSON.

``python bench/arm.py ARM MODE``: ``memory`` and ``lag`` measure with the instrumentation on, ``start`` only switches it
on; ``cost`` does batches as it is told on its standard input, for whoever has several arms take turns; ``pairs N`` does
N streams and calls, each with recording and right beside it with instrumentation suppressed. The transport is
replaced in the process, so no network and no server disturb the figures; exporters write to nowhere.
"""

import asyncio
import contextlib
import gc
import json
import os
import selectors
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import peers

try:
    import httpx2
except ImportError:  # openai 2.x
    import httpx as httpx2  # type: ignore[no-redef]

CHUNKS = 200
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
    """A body that comes in pieces, once: the SDK looks whether anything follows its end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._left = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._left

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._left:
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


Works = dict[str, Callable[[int], None]]
"""What a batch may consist of, by kind: so many calls, or streams of `CHUNKS` pieces."""


def _works() -> Works:
    client = openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=Transport()))

    def call(times: int) -> None:
        for _ in range(times):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    def stream(times: int) -> None:
        for _ in range(times):
            for _ in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
                pass

    return {"call": call, "stream": stream}


def _async_works() -> Works:
    loop = asyncio.new_event_loop()
    client = openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=Transport()))

    async def call(times: int) -> None:
        for _ in range(times):
            await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    async def stream(times: int) -> None:
        for _ in range(times):
            async for _ in await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
                pass

    return {
        "async_call": lambda times: loop.run_until_complete(call(times)),
        "async_stream": lambda times: loop.run_until_complete(stream(times)),
    }


def _take_turns() -> None:
    """Do what each line of standard input says, ``KIND TIMES``; answer with CPU time for one [us].

    First that of its own thread, then that of the process, which has what is put off in it: spans are flushed within.
    Collections of garbage are in both.
    """
    works, settle = {**_works(), **_async_works()}, peers.settling(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        kind, times = line.split()
        gc.collect()
        thread, process = time.thread_time_ns(), time.process_time_ns()
        works[kind](int(times))
        thread = time.thread_time_ns() - thread
        settle()
        process = time.process_time_ns() - process
        print(thread / int(times) / 1000, process / int(times) / 1000, flush=True)


def _measure_pairs(pairs: int) -> dict[str, float]:
    """CPU time of the thread that a call and each piece of a stream take more than suppressed ones [us], the median.

    Both are done in one process and in the midst of the SDK's own work on them, so that its caches are what they are.
    """
    from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415 - not in every environment

    works = _works()

    def took(kind: str, *, recorded: bool) -> int:
        with contextlib.nullcontext() if recorded else suppress_instrumentation():
            begun = time.thread_time_ns()
            works[kind](1)
            return time.thread_time_ns() - begun

    def added(kind: str, times: int) -> float:
        more = []
        for number in range(times):
            if number % 20 == 0:
                gc.collect()
            first = took(kind, recorded=number % 2 == 0)
            second = took(kind, recorded=number % 2 == 1)
            more.append((first - second) * (1 if number % 2 == 0 else -1))
        return statistics.median(more[times // 10 :]) / 1000

    gc.disable()
    call, stream = added("call", 4 * pairs), added("stream", pairs)
    return {"call": call, "stream": stream, "chunk": (stream - call) / len(PIECES)}


def _rss() -> int:
    """Resident memory of this process [B]."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _anonymous() -> int:
    """What of it is this process's alone, and no page of a library that others may share [B]."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


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
    first, own = _rss(), _anonymous()
    call(calls)
    called = _rss()
    leave(streams)
    time.sleep(1)
    left = _rss() - called
    return {"rss": first, "anonymous": own, "growth_calls": called - first, "growth_streams": left}


PAUSE = 0.25
"""Between two pieces of a stream [s]. With 20 ms the SDK alone would take more than a processor for 500 streams."""


class Paced(Transport):
    """Answers with streams whose pieces take their time."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002 - the signature
        """A stream of some thirty pieces."""
        pieces = [*PIECES[:28], *PIECES[-3:]]

        class Slowly(Pieces):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for piece in self._left:
                    await asyncio.sleep(PAUSE)
                    yield piece

        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Slowly(pieces))


class Turns(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """A selector that notes how long the loop's turns are: what runs between two waits, and keeps all else waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[float, float]] = []
        self._began: tuple[float, float] | None = None

    def select(self, timeout: float | None = None) -> Any:
        """Note the turn that ends here: time and CPU time of the process [s]."""
        if self._began is not None:
            self.noted.append((time.perf_counter() - self._began[0], time.process_time() - self._began[1]))
        ready = super().select(timeout)
        self._began = (time.perf_counter(), time.process_time())
        return ready


def _measure_lag(streams: int, spread: float) -> dict[str, float]:
    """How long the event loop's turns are while ``streams`` streams run at once, begun over ``spread`` [s]."""
    turns = Turns()

    async def run() -> None:
        client = openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=Paced()))

        async def stream(number: int) -> None:
            await asyncio.sleep(number * spread / streams)
            async for _ in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                pass

        await stream(0)
        turns.noted.clear()
        await asyncio.gather(*(stream(number) for number in range(streams)))

    loop = asyncio.SelectorEventLoop(turns)
    loop.run_until_complete(run())
    wall, cpu = (sorted(kind) for kind in zip(*turns.noted, strict=True))
    return {
        "median": cpu[len(cpu) // 2],
        "p99": cpu[int(len(cpu) * 0.99)],
        "max": cpu[-1],
        "wall_p99": wall[int(len(wall) * 0.99)],
        "wall_max": wall[-1],
        "streams": streams + 1,
        **peers.kept(sys.argv[1]),
    }


def main() -> None:
    """Print the arm's figures."""
    arm, mode = sys.argv[1], sys.argv[2]
    switch_on = peers.PEERS[arm].switch_on
    figures: dict[str, Any] = {}
    switch_on()
    if mode == "cost":
        _take_turns()
    elif mode == "memory":
        figures = _measure_memory(int(sys.argv[3]), int(sys.argv[4]))
    elif mode == "lag":
        figures = _measure_lag(int(sys.argv[3]), float(sys.argv[4]))
    elif mode == "pairs":
        figures = _measure_pairs(int(sys.argv[3]))
    print(json.dumps(figures), flush=True)
    os._exit(0)  # what instrumentations do at exit is not measured here


if __name__ == "__main__":
    main()
