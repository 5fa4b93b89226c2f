"""A backend that is away for three minutes, 5,000 calls meanwhile, and ``forward: true``: all of them arrive.

Two applications share a store. While the real Collector is not there yet they make their calls, and ``--kill`` ends the
one that forwards with SIGKILL halfway, so that the other one has to take over. Then the Collector is started. What must
hold: every stored span has arrived 60 s later, and at most one batch for each kill came twice.

    nox -s soak -- bench/soak/forward.py
    nox -s soak -- bench/soak/forward.py --kill --protocol grpc
    nox -s soak -- bench/soak/forward.py --away 10 --spans 1000     the shorter form
"""

import argparse
import collections
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests")]

from otel_llm.store.query import Filter, Reader  # noqa: E402
from parts.collector import BINARY, running  # noqa: E402 - found by the line above
from parts.ports import free_ports  # noqa: E402

DELIVERED_WITHIN = 60.0
STARTED_WITHIN = 60.0
BATCH = 512
FLOCK = "hhqqi4x"
"""`struct flock` of 64-bit Linux: kind, whence, start, length, process."""

APPLICATION = """
import sys, time, httpx
answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer)))
count, seconds = int(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
began = time.monotonic()
for number in range(count):
    client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
    time.sleep(max(0.0, began + seconds * (number + 1) / count - time.monotonic()))
print("made", flush=True)
sys.stdin.read()
"""


def main() -> int:
    """Run it; exit code 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--away", type=float, default=180.0, help="how long the backend is away [s]")
    parser.add_argument("--spans", type=int, default=5000)
    parser.add_argument("--protocol", choices=["http/protobuf", "grpc"], default="http/protobuf")
    parser.add_argument("--kill", action="store_true", help="kill who forwards, halfway")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="otel-llm-forward-") as name:
        folder = Path(name)
        store, ports = folder / "otel-llm.db", free_ports(3)
        port = ports[0] if asked.protocol == "grpc" else ports[1]
        with applications(store, asked, f"http://127.0.0.1:{port}") as started:
            processes = started
            await_line(processes, "ready")
            began = time.monotonic()
            if asked.kill:
                time.sleep(asked.away / 2)
                killed = forwarding(store)
                os.kill(killed, signal.SIGKILL)
                processes = [process for process in processes if process.pid != killed]
                print(f"killed {killed}, which forwarded", flush=True)
            await_line(processes, "made")
            time.sleep(max(0.0, began + asked.away - time.monotonic()))
            with running(BINARY, folder, ports) as collector:
                return judge(store, collector.folder / "traces.jsonl", kills=int(asked.kill))


@contextmanager
def applications(store: Path, asked: argparse.Namespace, url: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two of them, each making half of the calls during three quarters of the time."""
    environ = {
        **os.environ,
        "OTEL_LLM_STORE_PATH": str(store),
        "OTEL_LLM_FORWARD": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": asked.protocol,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    command = [instrument, sys.executable, "-c", APPLICATION, str(asked.spans // 2), str(asked.away * 0.75)]
    processes = [
        subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def await_line(processes: list[subprocess.Popen[str]], line: str) -> None:
    """Until each has said ``line``."""
    for process in processes:
        if process.stdout is None or process.stdout.readline().strip() != line:
            message = f"an application did not say {line!r}"
            raise RuntimeError(message)


def forwarding(store: Path) -> int:
    """The process that has the seat, as the kernel says."""
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline:
        for file in store.parent.glob(f"{store.name}.forwarding-*"):
            with file.open("r+b") as opened:
                asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(opened, fcntl.F_GETLK, asked))
                if kind != fcntl.F_UNLCK:
                    return pid
        time.sleep(0.1)
    message = "nobody forwards"
    raise RuntimeError(message)


def judge(store: Path, traces: Path, *, kills: int) -> int:
    """Wait for what is stored, and say what came and when."""
    with Reader(store) as reader:
        stored = {call.span_id for call in reader.calls(Filter())}
    began = time.monotonic()
    received: collections.Counter[str] = collections.Counter()
    while time.monotonic() - began < DELIVERED_WITHIN and stored - received.keys():
        time.sleep(0.5)
        received = collections.Counter(arrived(traces))
    took = time.monotonic() - began
    missing = len(stored - received.keys())
    twice = sum(count - 1 for span, count in received.items() if span in stored)
    print(f"{len(stored):,} stored, {missing:,} missing after {took:.1f} s, {twice:,} came twice")
    return int(bool(missing) or twice > BATCH * max(1, kills))


def arrived(traces: Path) -> Iterator[str]:
    """Ids of the spans that the Collector has written down."""
    for line in traces.read_text().splitlines() if traces.exists() else ():
        try:
            written = json.loads(line)
        except ValueError:  # it is still writing this one
            continue
        for of_resource in written["resourceSpans"]:
            for of_scope in of_resource["scopeSpans"]:
                yield from (span["spanId"] for span in of_scope["spans"])


if __name__ == "__main__":
    sys.exit(main())
