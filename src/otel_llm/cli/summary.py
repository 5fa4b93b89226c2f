"""``otel-llm summary``: percentiles, tokens, errors over a time range. Cli storey; `Reader.summary` has the figures."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import click
import msgspec
from rich.text import Text

from otel_llm.cli import bench, figures, options, output
from otel_llm.cli.figures import Group
from otel_llm.cli.table import Column, print_table
from otel_llm.store.query import Filter, Reader

_DIMENSIONS: Final = ("model", "provider", "service", "operation", "hour", "host")
_HOUR: Final = 3_600_000_000_000
"""[ns]"""
_SECOND: Final = 1_000_000_000
"""[ns]"""
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800, 2592000)
"""[s] What a bar of a course may stand for."""
_MOST_SLICES: Final = 40
_FEWEST_SLICES: Final = 4
_SAMPLES_PER_SLICE: Final = 4
"""Fewer have no percentile worth a bar."""
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_ALL: Final = "all"
_FORMS: Final = ("table", "md", "json", "bench")


@click.command(cls=options.Command)
@options.filter_options()
@click.option("--by", type=click.Choice(_DIMENSIONS), multiple=True, help="Group by this; may be given several times.")
@click.option("--format", "form", type=click.Choice(_FORMS), default="table", show_default=True)
@click.option("--fleet", is_flag=True, help="Of all hosts that share a Redis (redis.url), the last two hours at most.")
@options.db_option
@options.json_option
def command(*, selection: Filter, by: tuple[str, ...], form: str, fleet: bool, db: Path | None, as_json: bool) -> None:
    """Percentiles, tokens and errors over a time range.

    Without --since: the hour up to the newest call. Without --by a table has a row per model, JSON one group. A call
    that was resent counts once, and failed only if its last attempt failed. TTFT is the time to the first token, TPOT
    the time per output token after it, E2E the whole of a completed call, OUT tok/s what all calls together put out,
    CONC how many were under way at once on average. With --format bench each group is the report of vllm bench serve.
    """
    as_json = as_json or form == "json"
    if ("host" in by and not fleet) or ("hour" in by and fleet):
        message = "--by: host is for --fleet, and hour for a store"
        raise click.UsageError(message)
    with _fleet() if fleet else options.reader(db) as store:
        if isinstance(store, Reader):
            selection = _ranged(store, selection)
        document = store.summary(selection, by if by or as_json or form == "bench" else ("model",))
        if as_json:
            output.print_json(document)
        if not document["attempts"]:
            raise options.NoData(options.nothing_yet("No call matches."))
        if form == "bench" and not as_json:
            _print_bench(document, by)
        elif not as_json:
            _print(store, selection, document, by or ("model",), markdown=form == "md")


class Summing(Protocol):
    """What summaries are made of: a store, or what all hosts told."""

    def summary(self, selection: Filter, by: tuple[str, ...] = (), /) -> dict[str, Any]:
        """The summary of the calls that fit, as the contract has it."""
        ...


@contextmanager
def _fleet() -> Iterator[Summing]:
    from otel_llm.cli.fleet import Summed  # noqa: PLC0415 - an extra

    yield Summed()


def _print_bench(document: Group, by: Sequence[str]) -> None:
    """One report a group, under its name where there are several kinds of them."""
    for place, group in enumerate(document["groups"]):
        if by:
            click.echo(("\n" if place else "") + " ".join(name_of(group, dimension) for dimension in by))
        click.echo("\n".join(bench.lines(group)))


def _ranged(store: Reader, selection: Filter) -> Filter:
    """``selection``, cut to the hour before the newest call that it holds, unless it says when it begins."""
    if selection.since is not None:
        return selection
    newest = store.calls(msgspec.structs.replace(selection, limit=1))
    if not newest:
        return selection
    since = newest[0].start_time_unix_nano - _HOUR
    older = store.calls(msgspec.structs.replace(selection, until=since, limit=1))
    # Without older ones the range is as long as the calls took, and a rate over it means something.
    return msgspec.structs.replace(selection, since=since) if older else selection


def _print(store: Summing, selection: Filter, document: Group, by: Sequence[str], *, markdown: bool) -> None:
    groups = list(document["groups"])
    services = [group["group"].get("service") for group in store.summary(selection, ("service",))["groups"]]
    title = head(document, [output.clean(name) for name in services if name])
    rows = [[*(name_of(group, dimension) for dimension in by), *figures.row(group)] for group in groups]
    if len(groups) > 1:
        total = store.summary(selection, ())["groups"][0]
        rows.append([_ALL, *[""] * (len(by) - 1), *figures.row(total)])
    columns = [*(Column(title=dimension.upper(), shrink=12) for dimension in by), *figures.COLUMNS]
    notes = figures.notes([(" ".join(name_of(group, dimension) for dimension in by), group) for group in groups])
    if markdown:
        _print_markdown(title, columns, rows, notes)
        return
    console = output.console()
    console.print(title, soft_wrap=True)
    print_table(console, columns, [_styled(columns, row) for row in rows])
    course = _course(store, selection, document) if isinstance(store, Reader) else None
    if course is not None:
        console.print(course, soft_wrap=True)
    for note in notes:
        console.print(Text(note, style="dim"), soft_wrap=True)


def _styled(columns: Sequence[Column], row: Sequence[str]) -> list[Text]:
    """The total is bold; errors are red, to be seen."""
    calm = ("0 %", output.ABSENT)
    return [
        Text(cell, style="red" if column.title == "ERR" and cell not in calm else "bold" if row[0] == _ALL else "")
        for column, cell in zip(columns, row, strict=True)
    ]


def _print_markdown(head: Text, columns: Sequence[Column], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """A table to paste: titles in full, without the columns in which nothing is said."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells[place].replace('|', '&#124;') for place in said)} |"

    said = [
        place
        for place, column in enumerate(columns)
        if column.rank == 0 or any(row[place] != output.ABSENT for row in rows)
    ]
    titles: list[str] = []
    for column in columns:
        titles.append(f"{titles[-1].split()[0]} {column.title}" if column.title in ("p95", "p99") else column.title)
    marks = ["---:" if column.right else "---" for column in columns]
    click.echo("\n".join([head.plain, "", *map(line, [titles, marks, *rows]), *(f"\n{note}" for note in notes)]))


