"""``otel-llm tail``: one line per call as it finishes. Cli storey; follows the store by cursor and into a new file."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from otel_llm.cli import options, output
from otel_llm.cli.calls import find, wanted_options
from otel_llm.cli.cells import Attempt, Wanted
from otel_llm.cli.table import Column, fit, pad
from otel_llm.store.query import Filter, Reader, StoreError

_SECONDS_BETWEEN_LOOKS: Final = 0.2
_SECONDS_OF_PATIENCE: Final = 5.0
"""[s] A store that was just made is not readable at once; one that stays unreadable is an error."""
_NEWEST: Final = -1

_COLUMNS: Final = (
    Column(title="time"),
    Column(title="model"),
    Column(title="status"),
    Column(title="in", rank=5),
    Column(title="cached", rank=7),
    Column(title="out"),
    Column(title="ttft", rank=1),
    Column(title="tpot", rank=4),
    Column(title="e2e"),
    Column(title="span", rank=3),
    Column(title="retry or finish", rank=2),
)
_WIDTHS: Final = (12, 16, 9, 9, 7, 9, 11, 11, 10, 8, 7)
"""[characters] Fixed, for what comes next is not known."""


@click.command(cls=options.Command)
@options.filter_options()
@click.option("-f", "--follow", is_flag=True, help="Go on printing calls as they finish, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="How many at first.")
@wanted_options
@click.option("--fleet", is_flag=True, help="Of all hosts that share a Redis (redis.url), without content.")
@options.db_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def command(  # noqa: PLR0913 - options
    *, selection: Filter, wanted: Wanted, follow: bool, lines: int, fleet: bool, db: Path | None, as_json: bool
) -> None:
    """Print the newest calls, one line each, oldest first; with -f go on as calls finish.

    -f waits for a store that does not exist yet and goes on in a new one when the file is replaced.
    """
    line = _Line(as_json=as_json)
    selection = msgspec.structs.replace(selection, limit=lines)
    if fleet:
        from otel_llm.cli.fleet import calls  # noqa: PLC0415 - an extra

        for attempt in calls(selection, wanted, follow=follow):
            line.print(attempt)
        return
    path = options.store_path(db)
    if not follow:
        with options.reader(path) as store:
            found = find(store, selection, wanted) if lines else []
        for attempt in reversed(found):
            line.print(attempt)
        return
    for attempt in _followed(path, selection, wanted):
        line.print(attempt)


def _followed(path: Path, selection: Filter, wanted: Wanted) -> Iterator[Attempt]:
    """The newest ``selection.limit`` calls of the store, then every one that finishes, for ever.

    A store that is not there at first is read from its start when it comes, and so is one that replaces another.
    """
    new = not path.exists()
    if new:
        click.echo(f"Waiting for {path} (nothing recorded yet)", err=True)
    every = msgspec.structs.replace(selection, limit=None)
    while True:
        identity = _wait_for(path)
        with _opened(path) as store:
            cursor, begun = 0, set[str]()
            if not new:
                cursor = store.after(_NEWEST, every)[1]
                newest = _newest(store, selection, wanted)
                begun = {attempt.span.span_id for attempt in newest}
                yield from reversed(newest)
            while _identity(path) in (identity, None):
                spans, cursor = store.after(cursor, every)
                fresh = (attempt for attempt in map(Attempt.of, spans) if attempt.span.span_id not in begun)
                yield from filter(wanted.fits, fresh)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        click.echo(f"{path} was replaced; reading the new one from its start", err=True)
        new = True


def _newest(store: Reader, selection: Filter, wanted: Wanted) -> list[Attempt]:
    """What the following begins with; nothing is fine here."""
    try:
        return find(store, selection, wanted) if selection.limit else []
    except options.NoData:
        return []


def _wait_for(path: Path) -> tuple[int, int]:
    """The identity of the file, once there is one."""
    while (identity := _identity(path)) is None:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return identity


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _opened(path: Path) -> Reader:
    """The open store; one that was just made is given a moment.

    Raises:
        Failure: It stays unreadable.
    """
    patience = time.monotonic() + _SECONDS_OF_PATIENCE
    while True:
        try:
            return Reader(path)
        except StoreError as error:
            if time.monotonic() >= patience:
                raise options.Failure(str(error)) from error
        time.sleep(_SECONDS_BETWEEN_LOOKS)


class _Line:
    """Prints an attempt as one line, at once."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = output.console()

    def print(self, attempt: Attempt) -> None:
        if self.as_json:
            output.print_json(attempt.span.as_json(), lines=True)
        else:
            # click.echo flushes, rich only when its buffer ends: both after each line.
            self.console.print(_text(self.console, attempt), soft_wrap=True)
            self.console.file.flush()


def _text(console: Console, attempt: Attempt) -> Text:
    call, cached = attempt.call, attempt.call.cache_read_input_tokens
    cells = [
        Text(output.clock(attempt.span.start_time_unix_nano)),
        Text(attempt.model),
        attempt.status,
        Text(f"in {attempt.tokens(call.input_tokens)}"),
        Text(f"c {attempt.tokens(cached)}" if cached else ""),
        Text(f"out {attempt.tokens(call.output_tokens)}"),
        Text(f"ttft {output.duration(call.time_to_first_token):>6}"),
        Text(f"tpot {output.duration(call.time_per_output_token):>6}"),
        Text(f"e2e {output.duration(attempt.span.duration):>6}"),
        Text(attempt.span.span_id[:8]),
        Text(f"retry {attempt.retry}" if call.resend_count else attempt.finish),
    ]
    shown, cut = list(range(len(_COLUMNS))), not output.unwrapped(console)
    if cut:
        shown, _ = fit(_COLUMNS, _WIDTHS, shown, console.width)
    line = Text("  ").join(
        pad(cells[place], _WIDTHS[place] if cut else max(_WIDTHS[place], cells[place].cell_len), right=False)
        for place in shown
    )
    line.rstrip()
    return line
