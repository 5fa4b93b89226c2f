"""Three hours in compressed time: four callers, one killed each minute, a backend and a Redis that fail at random.

A minute lasts ``--minute`` seconds, in the rules of alerts too. What must hold at the end: the store is sound, every
call that had come back 200 ms before its caller was killed is in it once, the backend has every stored call (sent
twice: at most a batch for each kill), and the memory of the one caller that is never killed grows by less than 1 MB an
hour once it is warm, after the first hour (slope by least squares). Until then heaps and tables grow to their size,
and so that they do, nothing answers for a while in that time; by how much they grow is told beside it, and how many
calls an hour has. One more caller keeps a kilobyte of each of its calls: were that not seen, the judgement would be
blind. And one more runs without otel-llm: what openai, httpx and the C library grow by is told, and forgives nothing.

    nox -s soak -- bench/soak/endurance.py                 a quarter of an hour on the clock
    nox -s soak -- bench/soak/endurance.py --minutes 12    one
"""

import argparse
import collections
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import otel_llm
from otel_llm.store.query import Filter, Reader

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests")]

from parts.sink import Sink, sink  # noqa: E402 - found by the line above

SAFE_AFTER = 0.2
BATCH = 512
DELIVERED_WITHIN = 60.0
STARTED_WITHIN = 180.0
BIN = Path(sys.executable).parent
CALLERS = 4
SEED = 7
DEFAULT_RULES = Path(otel_llm.__file__).parent / "alert" / "default_rules.yaml"
WARM_AFTER = 1 / 3
"""Of the time."""

OUTAGE = (0.05, 0.2)
"""Of the time: nothing but the store answers."""

MOST_GROWTH = 1.0
"""[MB/h] Once it is warm."""

LEAK = 1024
"""[byte] What the caller that leaks keeps of each call."""

JUDGED_FROM = 60
"""[samples] Fewer say nothing of an hour."""

BUSY = (503, {"Retry-After": "1"}, b"")