def name_of(group: Group, dimension: str) -> str:
    """What a group is called in one dimension."""
    value = group["group"].get(dimension)
    if dimension == "hour" and value:
        return f"{_moment(value):%Y-%m-%d %H:%M}"
    return output.clean(value or output.ABSENT)


def head(document: Group, services: Sequence[str]) -> Text:
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


def _course(store: Reader, selection: Filter, document: Group) -> Text | None:
    """``TTFT  ▁▁▂▇█▅  p95 per 2m00s, 180ms to 2.10s``, or ``None`` where there are too few first tokens to tell."""
    since, until = (round(_moment(document[name]).timestamp() * 1e9) for name in ("since", "until"))
    samples = sum((group["time_to_first_token"] or {}).get("count", 0) for group in document["groups"])
    slices = min(_MOST_SLICES, samples // _SAMPLES_PER_SLICE)
    if slices < _FEWEST_SLICES or until <= since:
        return None
    least = (until - since) / _SECOND / slices
    step = _SECOND * next((step for step in _STEPS if step >= least), math.ceil(least))
    values: list[float | None] = []
    for begin in range(since, until, step):
        part = msgspec.structs.replace(selection, since=begin, until=min(begin + step, until + 1))
        groups = store.summary(part, ())["groups"]
        first = groups[0]["time_to_first_token"] if groups else None
        values.append(first["p95"] if first else None)
    known = [value for value in values if value is not None]
    if len(known) < _FEWEST_SLICES:
        return None
    scale = f"p95 per {output.step(step // _SECOND)}, {output.duration(min(known))} to {output.duration(max(known))}"
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
