"""Room store: what alerting left in the file, for people to read, and the silences that they write."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from otel_llm.ledger import Kept
from otel_llm.store.connection import BusyError, Connection, NewerSchemaError
from otel_llm.store.errors import NotFoundError, StoreError
from otel_llm.store.ledger import KEPT, as_kept
from otel_llm.store.query import Reader
from otel_llm.store.samples import past_calls, past_readings

_SINCE: Final = 2
"""The schema that alerts came with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An alert that changed its state.

    Attributes:
        time: When (wall clock) [s].
        before: ``inactive``, ``pending`` or ``firing``.
        state: The same words.
        labels: As they are told.
        value: At that moment.
        samples: Behind ``value``.
        reason: Why it resolved, where not because it was clear.
    """

    time: float
    alert: str
    fingerprint: str
    before: str
    state: str
    labels: dict[str, str]
    value: float | None
    samples: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSilence:
    """Alerts that nobody is to be told of for a while.

    Attributes:
        matchers: Labels and the values that they must have, all of them.
        starts: (wall clock) [s]
        ends: (wall clock) [s]
    """

    id: int
    matchers: dict[str, str]
    starts: float
    ends: float
    author: str
    comment: str


class AlertReader(Reader):
    """A read-only look at alerts; a context manager. A store from before there were alerts has none."""

    def kept(self) -> Sequence[Kept]:
        """Every alert as its judge kept it last."""
        return [as_kept(row) for row in self._rows(KEPT)]

    def turns(self, since: float, until: float, limit: int) -> Sequence[Turn]:
        """What changed between two moments (wall clock) [s], newest first."""
        query = (
            "SELECT time, alert, fingerprint, before, state, labels, value, samples, reason FROM alert_history"
            " WHERE time >= ? AND time < ? ORDER BY id DESC LIMIT ?"
        )
        names = ("time", "alert", "fingerprint", "before", "state", "labels", "value", "samples", "reason")
        return [
            Turn(**{**dict(zip(names, row, strict=True)), "labels": msgspec.json.decode(row[5])})
            for row in self._rows(query, (since, until, limit))
        ]

    def silences(self) -> Sequence[KeptSilence]:
        """All that are remembered, those that ended lately among them; the newest first."""
        query = "SELECT id, matchers, starts, ends, author, comment FROM alert_silences ORDER BY id DESC"
        names = ("id", "matchers", "starts", "ends", "author", "comment")
        return [
            KeptSilence(**{**dict(zip(names, row, strict=True)), "matchers": msgspec.json.decode(row[1])})
            for row in self._rows(query)
        ]

    def calls_between(self, since: float, until: float) -> Iterator[tuple[float, float, Mapping[str, Any], bool]]:
        """Calls that began between two moments (wall clock) [s]: start, end, attributes, whether they failed."""
        return past_calls(self._sqlite, since, until)

    def readings_between(
        self, metrics: Sequence[str], since: float, until: float
    ) -> Iterator[tuple[float, str, float, Mapping[str, Any]]]:
        """Points of gauges between two moments (wall clock) [s]: when, metric, value, attributes."""
        return past_readings(self._sqlite, metrics, since, until)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._sqlite.execute(query, values).fetchall() if self.schema_version >= _SINCE else []


def silence(path: Path, matchers: Mapping[str, str], *, seconds: float, author: str, comment: str) -> int:
    """Silence alerts whose labels are ``matchers`` for ``seconds`` [s] from now; gives the silence's number.

    Raises:
        StoreError: The file cannot be written.
    """
    now = time.time()
    with _writing(path) as sqlite:
        cursor = sqlite.execute(
            "INSERT INTO alert_silences (matchers, starts, ends, author, comment) VALUES (?, ?, ?, ?, ?)",
            (msgspec.json.encode(dict(matchers)).decode(), now, now + seconds, author, comment),
        )
        return int(cursor.lastrowid or 0)


def expire(path: Path, number: int) -> None:
    """End a silence now.

    Raises:
        NotFoundError: None with this number is in force.
        StoreError: The file cannot be written.
    """
    now = time.time()
    with _writing(path) as sqlite:
        cursor = sqlite.execute("UPDATE alert_silences SET ends = ? WHERE id = ? AND ends > ?", (now, number, now))
        if not cursor.rowcount:
            raise NotFoundError(
                str(number), expected="a silence in force", found="none", hint="see otel-llm alerts silence list"
            )


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(Connection(path)) as connection:
            yield connection.sqlite
    except (sqlite3.Error, BusyError, NewerSchemaError, OSError) as error:
        raise StoreError(str(path), expected="a store that can be written", found=str(error)) from error