class Provider(BaseHTTPRequestHandler):
    """Answers at once, whole or as a stream, with the identity that the request asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """One call."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        head = {"id": request["user"], "created": 1, "model": "m-1"}
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        if request.get("stream"):
            deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in ("re", "d", "."))]
            choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
            choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            events = [head | {"object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            said = {"index": 0, "message": {"role": "assistant", "content": "red"}, "finish_reason": "stop"}
            body = json.dumps(head | {"object": "chat.completion", "choices": [said], "usage": usage}).encode()
            kind = "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def provider() -> Iterator[str]:
    """The base URL of a server that plays the provider."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - callers are killed amid their requests
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@contextmanager
def redis(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis of Debian's, its URL and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--daemonize", "no"], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)


class Caller:
    """One application and what it wrote down."""

    def __init__(
        self, folder: Path, name: str, url: str, environ: dict[str, str], *told: float, bare: bool = False
    ) -> None:
        self.ledger = folder / f"{name}.ledger"
        self.killed_at: float | None = None
        launcher = () if bare else (BIN / "opentelemetry-instrument",)
        command = [*launcher, sys.executable, HERE / "_caller.py", url, self.ledger, name, *told]
        with (folder / "callers.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environ
            )

    def await_call(self) -> None:
        """Wait until a call has come back."""
        deadline = time.monotonic() + STARTED_WITHIN
        while not self.acknowledged():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.ledger.parent / "callers.log").read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without a chance to say anything."""
        self.process.kill()
        self.killed_at = time.monotonic()
        self.process.wait()

    def leave(self) -> float:
        """End it as a program ends; how long it took to [s]."""
        began = time.monotonic()
        self.process.communicate(timeout=30)
        return time.monotonic() - began

    def acknowledged(self) -> set[str]:
        """The calls that have to be in the store."""
        if not self.ledger.exists():
            return set()
        lines = [line.split() for line in self.ledger.read_text().splitlines() if line.count(" ") == 1]
        return {name for name, at in lines if self.killed_at is None or float(at) < self.killed_at - SAFE_AFTER}

    def calls(self) -> int:
        """How many have come back."""
        return self.ledger.read_bytes().count(b"\n")

    def rss(self) -> float:
        """[MB]."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def disturb(backend: Sink, cache: subprocess.Popen[bytes], chance: random.Random, *, outage: bool) -> str:
    """Choose what fails for the next minute; in an outage all does."""
    state = chance.choice(("busy", "cut", "slow") if outage else ("well", "well", "busy", "cut", "slow"))
    answer = {
        "well": None,
        "busy": lambda *_: BUSY,
        "cut": lambda *_: None,
        "slow": lambda *_: time.sleep(3) or BUSY,
    }[state]
    backend.answers[:] = [answer] * 1000 if answer else []
    hung = outage or chance.random() < 1 / 3
    cache.send_signal(signal.SIGSTOP if hung else signal.SIGCONT)
    return f"backend {state}, redis {'hung' if hung else 'well'}"


_SPANS = re.compile(r"\b(window|long|short|interval|for|per|cooldown|\w+_for|\w+_interval): ([1-9]\d*)([smh])\b")
_WINDOWS = ("window", "long", "short")
_SLOT = 5
"""[s] Windows are whole numbers of these."""


def compressed(rules: str, minute: float) -> str:
    """Alert rules whose minutes last ``minute`` seconds, so that their windows fill when they would."""

    def shorter(match: re.Match[str]) -> str:
        step = _SLOT if match[1] in _WINDOWS else 1
        seconds = int(match[2]) * {"s": 1, "m": 60, "h": 3600}[match[3]] * minute / 60
        return f"{match[1]}: {max(1, round(seconds / step)) * step}s"

    return _SPANS.sub(shorter, rules)


def slope(samples: list[tuple[float, float]]) -> float:
    """By least squares, in units of the second coordinate by the first."""
    middle_x = sum(x for x, _ in samples) / len(samples)
    middle_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    return sum((x - middle_x) * (y - middle_y) for x, y in samples) / spread


def stored(path: Path) -> collections.Counter[str]:
    """How often each call is in the store.

    Raises:
        RuntimeError: The file is not sound.
    """
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchone()
    if found != ("ok",):
        raise RuntimeError(found)
    with Reader(path) as store:
        return collections.Counter(str(span.attributes.get("gen_ai.response.id")) for span in store.stream(Filter()))


def delivered(backend: Sink) -> collections.Counter[str]:
    """How often each call has reached the backend."""
    return collections.Counter(
        attribute.value.string_value
        for span in backend.spans()
        for attribute in span.attributes
        if attribute.key == "gen_ai.response.id"
    )


def main() -> int:
    """Run, and say what held; the exit status is 1 where something did not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=180, help="compressed ones")
    parser.add_argument("--minute", type=float, default=5.0, help="how long one lasts [s]")
    parser.add_argument("--rate", type=float, default=20.0, help="calls a second and caller, at most")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        provider() as url,
        sink() as backend,
        redis(Path(folder)) as (redis_url, cache),
    ):
        told = endure(Path(folder), asked, url, backend, redis_url, cache)
    print(json.dumps(told, indent=1))
    return int(bool(told["wrong"]))


