"""Many writers, a dashboard and a reader that holds a transaction, on one store: is all kept, and the log bounded?

Usage: python bench/soak/crowd.py [WRITERS [SECONDS [RATE]]]; 8 processes, 30 s and 40 spans a second each by default.
Prints JSON; exits with 1 where a bound is broken.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LONGEST = 64_000_000
AFTERWARDS = 4_194_304


def write(path: Path, number: int, seconds: float, rate: float) -> None:
    """One writer, in a process of its own: spans at a rate, and what became of them on its stdout."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the writers' alone

    from otel_llm.store.database import Database  # noqa: PLC0415
    from otel_llm.store.exporters import StoreSpanProcessor  # noqa: PLC0415

    database = Database(path)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(StoreSpanProcessor(database))
    tracer = provider.get_tracer("crowd")
    facts = {"gen_ai.operation.name": "chat", "gen_ai.request.model": f"m{number}", "gen_ai.provider.name": "p"}
    begun, made = time.monotonic(), 0
    while (now := time.monotonic()) < begun + seconds:
        tracer.start_span("chat", attributes=facts).end()
        made += 1
        time.sleep(max(0.0, begun + made / rate - now))
    database.flush(20)
    stats = database.stats()
    print(json.dumps({"made": made, "dropped": dict(stats.dropped), "error": stats.last_error}), flush=True)
    time.sleep(float(os.environ.get("CROWD_STAY", "3")))  # idle, as a server between two requests
    database.close(10)


def poll(path: Path, over: threading.Event, polled: list[str | None]) -> None:
    """A dashboard: five summaries a second."""
    from otel_llm.store.query import Filter, Reader  # noqa: PLC0415 - see above

    while not over.wait(0.2):
        try:
            with Reader(path) as reader:
                reader.summary(Filter(), ("model",))
            polled.append(None)
        except Exception as error:  # noqa: BLE001 - each is told
            polled.append(repr(error))


def run(path: Path, *, writers: int, seconds: float, rate: float) -> dict[str, object]:
    """All of it; what was seen."""
    wal = path.with_name(path.name + "-wal")
    command = [sys.executable, __file__, "--write", str(path)]
    # The first makes the store, so that the reader finds one.
    processes = [
        subprocess.Popen([*command, str(number), str(seconds + 1), str(rate)], stdout=subprocess.PIPE, text=True)
        for number in range(writers)
    ]
    deadline = time.monotonic() + 30
    while not (wal.exists() and wal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    over = threading.Event()
    polled: list[str | None] = []
    dashboard = threading.Thread(target=poll, args=(path, over, polled))
    dashboard.start()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    longest = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        longest = max(longest, wal.stat().st_size)
        time.sleep(0.05)
    reader.execute("COMMIT")
    reader.close()
    told = [json.loads(process.stdout.readline()) for process in processes if process.stdout]
    time.sleep(2.5)  # nobody writes any more, all are still there
    afterwards = wal.stat().st_size if wal.exists() else 0
    over.set()
    dashboard.join()
    codes = [process.wait(60) for process in processes]
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as sqlite:
        rows = sqlite.execute("SELECT count(*) FROM spans").fetchone()[0]
        whole = sqlite.execute("PRAGMA integrity_check").fetchone()[0]
    made = sum(one["made"] for one in told)
    errors = [error for error in polled if error]
    locked = [one["error"] for one in told if one["error"] and "locked" in one["error"]]
    return {
        "writers": writers,
        "seconds": seconds,
        "made": made,
        "rows": rows,
        "dropped": [one["dropped"] for one in told if one["dropped"]],
        "locked": locked,
        "polls": len(polled),
        "poll_errors": errors[:3],
        "integrity": whole,
        "wal_during": longest,
        "wal_after": afterwards,
        "holds": rows == made
        and not errors
        and whole == "ok"
        and not any(codes)
        and longest <= LONGEST
        and afterwards <= AFTERWARDS,
    }


def main() -> None:
    """Run, print, judge."""
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
        return
    given = dict(zip(("writers", "seconds", "rate"), sys.argv[1:], strict=False))
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            Path(folder) / "crowd.db",
            writers=int(given.get("writers", 8)),
            seconds=float(given.get("seconds", 30)),
            rate=float(given.get("rate", 40)),
        )
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
