"""Room store: what summaries and roll-ups add up of many calls. No I/O, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.store.spread import Spread
from otel_llm.store.values import is_clean

MEASURES: Final = ("time_to_first_token", "time_per_output_token", "queue_wait")
TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens")
NUMBERS: Final = ("start_time", "duration", "resend_count", "cost", "energy", *TOKENS, *MEASURES)
"""Columns of ``spans`` that `Group.add` takes, in this order."""

SUMS: Final = ("busy", "priced", "energy", "energy_output_tokens")
FIGURES: Final = ("attempts", "resends", *TOKENS, "first_start", "last_end", *SUMS, "cost", "duration", *MEASURES)
"""Columns of ``rollups`` that `Group.pack` gives and `Group.unpack` takes."""

_ERROR: Final = 2
_CURRENCY: Final = "USD"
"""Of a cost that names none."""

_INT64: Final = 2**63 - 1


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What calls that are counted together have in common.

    Attributes:
        outcome: As recorded; where another instrumentation told none, what the status says.
        reported: Whether the provider itself counted the tokens.
        currency: Of the cost.
    """

    operation: str | None
    provider: str | None
    request_model: str | None
    response_model: str | None
    service: str | None
    outcome: str
    reported: bool
    currency: str | None = None

    @property
    def model(self) -> str | None:
        """The model asked for, else the one that answered."""
        return self.request_model or self.response_model


def kind(operation: str | None, status: int, said: Mapping[str, Any], service: str | None) -> Kind:
    """The kind of a span with this operation, status, attributes and service."""
    texts = {name: value for name, value in said.items() if isinstance(value, str) and value and is_clean(value)}
    outcome = semconv.OUTCOME_ERROR if status == _ERROR else semconv.OUTCOME_COMPLETED
    return Kind(
        operation=operation,
        provider=texts.get(semconv.PROVIDER_NAME),
        request_model=texts.get(semconv.REQUEST_MODEL),
        response_model=texts.get(semconv.RESPONSE_MODEL),
        service=service,
        outcome=texts.get(semconv.OUTCOME, outcome),
        reported=said.get(semconv.USAGE_SOURCE) != semconv.USAGE_SOURCE_ESTIMATED,
        currency=texts.get(semconv.COST_CURRENCY),
    )