def endure(
    folder: Path,
    asked: argparse.Namespace,
    url: str,
    backend: Sink,
    redis_url: str,
    cache: subprocess.Popen[bytes],
) -> dict[str, Any]:
    """The figures of one run."""
    path = folder / "otel-llm.db"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))} | {
        "OTEL_LLM_STORE_PATH": str(path),
        "OTEL_LLM_FORWARD": "true",
        "OTEL_LLM_REDIS_URL": redis_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "endurance",
        "OTEL_LLM_ALERTS_RULES": str(folder / "rules.yaml"),
        "OTEL_LLM_ALERTS_DEFAULTS": "false",
    }
    (folder / "rules.yaml").write_text(compressed(DEFAULT_RULES.read_text(), asked.minute))
    chance = random.Random(SEED)  # noqa: S311 - the same troubles in each run
    names = iter(f"c{number}" for number in range(100_000))
    callers = [Caller(folder, next(names), url, environ, asked.rate) for _ in range(CALLERS)]
    leaking = Caller(folder, next(names), url, environ, asked.rate, LEAK)
    bare = Caller(folder, next(names), url, environ, asked.rate, bare=True)
    gone: list[Caller] = []
    samples: list[tuple[float, float]] = []
    leaked: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []
    for caller in (*callers, leaking, bare):
        caller.await_call()
    for minute in range(asked.minutes):
        state = disturb(backend, cache, chance, outage=OUTAGE[0] <= minute / asked.minutes < OUTAGE[1])
        time.sleep(asked.minute)
        samples.append((minute / 60, callers[0].rss()))
        leaked.append((minute / 60, leaking.rss()))
        without.append((minute / 60, bare.rss()))
        victim = 1 + minute % (CALLERS - 1)  # the one that was begun first, for on a slow machine they begin slowly
        callers[victim].await_call()
        callers[victim].kill()
        gone.append(callers[victim])
        callers[victim] = Caller(folder, next(names), url, environ, asked.rate)
        print(f"minute {minute + 1}: {state}; {samples[-1][1]:.1f} MB", file=sys.stderr, flush=True)
    backend.answers.clear()
    cache.send_signal(signal.SIGCONT)
    last = await_delivery(path, backend)
    for caller in callers:
        caller.await_call()
    exits = [caller.leave() for caller in (*callers, leaking)]
    bare.leave()
    gone += (*callers, leaking)
    calls, memory = judge(gone, path, backend, exits, last), weigh(samples, leaked, without)
    rate = {"calls_per_hour": round(callers[0].calls() / asked.minutes * 60)}
    return calls | rate | memory | {"wrong": calls["wrong"] + memory["wrong"]}


def await_delivery(path: Path, backend: Sink) -> float:
    """How long the backend lacked calls that were stored when it came back [s]."""
    began = time.monotonic()
    wanted = set(stored(path))
    while not wanted <= set(delivered(backend)) and time.monotonic() - began < DELIVERED_WITHIN:
        time.sleep(1)
    return time.monotonic() - began


def weigh(
    samples: list[tuple[float, float]], leaked: list[tuple[float, float]], without: list[tuple[float, float]]
) -> dict[str, Any]:
    """What the memory of the caller that lived on says, of the one that leaks and the one without us: hours and MB."""
    warm = int(len(samples) * WARM_AFTER)
    told: dict[str, Any] = {
        "rss_mb": [round(rss, 1) for _, rss in samples[:: max(1, len(samples) // 12)]],
        "rss_until_warm_mb": round(samples[warm][1] - samples[0][1], 2),
    }
    wrong: list[str] = []
    if len(samples) - warm >= JUDGED_FROM:
        grown, seen = slope(samples[warm:]), slope(leaked[warm:])
        wrong += ["rss"] if grown >= MOST_GROWTH else []
        wrong += ["blind"] if seen < MOST_GROWTH else []
        told |= {
            "rss_slope_mb_per_hour": round(grown, 3),
            "leaking_slope_mb_per_hour": round(seen, 3),
            "bare_slope_mb_per_hour": round(slope(without[warm:]), 3),
        }
    return told | {"wrong": wrong}


def judge(callers: list[Caller], path: Path, backend: Sink, exits: list[float], delivery: float) -> dict[str, Any]:
    """What held of the calls, and what did not."""
    kept, sent = stored(path), delivered(backend)
    acknowledged = set[str]().union(*(caller.acknowledged() for caller in callers))
    kills = sum(caller.killed_at is not None for caller in callers)
    twice = sum(sent.values()) - len(sent)
    told = {
        "acknowledged": len(acknowledged),
        "stored": len(kept),
        "lost": sorted(acknowledged - set(kept)),
        "stored_twice": [name for name, times in kept.items() if times > 1],
        "kills": kills,
        "delivered": len(sent),
        "delivered_twice": twice,
        "delivery_s": round(delivery, 1),
        "slowest_exit_s": round(max(exits), 2),
    }
    wrong = [name for name in ("lost", "stored_twice") if told[name]]
    wrong += ["delivery"] if delivery >= DELIVERED_WITHIN or twice > BATCH * (kills + 1) else []
    return told | {"wrong": wrong}


if __name__ == "__main__":
    sys.exit(main())
