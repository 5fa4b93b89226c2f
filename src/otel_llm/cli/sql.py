"""``otel-llm sql``: a question of the user's own to the store, which can only be read. Cli storey."""

import csv
import io
import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from otel_llm.cli import options, output
from otel_llm.cli.export import cell
from otel_llm.cli.table import Column, print_table
from otel_llm.store.values import presentable

_STEPS: Final = 10_000
"""Of SQLite's machine, between two looks at the clock."""

_LONGEST_VALUE: Final = 4 * 1024 * 1024
"""[byte]"""

_ALLOWED: Final = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_PRAGMAS: Final = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "user_version"}


@click.command(cls=options.Command)
@click.argument("query", metavar="SELECT")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many rows.")
@click.option("--timeout", type=options.Span(), default="30s", show_default=True, help="How long it may take.")
@options.db_option
@options.json_option
def command(*, query: str, form: str, limit: int, timeout: float, db: Path | None, as_json: bool) -> None:
    """Ask the store in SQL, e.g. "SELECT model, count(*) FROM calls GROUP BY model".

    The view `calls` has a row for each attempt and stays as it is: columns are added, none is renamed. Times are
    seconds. The other tables may change with any version. Nothing can be written.
    """
    path = options.store_path(db)
    if not path.exists():
        raise options.NoData(options.nothing_yet(f"No store at {path} yet."))
    try:
        names, rows = _ask(path, query, limit + 1, timeout)
    except sqlite3.Error as error:
        raise _failure(error, timeout) from error
    if len(rows) > limit:
        rows.pop()
        click.echo(f"The first {output.count(limit)} rows; --limit gives more.", err=True)
    if as_json or form == "json":
        output.print_json([dict(zip(names, map(_sound, row), strict=True)) for row in rows])
    elif form == "csv":
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow([cell(name) for name in names])
        writer.writerows([cell(_sound(value)) for value in row] for row in rows)
        click.echo(buffer.getvalue(), nl=False)
    else:
        columns = [Column(title=output.clean(name), right=_is_number(rows, place)) for place, name in enumerate(names)]
        print_table(output.console(), columns, [[_shown(value) for value in row] for row in rows])


def _ask(path: Path, query: str, limit: int, timeout: float) -> tuple[list[str], list[Sequence[Any]]]:
    deadline = time.monotonic() + timeout
    sqlite = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=timeout)
    try:
        sqlite.execute("PRAGMA query_only = ON")
        sqlite.execute("PRAGMA trusted_schema = OFF")
        sqlite.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        sqlite.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        sqlite.set_authorizer(_judge)
        sqlite.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        cursor = sqlite.execute(query)
        names = _distinct([column[0] for column in cursor.description or ()])
        if not names:
            raise sqlite3.ProgrammingError("expected a SELECT, found a statement without rows")  # noqa: EM101, TRY003
        return names, cursor.fetchmany(limit)
    finally:
        sqlite.close()


def _judge(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite asks before it compiles each step of a statement: what does not read is refused."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second == "load_extension" else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if first in _PRAGMAS else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _distinct(names: Sequence[str]) -> list[str]:
    """``names`` with a number behind what comes again."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


def _failure(error: sqlite3.Error, timeout: float) -> click.ClickException:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
        return options.Failure(f"SELECT: expected an answer within {timeout:g} s, found none (--timeout gives more)")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH or re.search(
        "not authorized|prohib", str(error)
    ):
        return click.UsageError("SELECT: expected a statement that only reads, found one that may not")
    return click.UsageError(f"SELECT: {output.clean(error)}")


def _sound(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else presentable(value)


def _shown(value: Any) -> str:
    return output.ABSENT if value is None else output.clean(_sound(value))


def _is_number(rows: Sequence[Sequence[Any]], place: int) -> bool:
    values = [row[place] for row in rows if row[place] is not None]
    return bool(values) and all(isinstance(value, (int, float)) for value in values)
