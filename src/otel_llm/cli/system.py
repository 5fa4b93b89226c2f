"""``otel-llm system``: host, GPUs and model servers, now and over a time range. Cli storey; `Reader.machine` reads."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text

from otel_llm import semconv
from otel_llm.cli import options, output
from otel_llm.cli.summary import spark
from otel_llm.store import machine
from otel_llm.store.machine import Gauge, Machine

_DEFAULT: Final = 15 * 60 * 1_000_000_000
"""[ns] The range without ``--since``."""

_SLICES: Final = 30
_STALE: Final = 120_000_000_000
"""[ns] An older reading is told with its age."""


def _percent(value: float) -> str:
    return output.percent(value)


def _bytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB"


def _plain(unit: str, form: str = ".0f") -> Callable[[float], str]:
    return lambda value: f"{value:{form}}{unit}"


_HOST: Final = (
    (semconv.METRIC_SYSTEM_CPU_UTILIZATION, "cpu", _percent, True),
    (semconv.METRIC_SYSTEM_LOAD_1, "load", _plain("", ".2f"), False),
    (semconv.METRIC_SYSTEM_MEMORY_UTILIZATION, "memory", _percent, True),
    (semconv.METRIC_SYSTEM_MEMORY_LIMIT, "of", _bytes, False),
)
_CARD: Final = (
    (semconv.METRIC_GPU_UTILIZATION, "busy", _percent, True),
    (semconv.METRIC_GPU_MEMORY_USAGE, "memory", _bytes, True),
    (semconv.METRIC_GPU_MEMORY_LIMIT, "of", _bytes, False),
    (semconv.METRIC_POWER, "power", _plain(" W"), True),
    (semconv.METRIC_TEMPERATURE, "temp", _plain(" °C"), False),
)
_SERVER: Final = (
    (semconv.METRIC_SERVER_RUNNING, "running", _plain(""), True),
    (semconv.METRIC_SERVER_WAITING, "waiting", _plain(""), True),
    (semconv.METRIC_SERVER_KV_CACHE, "kv cache", _percent, True),
    (semconv.METRIC_SERVER_CACHE_HITS, "cache hits", _percent, False),
    (semconv.METRIC_SERVER_INPUT_RATE, "in", _plain(" tok/s"), False),
    (semconv.METRIC_SERVER_OUTPUT_RATE, "out", _plain(" tok/s"), True),
    (semconv.METRIC_SERVER_QUEUE_TIME, "queue", output.duration, False),
)
"""Metric, its word, how it is written, and whether its course is shown."""

_PREFERRED: Final = {semconv.HW_GPU_TASK: ("general", "compute")}
"""Of several series of a metric, the one that a line shows: the whole, else this one."""


@click.command(cls=options.Command)
@click.option("--since", "--last", type=options.Moment(), help="From then on: 15m, 1h, 2d (ago).  [default: 15m]")
@click.option("--until", type=options.Moment(), help="Before then; written like --since.")
@options.db_option
@options.json_option
def command(*, since: int | None, until: int | None, db: Path | None, as_json: bool) -> None:
    """Host, GPUs and model servers: the newest reading, and its course over a time range.

    Readings are taken beside the calls of an instrumented application, while one runs. A bar is the mean of the last
    15 s of its part of the range.
    """
    with options.reader(db) as store:
        begin = _begin(since, until)
        found = store.machine(begin, until, slices=0 if as_json else _SLICES)
        if as_json:
            output.print_json(machine.as_json(found))
        if found is None:
            raise options.NoData(options.nothing_yet("No reading of the machine in this range."))
        if not as_json:
            console = output.console()
            for line in lines(found, until):
                console.print(line, soft_wrap=True)


def _begin(since: int | None, until: int | None) -> int:
    return since if since is not None else max(0, (until or time.time_ns()) - _DEFAULT)


def lines(found: Machine, until: int | None = None) -> Iterable[Text]:
    """A line for the host, one a card and one a server; nothing for what nobody read."""
    age = (until or time.time_ns()) - found.at
    if age > _STALE:
        yield Text(f"newest reading {output.date(found.at)} {output.clock(found.at)}", style="yellow")
    host = [gauge for gauge in found.gauges if gauge.name.startswith("system.")]
    if host:
        yield _line("host", host, _HOST)
    for names, gauges in _grouped(found, (semconv.HW_ID,)).items():
        name = next((gauge.attributes.get(semconv.HW_NAME) for gauge in gauges), None)
        yield _line(f"gpu {output.clean(name or names[0])}", gauges, _CARD)
    for names, gauges in _grouped(found, (semconv.SERVER_ADDRESS, semconv.SERVER_PORT)).items():
        yield _line(
            f"server {output.clean(':'.join(str(name) for name in names if name is not None))}", gauges, _SERVER
        )


def _grouped(found: Machine, keys: tuple[str, ...]) -> Mapping[tuple[Any, ...], list[Gauge]]:
    groups: dict[tuple[Any, ...], list[Gauge]] = {}
    for gauge in found.gauges:
        if keys[0] in gauge.attributes:
            groups.setdefault(tuple(gauge.attributes.get(key) for key in keys), []).append(gauge)
    return groups


def _line(title: str, gauges: list[Gauge], shown: tuple[tuple[str, str, Callable[[float], str], bool], ...]) -> Text:
    text = Text(title, style="bold")
    for metric, word, write, coursed in shown:
        gauge = _chosen([gauge for gauge in gauges if gauge.name == metric])
        if gauge is None:
            continue
        text.append(f"  {word} ", style="not bold dim")
        text.append(write(gauge.value), style="not bold")
        if coursed and sum(value is not None for value in gauge.course) > 1:
            text.append(f" {spark(gauge.course).lstrip()}", style="not bold green")
    return text


def _chosen(gauges: list[Gauge]) -> Gauge | None:
    """The series that tells of the whole: the one with the fewest attributes, and of those the preferred one."""

    def rank(gauge: Gauge) -> tuple[int, int]:
        said = [
            words.index(value) for name, words in _PREFERRED.items() if (value := gauge.attributes.get(name)) in words
        ]
        return len(gauge.attributes), min(said, default=9)

    return min(gauges, key=rank, default=None)
