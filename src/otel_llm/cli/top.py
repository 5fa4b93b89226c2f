"""``otel-llm top``: the calls of the last minutes and the machine on one screen. Cli storey; reads the store only."""

import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from otel_llm.cli import figures, options, output, system
from otel_llm.cli.summary import head, name_of
from otel_llm.cli.table import Column, print_table
from otel_llm.quantity import Duration
from otel_llm.store.query import Filter, Reader

_MOST_ROWS: Final = 12
_SLICES: Final = 20


@click.command(cls=options.Command)
@click.option("--window", type=options.Span(), default="5m", show_default=True, help="Calls of the last so long.")
@click.option("--interval", type=options.Span(), default="2s", show_default=True, help="Between two looks.")
@click.option("--once", is_flag=True, help="Print one screen and end.")
@options.db_option
def command(*, window: Duration, interval: Duration, once: bool, db: Path | None) -> None:
    """Calls and machine on one screen, refreshed until q or Ctrl-C.

    In a pipe, and with --once, the screen is printed once.
    """
    with options.reader(db) as store:
        console = output.console()
        if once or not (sys.stdin.isatty() and console.is_terminal):
            console.print(_screen(store, window, console.width, color=False), soft_wrap=True)
            return
        with _keys(), Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_screen(store, window, console.width, color=console.color_system is not None), refresh=True)
                if _quits(max(0.2, interval)):
                    return


def _screen(store: Reader, window: float, width: int, *, color: bool) -> Text:
    """All that is shown, as wide as the terminal."""
    now = time.time_ns()
    since = now - round(window * 1e9)
    paper = StringIO()
    console = Console(file=paper, width=width, highlight=False, markup=False, emoji=False, force_terminal=color)
    document = store.summary(Filter(since=since), ("model",))
    if document["attempts"]:
        console.print(head(document, []), soft_wrap=True)
        groups = document["groups"][:_MOST_ROWS]
        rows = [[name_of(group, "model"), *figures.row(group)] for group in groups]
        print_table(console, [Column(title="MODEL", shrink=12), *figures.COLUMNS], rows)
        if len(document["groups"]) > _MOST_ROWS:
            console.print(f"and {len(document['groups']) - _MOST_ROWS} more models", style="dim")
    else:
        console.print(f"No call in the last {output.duration(window)}.")
    found = store.machine(since, slices=_SLICES)
    console.print()
    for line in system.lines(found) if found is not None else [Text("No reading of the machine.")]:
        console.print(line, soft_wrap=True)
    return Text.from_ansi(paper.getvalue().rstrip("\n"))


@contextmanager
def _keys() -> Iterator[None]:
    """Have keys come as they are pressed, unseen; the terminal is put back whatever happens."""
    import termios  # noqa: PLC0415 - not needed for --once, nor there on every system
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quits(seconds: float) -> bool:
    """Whether q is pressed within ``seconds`` [s]; another key ends the wait."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.read(1) in {"q", "Q", ""}
