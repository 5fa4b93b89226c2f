"""Whether a store stays within 1.2 times its quota at every look while more is written than it may hold. Prints JSON.

Usage: python bench/soak/quota.py [SPANS [QUOTA [SECONDS]]]; 200,000 spans, 20 MB and 300 s by default. Exits with 1
where a bound is broken.
"""

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_llm.calls import Call
from otel_llm.quantity import Size
from otel_llm.store.database import Config, Database
from otel_llm.store.exporters import StoreSpanProcessor

ALLOWED = 1.2
PIECE = 50


def size(path: Path) -> int:
    """Database, write-ahead log and index together [byte]."""
    total = 0
    for suffix in ("", "-wal", "-shm"):
        try:
            total += path.with_name(path.name + suffix).stat().st_size
        except FileNotFoundError:
            continue
    return total


def run(path: Path, *, spans: int, quota: int, seconds: float, every: float = 1.0) -> dict[str, object]:
    """Write ``spans`` in ``seconds``, looking at the size ``every`` so many seconds; what was seen."""
    database = Database(path, Config(max_size=Size(quota)))
    provider = TracerProvider(resource=Resource.create({"service.name": "soak"}), shutdown_on_exit=False)
    provider.add_span_processor(StoreSpanProcessor(database))
    tracer = provider.get_tracer("soak")
    sizes: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every):
            sizes.append(size(path))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.monotonic()
    for number in range(spans):
        facts = Call(operation="chat", provider="openai", request_model=f"m{number % 5}", input_tokens=number,
                     response_id=f"chatcmpl-{number:030}", time_to_first_token=0.25, outcome="completed")  # fmt: skip
        tracer.start_span("chat", attributes=facts.attributes()).end()
        if number % PIECE == 0:
            time.sleep(max(0.0, begun + seconds * number / spans - time.monotonic()))
    took = time.monotonic() - begun
    database.flush(30)
    sizes.append(size(path))
    stats = database.stats()
    over.set()
    watcher.join()
    database.close(30)
    return {
        "spans": spans,
        "quota": quota,
        "seconds": round(took, 1),
        "looks": len(sizes),
        "largest": max(sizes),
        "largest_share": round(max(sizes) / quota, 3),
        "last": size(path),
        "stored": stats.stored,
        "dropped": dict(stats.dropped),
        "holds": max(sizes) <= ALLOWED * quota and stats.stored + sum(stats.dropped.values()) == spans,
    }


def main() -> None:
    """Run, print, judge."""
    given = dict(zip(("spans", "quota", "seconds"), map(int, sys.argv[1:]), strict=False))
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder) / "quota.db", **{"spans": 200_000, "quota": 20_000_000, "seconds": 300, **given})
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
