"""``otel-llm db``: the file that calls are kept in. Cli storey; the facts are `Reader.info`'s."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from otel_llm import config
from otel_llm.cli import options, output
from otel_llm.quantity import Duration, Size
from otel_llm.store import care
from otel_llm.store.errors import NotFoundError, StoreError
from otel_llm.store.migration import copies
from otel_llm.store.salvage import salvage as salvaged

_LABEL_WIDTH: Final = 14
_UNITS: Final = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


_SICK: Final = (
    "The application goes on: what cannot be read is set aside, and a new store is begun. otel-llm db salvage gets back"
    " what can be read."
)


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic in late versions only
    """A size [byte] such as ``100MB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """The size [byte]."""
        try:
            return Size.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


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


@command.command(cls=options.Command)
@click.option("--older-than", "age", type=options.Span(), help="Delete what is older: 7d, 12h.")
@click.option("--max-size", "most", type=Bytes(), help="Delete the oldest until the store is as small: 100MB.")
@options.db_option
@options.json_option
def prune(*, age: Duration | None, most: Size | None, db: Path | None, as_json: bool) -> None:
    """Delete old calls, logs and metrics now, and give their space back.

    Without options, by the configured store.max_age and store.max_size. Hourly totals stay, so summaries still count
    what is gone. Applications may go on writing meanwhile.
    """
    path = _existing(db)
    if age is None and most is None:
        store = config.load().settings.store
        age, most = store.max_age, store.max_size
    with _told():
        change = care.prune(path, max_age=age, max_size=most)
    if as_json:
        output.print_json({"path": str(path), "rows": change.rows, "before": change.before, "after": change.after})
        return
    click.echo(f"{output.count(change.rows)} rows deleted; {size(change.before)} before, {size(change.after)} now")


@command.command(cls=options.Command)
@options.db_option
@options.json_option
def vacuum(*, db: Path | None, as_json: bool) -> None:
    """Give the space of deleted rows back to the disk. Applications may go on writing meanwhile."""
    path = _existing(db)
    with _told():
        change = care.vacuum(path)
    if as_json:
        output.print_json({"path": str(path), "before": change.before, "after": change.after})
        return
    click.echo(f"{size(change.before)} before, {size(change.after)} now")


@command.command(cls=options.Command)
@options.db_option
@options.json_option
def check(*, db: Path | None, as_json: bool) -> None:
    """Look whether the store is sound, page by page. Changes nothing; exits with 1 where it is not."""
    path = _existing(db)
    with _told():
        found = care.problems(path)
    if as_json:
        output.print_json({"path": str(path), "ok": not found, "problems": found})
    elif not found:
        click.echo(f"{output.clean(path)} is sound")
    else:
        for problem in found:
            click.echo(output.clean(problem))
        click.echo(_SICK, err=True)
    if found:
        raise click.exceptions.Exit(options.ERROR)


@command.command(cls=options.Command)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@options.db_option
@options.json_option
def salvage(*, file: Path | None, db: Path | None, as_json: bool) -> None:
    """Get calls and other spans out of a damaged FILE into the store.

    FILE is what was set aside as STORE.corrupt-TIME; without it, all that stand beside the store are read. They stay as
    they are. What the store has already is not doubled. Logs and metrics are not salvaged.
    """
    path = options.store_path(db)
    files = [file] if file is not None else quarantined(path)
    if not files:
        message = f"No damaged store beside {path}."
        raise options.NoData(message)
    results: list[dict[str, Any]] = []
    for damaged in files:
        try:
            done = salvaged(damaged, path)
            results.append({"file": str(damaged), "new": done.new, "doubled": done.doubled, "error": None})
        except StoreError as error:
            results.append({"file": str(damaged), "new": 0, "doubled": 0, "error": str(error)})
    if as_json:
        output.print_json(results)
    else:
        for one in results:
            said = f"{output.count(one['new'])} spans salvaged, {output.count(one['doubled'])} were there already"
            click.echo(f"{output.clean(one['file'])}: {output.clean(one['error'] or said)}")
    if all(one["error"] for one in results):
        raise click.exceptions.Exit(options.ERROR)


def quarantined(path: Path) -> list[Path]:
    """Damaged files that were set aside beside the store, oldest first; without their logs."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return sorted(file for file in found if not file.name.endswith(("-wal", "-shm")))


def _existing(db: Path | None) -> Path:
    path = options.store_path(db)
    if not path.exists():
        raise options.NoData(options.nothing_yet(f"No store at {path} yet."))
    return path


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with the store, as the command's end."""
    try:
        yield
    except NotFoundError as error:
        raise options.NoData(str(error)) from error
    except StoreError as error:
        raise options.Failure(str(error)) from error


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
    path = Path(facts["path"])
    rows += [("copy", output.clean(copy)) for copy in copies(path)]
    rows += [("damaged", output.clean(file)) for file in quarantined(path)]
    return rows


def _moment(nanoseconds: int | None) -> str:
    return output.ABSENT if nanoseconds is None else f"{output.date(nanoseconds)} {output.clock(nanoseconds)}"