class Group(msgspec.Struct, kw_only=True):
    """Counts, sums and spreads while they grow.

    Attributes:
        busy: All durations together [ns].
        priced: Attempts that have a cost.
        costs: By currency.
        energy: [J]
        energy_output_tokens: Of attempts that have an energy.
        moments: Starts and ends of all attempts [ns]; ``None`` where they are not wanted, or not all known.
    """

    attempts: int = 0
    resends: int = 0
    failed: int = 0
    cancelled: int = 0
    abandoned: int = 0
    tokens: list[int | None] = msgspec.field(default_factory=lambda: [None] * len(TOKENS))
    busy: int | None = None
    priced: int | None = None
    energy: float | None = None
    energy_output_tokens: int | None = None
    costs: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    moments: tuple[list[int], list[int]] | None = None
    start: int | None = None
    end: int | None = None
    duration: Spread = msgspec.field(default_factory=Spread)
    measures: tuple[Spread, ...] = msgspec.field(default_factory=lambda: tuple(Spread() for _ in MEASURES))

    @property
    def errors(self) -> int:
        """Failed calls: a failed attempt that was sent again is none."""
        return max(0, self.failed - self.resends)

    @property
    def calls(self) -> int:
        """Attempts less resends."""
        return self.attempts - self.resends

    def add(self, kind: Kind, rows: Sequence[Sequence[Any]]) -> None:
        """Take in spans of one kind: rows that end with `NUMBERS`."""
        columns = [*zip(*rows, strict=True)][-len(NUMBERS) :]
        starts, durations, resends, costs, energies = columns[:5]
        tokens, measured = columns[5 : -len(MEASURES)], columns[-len(MEASURES) :]
        self._count(kind, len(rows), len(rows) - resends.count(None) - resends.count(0))
        if kind.outcome == semconv.OUTCOME_COMPLETED:
            self.duration.add([duration / 1e9 for duration in durations])
        for spread, column in zip(self.measures, measured, strict=True):
            spread.add(_known(column))
        if kind.reported:
            self._sum([sum(known) if (known := _known(column)) else None for column in tokens])
        ends = [*map(int.__add__, starts, durations)]
        self._extend(min(starts), max(ends))
        self._total("busy", sum(durations))
        if known := _known(costs):
            self._pay(kind, sum(known), len(known))
        if known := _known(energies):
            self._total("energy", sum(known))
            made = tokens[TOKENS.index("output_tokens")]
            if kind.reported and (counts := [n for n, e in zip(made, energies, strict=True) if e is not None and n]):
                self._total("energy_output_tokens", sum(counts))
        if self.moments is not None:
            self.moments[0].extend(starts)
            self.moments[1].extend(ends)

    def merge(self, other: "Group") -> None:
        """Take in another group, but for its spreads."""
        for name in ("attempts", "resends", "failed", "cancelled", "abandoned"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._sum(other.tokens)
        for name in SUMS:
            self._total(name, getattr(other, name))
        for currency, amount in other.costs.items():
            self.costs[currency] = self.costs.get(currency, 0.0) + amount
        if other.start is not None and other.end is not None:
            self._extend(other.start, other.end)

    def pack(self) -> list[object]:
        """The values of `FIGURES`, which SQLite can hold."""
        numbers = (self.attempts, self.resends, *self.tokens, self.start, self.end, *(getattr(self, n) for n in SUMS))
        return [
            *(n if n is None or -_INT64 <= n <= _INT64 else max(-_INT64, min(_INT64, n)) for n in numbers),
            sum(self.costs.values()) if self.costs else None,
            self.duration.pack(),
            *(spread.pack() for spread in self.measures),
        ]

    def unpack(self, kind: Kind, row: Sequence[Any]) -> None:
        """Take in calls of one kind that were packed."""
        attempts, resends, *tokens, start, end, busy, priced, energy, spent, cost, duration = row[: -len(MEASURES)]
        self._count(kind, attempts, resends)
        self._sum(tokens)
        self.moments = None
        for name, value in zip(SUMS, (busy, None, energy, spent), strict=True):
            self._total(name, value)
        if cost is not None:
            self._pay(kind, cost, priced)
        self._extend(start, end)
        self.duration.unpack(duration)
        for spread, packed in zip(self.measures, row[-len(MEASURES) :], strict=True):
            spread.unpack(packed)

    def as_json(self, group: dict[str, str | None]) -> dict[str, Any]:
        """The group as the contract has it."""
        seconds = ((self.end or 0) - (self.start or 0)) / 1e9
        given, output = (self.tokens[TOKENS.index(name)] for name in ("input_tokens", "output_tokens"))
        return {
            "group": group,
            "calls": self.calls,
            "attempts": self.attempts,
            "errors": self.errors,
            "failed_attempts": self.failed,
            "cancelled": self.cancelled,
            "abandoned": self.abandoned,
            **dict(zip(TOKENS, self.tokens, strict=True)),
            "error_rate": _ratio(self.errors, self.calls),
            "cancel_rate": _ratio(self.cancelled, self.attempts),
            "cache_hit_share": _ratio(self.tokens[TOKENS.index("cache_read_input_tokens")], given),
            "calls_per_second": _ratio(self.calls, seconds if self.calls > 1 else 0),
            "input_tokens_per_second": _ratio(given, seconds),
            "tokens_per_second": _ratio(output, seconds),
            "concurrency": self._concurrency(seconds),
            "duration": self.duration.percentiles(),
            **{name: spread.percentiles() for name, spread in zip(MEASURES, self.measures, strict=True)},
            "cost": dict(sorted(self.costs.items())) or None,
            "priced": self.priced or 0,
            "energy": self.energy,
            "energy_per_output_token": _ratio(self.energy, self.energy_output_tokens),
        }

    def _concurrency(self, seconds: float) -> dict[str, float | int | None] | None:
        """Attempts under way at once: on average over the group's time [s], and at most."""
        if self.busy is None or seconds <= 0:
            return None
        return {"mean": self.busy / 1e9 / seconds, "max": None if self.moments is None else _most(*self.moments)}

    def _pay(self, kind: Kind, amount: float, attempts: int | None) -> None:
        currency = kind.currency or _CURRENCY
        self.costs[currency] = self.costs.get(currency, 0.0) + amount
        self._total("priced", attempts)

    def _total(self, name: str, more: float | None) -> None:
        """Add to one of `SUMS`, which stay ``None`` until something is known."""
        if more is not None:
            setattr(self, name, (getattr(self, name) or 0) + more)

    def _count(self, kind: Kind, attempts: int, resends: int) -> None:
        self.attempts += attempts
        self.resends += resends
        if kind.outcome == semconv.OUTCOME_ERROR:
            self.failed += attempts
        elif kind.outcome == semconv.OUTCOME_CANCELLED:
            self.cancelled += attempts
        elif kind.outcome == semconv.OUTCOME_ABANDONED:
            self.abandoned += attempts

    def _sum(self, tokens: Iterable[int | None]) -> None:
        for place, more in enumerate(tokens):
            if more is not None:
                self.tokens[place] = (self.tokens[place] or 0) + more

    def _extend(self, start: int, end: int) -> None:
        self.start = start if self.start is None else min(self.start, start)
        self.end = end if self.end is None else max(self.end, end)


def _most(starts: list[int], ends: list[int]) -> int:
    """How many intervals overlap at most; one that ends when another begins does not."""
    begins, finishes = sorted(starts), sorted(ends)
    most, over = 1, 0
    for begun, at in enumerate(begins, start=1):
        while over < begun - 1 and finishes[over] <= at:
            over += 1
        most = max(most, begun - over)
    return most


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _known(column: Sequence[Any]) -> Sequence[Any]:
    """What somebody measured."""
    return [value for value in column if value is not None] if None in column else column
