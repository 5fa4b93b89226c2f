"""Random SIGKILLs of processes that write to one store: it stays sound, and what was acknowledged is in it, once.

Each writer records calls and writes down, in a ledger of its own, each one that ended and when, and each that a flush
answered for. One of them is killed at a random moment and another takes its place. After each kill the store is checked
by a connection that only reads. In the end no span may be twice in it, and none may be missing that a flush had
answered for or that had ended ``--safe-after`` seconds before its writer was killed.

    nox -s soak -- bench/soak/kills.py             a hundred kills, four writers, about two minutes
    nox -s soak -- bench/soak/kills.py --kills 10
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from otel_llm.store.database import Database
from otel_llm.store.exporters import StoreSpanProcessor

CALLS_A_SECOND = 200
FLUSH_EVERY = 40
LONGEST_LIFE = 1.0


def write(store: Path, ledger: Path) -> None:
    """Record calls, and write them down, until killed."""
    database = Database(store)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(StoreSpanProcessor(database))
    tracer = provider.get_tracer("soak")
    book = os.open(ledger, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    number, waiting = 0, []
    while True:
        span = tracer.start_span("chat m", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
        span.end()
        identity = f"{span.get_span_context().span_id:016x}"
        waiting.append(identity)
        os.write(book, f"{identity} {time.monotonic()}\n".encode())
        number += 1
        if number % FLUSH_EVERY == 0 and database.flush(5.0):
            os.write(book, "".join(f"{one} flushed\n" for one in waiting).encode())
            waiting.clear()
        time.sleep(1 / CALLS_A_SECOND)


def begin(store: Path, ledger: Path) -> int:
    """A writer; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        write(store, ledger)
    finally:
        os._exit(1)


def is_sound(store: Path) -> bool:
    """What SQLite says of the file, read-only."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as reader:
        return reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def acknowledged(ledger: Path, killed_at: float, safe_after: float) -> tuple[set[str], set[str]]:
    """What a flush answered for, and what had ended long enough before the kill."""
    flushed, ended = set(), set()
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        identity, _, word = line.partition(" ")
        if word == "flushed":
            flushed.add(identity)
        elif float(word) <= killed_at - safe_after:
            ended.add(identity)
    return flushed, ended


def trial(folder: Path, *, kills: int, writers: int, seed: int, safe_after: float) -> dict[str, int]:
    """Kill so often; what was found."""
    dice = random.Random(seed)  # noqa: S311 - the same kills again
    store = folder / "calls.db"
    flushed, ended = set[str](), set[str]()
    found = {"kills": kills, "sound": 0}
    ledgers = {begin(store, folder / f"ledger-{number}"): folder / f"ledger-{number}" for number in range(writers)}
    number = writers

    def note(ledger: Path, killed_at: float) -> None:
        by_flush, by_end = acknowledged(ledger, killed_at, safe_after)
        flushed.update(by_flush)
        ended.update(by_end)

    while not store.exists() or store.stat().st_size == 0:
        time.sleep(0.01)
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0.05, LONGEST_LIFE))
            pid = dice.choice(list(ledgers))
            killed_at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            note(ledgers.pop(pid), killed_at)
            found["sound"] += is_sound(store)
            ledgers[begin(store, folder / f"ledger-{number}")] = folder / f"ledger-{number}"
            number += 1
    finally:
        for pid, ledger in ledgers.items():
            killed_at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            note(ledger, killed_at)
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as reader:
        stored = [name for (name,) in reader.execute("SELECT lower(hex(span_id)) FROM spans")]
    return found | {
        "stored": len(stored),
        "twice": len(stored) - len(set(stored)),
        "flushed": len(flushed),
        "flushed_lost": len(flushed - set(stored)),
        "ended": len(ended),
        "ended_lost": len(ended - set(stored)),
        "set_aside": len(list(folder.glob("*.corrupt-*"))),
    }


def is_kept(found: dict[str, int]) -> bool:
    """Whether what is promised held."""
    losses = ("twice", "flushed_lost", "ended_lost", "set_aside")
    return found["sound"] == found["kills"] and not any(found[name] for name in losses)


def main() -> int:
    """Run it and say what came of it, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--safe-after", type=float, default=0.2, help="[s]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = trial(
            Path(folder), kills=asked.kills, writers=asked.writers, seed=asked.seed, safe_after=asked.safe_after
        )
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if is_kept(found) else 1


if __name__ == "__main__":
    sys.exit(main())
