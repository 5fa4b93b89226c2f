"""``otel-llm alerts backtest``: when rules would have fired over what the store holds. Cli storey."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from otel_llm.alert.replay import Moment, replay
from otel_llm.alert.rule import Rule, needs
from otel_llm.cli import options, output
from otel_llm.cli.alert_rules import sound
from otel_llm.cli.table import Column, print_table
from otel_llm.store.alerts import AlertReader
from otel_llm.store.query import StoreError

_DAY: Final = 86_400.0
_COLUMNS: Final = (
    Column(title="ALERT"),
    Column(title="FIRED"),
    Column(title="RESOLVED"),
    Column(title="FOR", right=True, rank=1),
    Column(title="VALUE", right=True, rank=2),
    Column(title="LABELS", shrink=20),
)


@dataclass(slots=True, kw_only=True)
class _Episode:
    """One firing: times (wall clock) [s], ``resolved_at`` ``None`` where it fires to the end."""

    alert: str
    labels: dict[str, str]
    fired_at: float
    value: float | None
    resolved_at: float | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "alert": self.alert,
            "labels": self.labels,
            "fired_at": output.rfc3339(self.fired_at),
            "resolved_at": output.rfc3339(self.resolved_at),
            "value": self.value,
            "reason": self.reason,
        }


@click.command(cls=options.Command)
@click.argument("rules", required=False, type=click.Path(path_type=Path))
@click.option("--since", "--last", type=options.Moment(), help="From then on: 15m, 1h, 2d (ago).  [default: 24h]")
@click.option("--until", type=options.Moment(), help="Before then; written like --since.  [default: now]")
@click.option("--alert", metavar="NAME", multiple=True, help="Only this alert; may be given several times.")
@options.db_option
@options.json_option
def backtest(
    *,
    rules: Path | None,
    since: int | None,
    until: int | None,
    alert: tuple[str, ...],
    db: Path | None,
    as_json: bool,
) -> None:
    """Replay the store through RULES, or the rules in force, and say when each would have fired and resolved.

    Windows are filled from before --since. What the machine said is as fine as its gauges were stored.
    """
    end = time.time() if until is None else until / 1e9
    begin = end - _DAY if since is None else since / 1e9
    chosen = _chosen(sound(rules).rules, alert)
    path = options.store_path(db)
    if not path.exists():
        raise options.NoData(options.nothing_yet(f"No store at {path} yet."))
    try:
        with AlertReader(path) as store:
            if not store.info()["rows"]["spans"]:
                raise options.NoData(options.nothing_yet("No call is stored."))
            episodes = _episodes(_moments(store, chosen, begin, end), begin)
    except StoreError as error:
        raise options.Failure(str(error)) from error
    if as_json:
        output.print_json([episode.as_json() for episode in episodes])
        return
    _print(episodes, chosen)


COMMANDS: Final = (backtest,)


def _chosen(rules: Iterable[Rule], names: tuple[str, ...]) -> list[Rule]:
    listed = list(rules)
    unknown = set(names) - {rule.name for rule in listed}
    if unknown:
        message = f"--alert: expected the name of a rule, found {', '.join(sorted(unknown))}"
        raise click.UsageError(message)
    return [rule for rule in listed if not names or rule.name in names]


def _moments(store: AlertReader, rules: list[Rule], begin: float, end: float) -> Iterable[Moment]:
    needed = needs(rules)
    warm = max((need.width for need in needed.values()), default=0.0)
    metrics = sorted({group.source[0] for group in needed if group.source is not None})
    calls = store.calls_between(begin - warm, end)
    readings = store.readings_between(metrics, begin - warm, end) if metrics else ()
    return replay(rules, calls, readings, end)


def _episodes(moments: Iterable[Moment], begin: float) -> list[_Episode]:
    open_: dict[str, _Episode] = {}
    ended: list[_Episode] = []
    for moment in moments:
        change = moment.change
        if change.alert.state == "firing" and change.before != "firing":
            labels = dict(change.alert.labels)
            open_[change.fingerprint] = _Episode(
                alert=change.rule.name, labels=labels, fired_at=moment.at, value=change.alert.value
            )
        elif change.before == "firing" and change.alert.state != "firing":
            episode = open_.pop(change.fingerprint, None)
            if episode is not None:
                episode.resolved_at, episode.reason = moment.at, change.alert.reason
                ended.append(episode)
    told = [*ended, *open_.values()]
    return sorted(
        (one for one in told if one.resolved_at is None or one.resolved_at >= begin), key=lambda one: one.fired_at
    )


def _print(episodes: list[_Episode], rules: list[Rule]) -> None:
    if episodes:
        print_table(output.console(), _COLUMNS, [_cells(episode) for episode in episodes])
    fired = {episode.alert for episode in episodes}
    quiet = [rule.name for rule in rules if rule.name not in fired]
    if quiet:
        click.echo(f"would not have fired: {', '.join(quiet)}", err=True)


def _cells(episode: _Episode) -> list[str]:
    ended = episode.resolved_at
    return [
        output.clean(episode.alert),
        _moment(episode.fired_at),
        output.ABSENT if ended is None else _moment(ended),
        output.ABSENT if ended is None else output.duration(ended - episode.fired_at),
        output.ABSENT if episode.value is None else f"{episode.value:.4g}",
        output.clean(", ".join(f"{name}={value}" for name, value in sorted(episode.labels.items()))),
    ]


def _moment(seconds: float) -> str:
    nanoseconds = round(seconds * 1e9)
    return f"{output.date(nanoseconds)} {output.clock(nanoseconds)[:8]}"
