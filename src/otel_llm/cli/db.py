"""``otel-llm db``: the file that calls are kept in. Cli storey; the facts are `Reader.info`'s."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from otel_llm.cli import options, output

_LABEL_WIDTH: Final = 14
_UNITS: Final = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


@click.group()
def command() -> None:
    """Look after the local store."""


@command.command(cls=options.Command)
@options.db_option
@options.json_option
def info(*, db: Path | None, as_json: bool) -> None:
    """Say where the store is, how large, what it holds and from when to when.

    In JSON, sizes are bytes and times nanoseconds since 1970.
    """
    with options.reader(db) as store:
        facts = store.info()
    if as_json:
        output.print_json(facts)
        return
    for label, text in _rows(facts):
        click.echo(f"{label:<{_LABEL_WIDTH}}{text}")


def size(number: int) -> str:
    """``12.3 MB``: a size [byte] for reading."""
    for unit, factor in _UNITS:
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} B"


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("path", output.clean(facts["path"])),
        ("size", f"{size(facts['size'])}, and {size(facts['wal_size'])} of log"),
        ("schema", str(facts["schema_version"])),
        ("journal mode", facts["journal_mode"].upper()),
        ("SQLite", facts["sqlite_version"]),
    ]
    rows += [(table, output.count(number)) for table, number in facts["rows"].items()]
    rows += [(label, _moment(facts[label])) for label in ("oldest", "newest")]
    return rows


def _moment(nanoseconds: int | None) -> str:
    return output.ABSENT if nanoseconds is None else f"{output.date(nanoseconds)} {output.clock(nanoseconds)}"
