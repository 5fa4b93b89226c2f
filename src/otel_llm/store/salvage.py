"""Room store: gets spans out of a damaged file. Works on a copy; the damaged file stays as it is.

Rows are read in the order of their ids. Where one cannot be read the next ones are tried in growing steps, and then
those before it backwards, so that of a damaged page only that page's rows are lost. A file whose first page is damaged
gets the first page of a new store, for every store begins alike.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from otel_llm.store.errors import NotFoundError, StoreError
from otel_llm.store.importer import Imported, import_spans
from otel_llm.store.incoming import Incoming, Owners, from_line, line
from otel_llm.store.migration import schema_steps
from otel_llm.store.older import bridge
from otel_llm.store.stored import COLUMNS, JOINS, stored_span

_PAGE: Final = 4096
_LAST: Final = 2**62
_SELECT: Final = f"SELECT {COLUMNS} FROM {JOINS} WHERE spans.id > ? AND spans.id < ? ORDER BY spans.id"  # noqa: S608
_NOBODY: Final = """CROSS JOIN (SELECT '{"attributes":{},"schema_url":""}' AS content) AS resources"""
_NOTHING: Final = "LEFT JOIN (SELECT NULL AS content)"
_ALONE: Final = (
    _SELECT.replace("CROSS JOIN resources ON resources.id = spans.resource", _NOBODY)
    .replace("LEFT JOIN scopes ON scopes.id = series.scope", "LEFT JOIN (SELECT NULL AS content) AS scopes")
    .replace(
        "LEFT JOIN parameters ON parameters.id = spans.parameters", "LEFT JOIN (SELECT NULL AS content) AS parameters"
    )
)
"""The same where the tables that say whose spans they are cannot be read."""


def salvage(damaged: Path, path: Path) -> Imported:
    """Write every span of ``damaged`` that can be read into the store at ``path``; those it has already stay one.

    Raises:
        NotFoundError: There is no such file.
        StoreError: Nothing of it can be read, or the store cannot be written.
    """
    if not damaged.is_file():
        raise NotFoundError(str(damaged), expected="a damaged store", found="no file", hint="see otel-llm db info")
    with tempfile.TemporaryDirectory(prefix="otel-llm-") as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(damaged, copy)
        wal = damaged.with_name(damaged.name + "-wal")
        if wal.exists():
            shutil.copyfile(wal, copy.with_name("copy.db-wal"))
        sqlite, select = _readable(copy, damaged)
        with closing(sqlite):
            return import_spans(path, _spans(sqlite, select))


def _readable(copy: Path, damaged: Path) -> tuple[sqlite3.Connection, str]:
    """The copy, open and mended as far as it takes, and how to read it."""
    for mend in (_nothing, _without_log, *(_first_page_of(version) for version in range(len(schema_steps()), 0, -1))):
        mend(copy)
        sqlite = sqlite3.connect(copy, isolation_level=None)
        try:
            bridge(sqlite)
            sqlite.execute("PRAGMA query_only = 1")
            for select in (_SELECT, _ALONE):
                if next(_rows(sqlite, select), None) is not None:
                    return sqlite, select
        except sqlite3.Error:
            pass
        sqlite.close()
    raise StoreError(str(damaged), expected="a store with a span that can be read", found="none")


def _nothing(copy: Path) -> None:
    """As it is."""


def _without_log(copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _first_page_of(version: int) -> Any:
    """Puts the first page of a new store of ``version`` before the rest."""

    def mend(copy: Path) -> None:
        _without_log(copy)
        fresh = copy.with_name(f"fresh-{version}.db")
        with closing(sqlite3.connect(fresh, isolation_level=None)) as sqlite:
            sqlite.execute("PRAGMA auto_vacuum = INCREMENTAL")
            for step in schema_steps()[:version]:
                sqlite.executescript(step)
        page = bytearray(fresh.read_bytes()[:_PAGE])
        page[28:32] = (copy.stat().st_size // _PAGE).to_bytes(4)  # how many pages there are
        page[32:40] = bytes(8)  # no list of free ones
        with copy.open("r+b") as file:
            file.write(page)

    return mend


def _spans(sqlite: sqlite3.Connection, select: str) -> Iterator[Incoming]:
    owners = Owners()
    for row in _rows(sqlite, select):
        with suppress(Exception):  # a row that can be read may still hold anything
            yield from_line(line(stored_span(row)), owners)


def _rows(sqlite: sqlite3.Connection, select: str) -> Iterator[Any]:
    """Every row that can be read, by id; past what cannot."""
    reached, step = 0, 1
    while reached < _LAST:
        first = None
        try:
            for row in sqlite.execute(select, (reached, _LAST)):
                if first is None and step > 1:
                    first = row[0]
                    yield from _backwards(sqlite, select, reached - step // 2, first)
                reached, step = row[0], 1
                yield row
        except sqlite3.DatabaseError:
            reached += step
            step *= 2
        else:
            return


def _backwards(sqlite: sqlite3.Connection, select: str, after: int, before: int) -> Iterator[Any]:
    """Those between what failed last and what went well first, from the end, as far as it goes."""
    with suppress(sqlite3.DatabaseError):
        yield from sqlite.execute(f"{select} DESC", (after, before))
