"""Room store: writes spans from elsewhere into a store. A process that records may write to the same file meanwhile."""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection, NewerSchemaError
from otel_llm.store.errors import StoreError
from otel_llm.store.incoming import Incoming
from otel_llm.store.marks import SPAN

_BATCH: Final = 512
_WAL_LIMIT: Final = 4 * 1024 * 1024
_BUSY: Final = 30.0
"""[s] How long others may hold the file."""


@dataclass(slots=True)
class Imported:
    """What became of the spans.

    Attributes:
        new: Stored.
        doubled: There already, by start, trace and span id.
        faulty: No store can hold them.
    """

    new: int = 0
    doubled: int = 0
    faulty: int = 0


def import_spans(path: Path, spans: Iterable[Incoming]) -> Imported:
    """Write ``spans`` to the store at ``path``, which is made where there is none.

    Raises:
        StoreError: It cannot be written.
    """
    done = Imported()
    try:
        connection = Connection(path)
    except (sqlite3.Error, OSError, NewerSchemaError) as error:
        raise StoreError(str(path), expected="a store that can be written", found=str(error)) from error
    try:
        batches, rest = Batches(), iter(spans)
        while batch := list(islice(rest, _BATCH)):
            written = _insistent(path, connection, batches, batch)
            done.new += written[0]
            done.doubled += written[1]
            done.faulty += written[2]
    finally:
        connection.close()
    return done


def _insistent(path: Path, connection: Connection, batches: Batches, batch: list[Incoming]) -> tuple[int, int, int]:
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            done = batches.write(connection.sqlite, [(SPAN, span) for span in batch])
            connection.checkpoint(limit=_WAL_LIMIT)
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise StoreError(str(path), expected="a store that can be written", found=str(error)) from error
        else:
            return done.stored, done.lost["duplicate"], done.lost["invalid"]
