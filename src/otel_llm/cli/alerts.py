"""``otel-llm alerts``: what fires and fired, and the rules behind it. Cli storey; the store has the judge's word."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.live import Live
from rich.text import Text

from otel_llm.cli import alert_files, alert_messages, alert_past, alert_silences, options, output
from otel_llm.cli.alert_instances import Instance, instances, silenced
from otel_llm.cli.alert_rules import in_force
from otel_llm.cli.table import Column, print_table
from otel_llm.quantity import Duration
from otel_llm.store.alerts import AlertReader, Turn
from otel_llm.store.query import StoreError

TRIPPED: Final = 4
"""Exit code where an alert fires."""

_COLUMNS: Final = (
    Column(title="STATE"),
    Column(title="ALERT"),
    Column(title="VALUE", right=True, rank=1),
    Column(title="SINCE", rank=2),
    Column(title="LABELS", rank=0, shrink=20),
    Column(title="TOLD", rank=3),
)
_TURNS: Final = (
    Column(title="TIME"),
    Column(title="ALERT"),
    Column(title="TURNED"),
    Column(title="VALUE", right=True, rank=2),
    Column(title="SAMPLES", right=True, rank=3),
    Column(title="REASON", rank=1),
    Column(title="LABELS", rank=0, shrink=20),
)
_SHORTEST: Final = 0.2
"""Between two looks [s]."""

_PATIENCE: Final = 5.0
_NONE: Final = "No alert is pending or fires."
_STYLES: Final = {"firing": "red", "pending": "yellow", "resolved": "green"}


@click.group()
def command() -> None:
    """Show alerts, check and rehearse their rules, and take the rules to Prometheus."""


@command.command("list", cls=options.Command)
@options.db_option
@options.json_option
@click.pass_context
def list_(ctx: click.Context, *, db: Path | None, as_json: bool) -> None:
    """List alerts that are pending or fire, and those that resolved within 15 minutes; exit code 4 if any fires.

    An alert of a process that is gone fires until another process judges it.
    """
    found = _look(db)
    if as_json:
        output.print_json([one.as_json() for one in found])
    else:
        _print(found)
    if any(one.state == "firing" for one in found):
        ctx.exit(TRIPPED)


@command.command(cls=options.Command)
@click.option("--once", is_flag=True, help="Print what there is now and end; exit code 4 if any alert fires.")
@click.option(
    "--interval", type=options.Span(), default="2s", show_default=True, help="Time between two looks; 500ms, 2s."
)
@options.db_option
@click.pass_context
def watch(ctx: click.Context, *, once: bool, interval: Duration, db: Path | None) -> None:
    """Show alerts as they change, until Ctrl-C; waits for a store that does not exist yet."""
    if once:
        ctx.invoke(list_, db=db, as_json=False)
        return
    if not (path := options.store_path(db)).exists():
        click.echo(f"Waiting for {path} (nothing recorded yet)", err=True)
    console = output.console()
    if not console.is_terminal:
        _follow(db, max(_SHORTEST, interval))
        return
    with Live(console=console, screen=False, auto_refresh=False) as live:
        while True:
            with console.capture() as captured:
                console.print(Text(time.strftime("%H:%M:%S"), style="dim"))
                if found := _seen(db):
                    _print(found)
                else:
                    console.print(_NONE)
            live.update(Text.from_ansi(captured.get()), refresh=True)
            time.sleep(max(_SHORTEST, interval))


@command.command(cls=options.Command)
@click.option("--since", "--last", type=options.Moment(), help="From then on: 15m, 1h, 2d (ago).")
@click.option("--until", type=options.Moment(), help="Before then; written like --since.")
@click.option("--alert", metavar="NAME", help="Only this alert.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@options.db_option
@options.json_option
def history(
    *, since: int | None, until: int | None, alert: str | None, limit: int, db: Path | None, as_json: bool
) -> None:
    """List how alerts changed, newest first."""
    begin, end = (since or 0) / 1e9, float("inf") if until is None else until / 1e9
    with _reader(db) as store:
        found = store.turns(begin, end, -1 if alert else limit)
    turns = [turn for turn in found if alert in (None, turn.alert)][:limit]
    if as_json:
        output.print_json([_turn(turn) for turn in turns])
    if not turns:
        message = "No alert has changed its state."
        raise options.NoData(message)
    if not as_json:
        print_table(output.console(), _TURNS, [_cells(turn) for turn in turns])


def _reader(db: Path | None) -> Any:
    """The open store, for alerts."""
    path = options.store_path(db)
    if not path.exists():
        raise options.NoData(options.nothing_yet(f"No store at {path} yet."))
    try:
        return AlertReader(path)
    except StoreError as error:
        raise options.Failure(str(error)) from error


def _look(db: Path | None) -> list[Instance]:
    with _reader(db) as store:
        kept, silences = store.kept(), store.silences()
    return silenced(instances(kept, in_force(None).rules, time.time()), silences, time.time())


def _seen(db: Path | None) -> list[Instance]:
    """As `_look`; none where there is no store, and one that is being made is given a moment."""
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            return _look(db)
        except options.NoData:
            return []
        except options.Failure:
            if time.monotonic() >= patience:
                raise
        time.sleep(_SHORTEST)


def _follow(db: Path | None, interval: float) -> None:
    """Into a pipe: one line for each change."""
    before: dict[str, str] = {}
    while True:
        now = {one.fingerprint: one for one in _seen(db)}
        for fingerprint, one in now.items():
            if before.get(fingerprint) != one.state:
                click.echo(f"{time.strftime('%H:%M:%S')}  {one.state}  {one.alert}  {one.shown_labels}")
        before = {fingerprint: one.state for fingerprint, one in now.items()}
        time.sleep(interval)


def _print(found: Sequence[Instance]) -> None:
    if not found:
        click.echo(_NONE, err=True)
        return
    rows = [
        [
            Text(one.state, style=_STYLES[one.state]),
            Text(output.clean(one.alert)),
            Text(output.ABSENT if one.value is None else f"{one.value:.4g}"),
            Text(output.date(round(one.since * 1e9)) + " " + output.clock(round(one.since * 1e9))[:8]),
            Text(one.shown_labels),
            Text("silenced" if one.silenced else output.clean(one.reason or output.ABSENT)),
        ]
        for one in found
    ]
    print_table(output.console(), _COLUMNS, rows)


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "time": output.rfc3339(turn.time),
        "alert": turn.alert,
        "fingerprint": turn.fingerprint,
        "from": turn.before,
        "to": turn.state,
        "labels": turn.labels,
        "value": turn.value,
        "samples": turn.samples,
        "reason": turn.reason,
    }


def _cells(turn: Turn) -> list[str]:
    moment = round(turn.time * 1e9)
    labels = ", ".join(f"{name}={value}" for name, value in sorted(turn.labels.items()) if name != "alertname")
    turned = "resolved" if (turn.before, turn.state) == ("firing", "inactive") else turn.state
    return [
        f"{output.date(moment)} {output.clock(moment)[:8]}",
        output.clean(turn.alert),
        turned,
        output.ABSENT if turn.value is None else f"{turn.value:.4g}",
        output.count(turn.samples),
        output.clean(turn.reason or output.ABSENT),
        output.clean(labels),
    ]


for _one in (*alert_files.COMMANDS, *alert_messages.COMMANDS, *alert_past.COMMANDS, *alert_silences.COMMANDS):
    command.add_command(_one)
