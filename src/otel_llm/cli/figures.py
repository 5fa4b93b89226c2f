"""The columns of ``otel-llm summary``: a group of `Reader.summary` as text. Cli storey; pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from otel_llm.cli import output
from otel_llm.cli.table import Column

Group: TypeAlias = Mapping[str, Any]

_TIMES: Final = {
    "duration": "E2E",
    "time_to_first_token": "TTFT",
    "time_per_output_token": "TPOT",
    "queue_wait": "QUEUE",
}
_P99_NEEDS: Final = 100
"""[samples] Fewer say nothing about one in a hundred."""


def _time(figure: str, quantile: str) -> Callable[[Group], str]:
    return lambda group: output.duration((group.get(figure) or {}).get(quantile))


def _error_rate(group: Group) -> str:
    return output.percent(group["errors"] / group["calls"]) if group["calls"] else output.ABSENT


def _rate(group: Group) -> str:
    rate = group.get("tokens_per_second")
    return output.ABSENT if rate is None else f"{rate:,.1f}"


def _tokens(group: Group) -> str:
    given, made = group.get("input_tokens"), group.get("output_tokens")
    return output.ABSENT if given is None and made is None else f"{output.short(given)}→{output.short(made)}"


def _cached(group: Group) -> str:
    cached, given = group.get("cache_read_input_tokens"), group.get("input_tokens")
    return output.ABSENT if cached is None or not given else output.percent(cached / given)


def _some(name: str) -> Callable[[Group], str]:
    return lambda group: output.count(group.get(name) or None)


def _cost(group: Group) -> str:
    return (
        " ".join(f"{amount:.4g} {currency}" for currency, amount in (group.get("cost") or {}).items()) or output.ABSENT
    )


def _concurrency(group: Group) -> str:
    mean = (group.get("concurrency") or {}).get("mean")
    return output.ABSENT if mean is None else f"{mean:.2f}"


def _joules(group: Group) -> str:
    each = group.get("energy_per_output_token")
    return output.ABSENT if each is None else f"{each:.3g} J"


def _energy(group: Group) -> str:
    energy = group.get("energy")
    return output.ABSENT if energy is None else f"{energy:,.0f} J"


_FIGURES: Final[Sequence[tuple[Column, Callable[[Group], str]]]] = (
    (Column(title="CALLS", right=True), lambda group: output.count(group["calls"])),
    (Column(title="ERR", right=True), _error_rate),
    (Column(title="TTFT p50", right=True), _time("time_to_first_token", "p50")),
    (Column(title="p95", right=True, rank=1), _time("time_to_first_token", "p95")),
    (Column(title="p99", right=True, rank=8), _time("time_to_first_token", "p99")),
    (Column(title="TPOT p50", right=True, rank=2), _time("time_per_output_token", "p50")),
    (Column(title="p95", right=True, rank=6), _time("time_per_output_token", "p95")),
    (Column(title="E2E p50", right=True), _time("duration", "p50")),
    (Column(title="p95", right=True, rank=1), _time("duration", "p95")),
    (Column(title="QUEUE p95", right=True, rank=5), _time("queue_wait", "p95")),
    (Column(title="OUT tok/s", right=True, rank=4), _rate),
    (Column(title="CONC", right=True, rank=8), _concurrency),
    (Column(title="IN→OUT tok", right=True, rank=3), _tokens),
    (Column(title="CACHED", right=True, rank=7), _cached),
    (Column(title="ABANDONED", right=True, rank=9), _some("abandoned")),
    (Column(title="CANCELLED", right=True, rank=9), _some("cancelled")),
    (Column(title="COST", right=True, rank=5), _cost),
    (Column(title="ENERGY", right=True, rank=5), _energy),
    (Column(title="J/tok", right=True, rank=6), _joules),
)

COLUMNS: Final = tuple(column for column, _ in _FIGURES)
"""What `row` gives, in order."""


def row(group: Group) -> list[str]:
    """The cells of ``group``."""
    return [say(group) for _, say in _FIGURES]


def notes(named: Sequence[tuple[str, Group]]) -> list[str]:
    """What a reader must know of the figures: where p99 has too few samples, and where cost is not of all calls."""
    few = [
        f"{name} has {count}"
        for name, group in named
        if (count := (group.get("time_to_first_token") or {}).get("count", 0)) and count < _P99_NEEDS
    ]
    partly = [
        f"{name} {output.count(group['priced'])} of {output.count(group['attempts'])}"
        for name, group in named
        if group.get("cost") and group["priced"] < group["attempts"]
    ]
    told = [f"p99 needs {_P99_NEEDS} samples: {', '.join(few)}"] if few else []
    return [*told, *([f"COST is of {', '.join(partly)} attempts: the others have no price"] if partly else [])]
