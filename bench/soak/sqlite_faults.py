"""A thousand calls while the n-th operation of SQLite fails, n = 1 to 30: the application sees what it sees without us.

Each trial is a forked process: it makes its calls without otel-llm, then the same calls with it and with a factory of
connections whose n-th operation raises, once or from then on. What every call gave, or raised, must be the same; each
span must be stored or counted as lost; where the fault passed, the store must take calls again.

    nox -s soak -- bench/soak/sqlite_faults.py              thirty places, five errors, two ways: some 20 minutes
    nox -s soak -- bench/soak/sqlite_faults.py --most 5 --calls 100
    nox -s soak -- bench/soak/sqlite_faults.py --error memory --way on
"""

import argparse
import itertools
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

import otel_llm
from otel_llm.store import database

ERRORS = {
    "locked": (sqlite3.OperationalError, sqlite3.SQLITE_BUSY, "database is locked"),
    "i/o": (sqlite3.OperationalError, sqlite3.SQLITE_IOERR, "disk I/O error"),
    "full": (sqlite3.OperationalError, sqlite3.SQLITE_FULL, "database or disk is full"),
    "malformed": (sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT, "database disk image is malformed"),
    "memory": (MemoryError, None, "out of memory"),
}
WAYS = ("once", "on")
SOUND = sqlite3.Connection
URL = "http://model.test/v1/chat/completions"


class Faults:
    """Counts operations, and says which fail."""

    def __init__(self, place: int, error: str, way: str) -> None:
        self.place, self.error, self.way = place, error, way
        self.count = itertools.count(1)
        self.raised = 0
        self.over = False

    def check(self) -> None:
        """One operation."""
        number = next(self.count)
        if not self.over and (number == self.place or (self.way == "on" and number > self.place)):
            self.raised += 1
            kind, code, text = ERRORS[self.error]
            error = kind(text)
            if code is not None:
                error.sqlite_errorcode = code  # type: ignore[attr-defined]
            raise error


def factory(faults: Faults) -> type[sqlite3.Connection]:
    """Connections whose operations are counted; opening is one."""

    class Connection(SOUND):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **named: Any) -> None:
            faults.check()
            super().__init__(*given, **named)

        def execute(self, *given: Any) -> sqlite3.Cursor:
            faults.check()
            return super().execute(*given)

        def executemany(self, *given: Any) -> sqlite3.Cursor:
            faults.check()
            return super().executemany(*given)

        def executescript(self, *given: Any) -> sqlite3.Cursor:
            faults.check()
            return super().executescript(*given)

    return Connection


def answer(request: httpx.Request) -> httpx.Response:
    """As the model of the request's number would."""
    number = json.loads(request.content)["user"]
    if number % 10 == 3:  # noqa: PLR2004 - a mixture
        return httpx.Response(500, json={"error": {"message": "down"}})
    if number % 10 == 6:  # noqa: PLR2004
        message = "refused"
        raise httpx.ConnectError(message)
    if number % 10 == 9:  # noqa: PLR2004
        pieces = [b'data: {"id":"c","model":"m","choices":[{"delta":{"content":"hi"}}]}\n\n', b"data: [DONE]\n\n"]
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(pieces))
    said = {"id": str(number), "model": "m", "choices": [{"index": 0, "finish_reason": "stop"}]}
    return httpx.Response(200, json=said)


class Pieces(httpx.SyncByteStream):
    """A body in pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces


def outcomes(calls: int) -> list[object]:
    """What each call gave or raised."""
    found: list[object] = []
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        for number in range(calls):
            try:
                with client.stream("POST", URL, json={"model": "m", "messages": [], "user": number}) as response:
                    found.append((response.status_code, list(response.iter_bytes())))
            except httpx.HTTPError as error:
                found.append((type(error).__name__, str(error)))
    return found


def live(store: Path, calls: int, faults: Faults) -> dict[str, Any]:
    """The life of one application."""
    without = outcomes(calls)
    sqlite3.Connection = factory(faults)  # type: ignore[misc]
    otel_llm.instrument({"store.path": str(store)})
    begun = time.monotonic()
    equal = outcomes(calls) == without
    otel_llm.flush(2.0)
    took = time.monotonic() - begun
    faults.over = True
    equal = equal and outcomes(10) == without[:10]
    kept = database.shared(store)
    deadline = time.monotonic() + 8.0
    while kept.stats().queue_depth or not otel_llm.flush(2.0):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    stats = kept.stats()
    with closing(SOUND(f"file:{store}?mode=ro", uri=True)) as reader:
        rows = reader.execute("SELECT count(*) FROM spans").fetchone()[0]
        sound = reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    lost = sum(stats.spans_dropped.values())
    return {
        "equal": equal,
        "seen": stats.spans_seen,
        "stored": stats.spans_stored,
        "counted": stats.spans_seen == stats.spans_stored + lost == calls + 10,
        "sound": sound,
        "rows": rows,
        "lost": lost,
        "raised": faults.raised,
        "took": round(took, 2),
    }


def trial(folder: Path, calls: int, place: int, error: str, way: str) -> dict[str, Any]:
    """One application of its own process; what came of it."""
    said = folder / f"{place}-{error.replace('/', '')}-{way}.json"
    pid = os.fork()
    if not pid:
        try:
            said.write_text(json.dumps(live(said.with_suffix(".db"), calls, Faults(place, error, way))))
        except BaseException:  # noqa: BLE001 - told to the parent
            said.write_text(json.dumps({"equal": False, "why": traceback.format_exc()}))
        finally:
            os._exit(0)
    timer = threading.Timer(120.0, os.kill, (pid, 9))
    timer.start()
    os.waitpid(pid, 0)
    timer.cancel()
    found = json.loads(said.read_text()) if said.exists() else {"equal": False, "why": "it hung"}
    return {"place": place, "error": error, "way": way, **found}


def is_kept(found: dict[str, Any]) -> bool:
    """Whether what is promised held."""
    return bool(found["equal"] and found.get("counted") and found.get("sound") and found.get("raised"))


def main() -> int:
    """Run all and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--most", type=int, default=30, help="the last operation that fails")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--error", choices=ERRORS, help="this one alone")
    parser.add_argument("--way", choices=WAYS, help="this one alone")
    asked = parser.parse_args()
    failed = trials = 0
    with tempfile.TemporaryDirectory() as folder:
        errors, ways = [asked.error] if asked.error else ERRORS, [asked.way] if asked.way else WAYS
        for place, error, way in itertools.product(range(asked.first, asked.most + 1), errors, ways):
            found = trial(Path(folder), asked.calls, place, error, way)
            trials += 1
            if not is_kept(found):
                failed += 1
                print(json.dumps(found), flush=True)
    print(json.dumps({"trials": trials, "failed": failed, "calls": trials * asked.calls}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
