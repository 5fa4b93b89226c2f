"""``otel-llm summary``: percentiles, tokens, errors over a time range. Cli storey; `Reader.summary` has the figures."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text

from otel_llm.cli import figures, options, output
from otel_llm.cli.table import Column, print_table
from otel_llm.store.query import Filter, Reader

_DIMENSIONS: Final = ("model", "provider", "service", "operation", "hour")
_HOUR: Final = 3_600_000_000_000
"""[ns]"""
_SLICES: Final = 30
_LEAST_SLICES: Final = 3
"""Fewer bars with data than this are no course over time."""
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_ALL: Final = "all"

_Group = Mapping[str, Any]


@click.command(cls=options.Command)
@options.filter_options()
@click.option("--by", type=click.Choice(_DIMENSIONS), multiple=True, help="Group by this; may be given several times.")
@click.option("--format", "form", type=click.Choice(("table", "md", "json")), default="table", show_default=True)
@options.db_option
@options.json_option
def command(*, selection: Filter, by: tuple[str, ...], form: str, db: Path | None, as_json: bool) -> None:
    """Percentiles, tokens and errors over a time range.

    Without --since: the hour up to the newest call. Without --by a table has a row per model, JSON one group. A call
    that was resent counts once, and failed only if its last attempt failed. TTFT is the time to the first token, TPOT
    the time per output token after it, E2E the whole of a call.
    """
    as_json = as_json or form == "json"
    with options.reader(db) as store:
        selection = _ranged(store, selection)
        document = store.summary(selection, by if by or as_json else ("model",))
        if as_json:
            output.print_json(document)
        if not document["attempts"]:
            raise options.NoData(options.nothing_yet("No call matches."))
        if not as_json:
            _print(store, selection, document, by or ("model",), markdown=form == "md")


def _ranged(store: Reader, selection: Filter) -> Filter:
    """``selection`` with a beginning: an hour before the newest call that it holds, unless it says one."""
    if selection.since is not None:
        return selection
    newest = store.calls(dataclasses.replace(selection, limit=1))
    if not newest:
        return selection
    return dataclasses.replace(selection, since=newest[0].start_time_unix_nano - _HOUR)


def _print(store: Reader, selection: Filter, document: _Group, by: Sequence[str], *, markdown: bool) -> None:
    groups = list(document["groups"])
    services = [group["group"].get("service") for group in store.summary(selection, ("service",))["groups"]]
    head = _head(document, [output.clean(name) for name in services if name])
    rows = [[*(_name(group, dimension) for dimension in by), *figures.row(group)] for group in groups]
    if len(groups) > 1:
        total = store.summary(selection, ())["groups"][0]
        rows.append([_ALL, *[""] * (len(by) - 1), *figures.row(total)])
    columns = [*(Column(title=dimension.upper(), shrink=12) for dimension in by), *figures.COLUMNS]
    notes = figures.notes([(" ".join(_name(group, dimension) for dimension in by), group) for group in groups])
    if markdown:
        _print_markdown(head, columns, rows, notes)
        return
    console = output.console()
    console.print(head, soft_wrap=True)
    print_table(console, columns, [[Text(cell, style="bold" * (row[0] == _ALL)) for cell in row] for row in rows])
    course = _course(store, selection, document)
    if course is not None:
        console.print(course, soft_wrap=True)
    for note in notes:
        console.print(Text(note, style="dim"), soft_wrap=True)


def _print_markdown(head: Text, columns: Sequence[Column], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    lines = [
        head.plain,
        "",
        line(column.title for column in columns),
        line("---:" if column.right else "---" for column in columns),
        *map(line, rows),
    ]
    click.echo("\n".join([*lines, *(f"\n{note}" for note in notes)]))


def _name(group: _Group, dimension: str) -> str:
    return output.clean(group["group"].get(dimension) or output.ABSENT)


def _head(document: _Group, services: Sequence[str]) -> Text:
    """``chat-svc · 2026-12-31 11:31:07 to 12:31:07 · 1,284 calls · 9 errors (0.7 %) · 1.42 calls/s``."""
    since, until = _moment(document["since"]), _moment(document["until"])
    end = f"{until:%H:%M:%S}" if since.date() == until.date() else f"{until:%Y-%m-%d %H:%M:%S}"
    calls, errors = document["calls"], document["errors"]
    parts = [
        ", ".join(services) if len(services) <= 2 else f"{len(services)} services",  # noqa: PLR2004 - what fits
        f"{since:%Y-%m-%d %H:%M:%S} to {end}",
        f"{output.count(calls)} call{'s' * (calls != 1)}",
    ]
    if document["attempts"] != calls:
        parts.append(f"{output.count(document['attempts'])} attempts")
    rate = f" ({output.percent(document['error_rate'])})" if errors else ""
    failed = f"{output.count(errors)} error{'s' * (errors != 1)}{rate}"
    seconds = (until - since).total_seconds()
    text = Text(" · ").join([*(Text(part) for part in parts if part), Text(failed, style="red" if errors else "")])
    if seconds > 0 and calls > 1:
        text.append(f" · {calls / seconds:.3g} calls/s")
    return text


def _course(store: Reader, selection: Filter, document: _Group) -> Text | None:
    """``TTFT ▁▁▂▇█▅  p95 of each 2m00s, 180ms to 2.10s``, or ``None`` where too few slices hold a first token."""
    since, until = (round(_moment(document[name]).timestamp() * 1e9) for name in ("since", "until"))
    step = (until - since) // _SLICES
    if step <= 0:
        return None
    values: list[float | None] = []
    for begin in range(since, until - step + 1, step):
        groups = store.summary(dataclasses.replace(selection, since=begin, until=begin + step), ())["groups"]
        first = groups[0]["time_to_first_token"] if groups else None
        values.append(first["p95"] if first else None)
    known = [value for value in values if value is not None]
    if len(known) < _LEAST_SLICES:
        return None
    low, high = min(known), max(known)
    scale = f"p95 of each {output.duration(step / 1e9)}, {output.duration(low)} to {output.duration(high)}"
    return Text.assemble(("TTFT", "bold"), "  ", (spark(values), "green"), f"  {scale}")


def spark(values: Sequence[float | None]) -> str:
    """One bar a value, from 0 to the greatest; a gap where there is none."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    return "".join(
        " " if value is None else _SPARKS[min(len(_SPARKS) - 1, int(value / top * len(_SPARKS)))] for value in values
    )


def _moment(text: str) -> datetime:
    """Local time."""
    return datetime.fromisoformat(text).astimezone()
