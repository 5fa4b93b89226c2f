"""Room alert: a rule, as the engine reads it. No I/O, no clock. `schema` makes them from YAML."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from otel_llm.alert.signal import Signal, signal

NAME: Final = "alertname"
REASON: Final = "otel_llm_reason"
SCOPE: Final = "scope"

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

_MOST_VALUE: Final = 256
"""Longest value of a label; what is longer is cut [character]."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls or readings make one series: those that ``where`` lets through, told apart by ``by``.

    Rules with the same group read the same series, so that fifty rules cost what one does.

    Attributes:
        source: The metric whose readings are meant, with what they must carry; ``None`` for inference spans.
        where: Attributes and the values that they may have.
        by: Attributes that tell series apart.
        most: Series at most; one more stands for all others.
    """

    source: tuple[str, Labels] | None
    where: tuple[tuple[str, tuple[str, ...]], ...]
    by: tuple[str, ...]
    most: int


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A statistic of a signal over a window, and the bound that it crosses.

    Attributes:
        signal: Its name.
        group: Where its samples are.
        stat: ``ratio``, ``rate``, ``sum``, ``avg``, ``max``, ``min`` or a percentile such as ``p95``.
        window: [s]
        per: The sum is scaled to this time [s]; ``None`` tells it as it is.
        op: The side of the threshold that is bad.
        threshold: In the signal's unit.
        resolve_threshold: The bound while the alert fires.
        min_samples: With fewer there is no verdict.
        error_types: ``error.type`` or provider codes that count as errors; empty means all.
    """

    signal: str
    group: Group
    stat: str
    window: float
    per: float | None = None
    op: Literal[">", ">=", "<", "<="] = ">"
    threshold: float
    resolve_threshold: float
    min_samples: int
    error_types: tuple[str, ...] = ()

    @property
    def about(self) -> Signal:
        """The signal."""
        known = signal(self.signal)
        if known is None:  # `schema` lets no other through
            raise KeyError(self.signal)
        return known

    def breached(self, value: float, *, firing: bool) -> bool:
        """Whether ``value`` is on the bad side; while firing, of the resolve threshold."""
        bound = self.resolve_threshold if firing else self.threshold
        if self.op == ">":
            return value > bound
        if self.op == ">=":
            return value >= bound
        return value < bound if self.op == "<" else value <= bound


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """An error budget that burns too fast: what its two conditions were made from, kept for the export.

    Attributes:
        objective: Share of calls that are to succeed.
        period: Time that the budget is for [s].
        burn_rate: How many times faster than the budget allows.
        long: The long window [s].
        short: The short window, by which the alert ends soon [s].
    """

    signal: str
    objective: float
    period: float
    burn_rate: float
    long: float
    short: float


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One alerting rule.

    Attributes:
        name: ``alertname``.
        group: The group it stands in, as in Prometheus.
        interval: Time between evaluations [s].
        conditions: All must be breached; the first gives the value.
        slo: Where the conditions come from, for a burn rate.
        hold: How long they must be breached before it fires (``for``) [s].
        keep_firing_for: How long they must be clear before it resolves [s].
        cooldown: Least time from a told resolve to the next told firing of the same alert [s].
        repeat_interval: While it fires it is told again this often [s].
        no_data: What silence means to a firing alert.
        no_data_after: How long silence keeps it firing, where ``no_data`` is ``keep`` [s].
        send_resolved: Whether its end is told.
        labels: Static ones.
        annotations: Templates.
        where: ``FILE:LINE`` that it was read from.
    """

    name: str
    group: str
    interval: float
    conditions: tuple[Condition, ...]
    slo: Slo | None = None
    hold: float = 0.0
    keep_firing_for: float = 60.0
    cooldown: float = 300.0
    repeat_interval: float = 14_400.0
    no_data: Literal["keep", "resolve", "alert"] = "keep"
    no_data_after: float = 300.0
    send_resolved: bool = True
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    where: str = ""

    @property
    def digest(self) -> str:
        """Changes when what is judged changes, and not with labels, texts or times of telling."""
        about = [
            (
                *(condition.signal, condition.stat, condition.window, condition.per, condition.op),
                *(condition.threshold, condition.resolve_threshold, condition.min_samples, condition.error_types),
                *(condition.group.where, condition.group.by),
            )
            for condition in self.conditions
        ]
        return hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What rules read of a group.

    Attributes:
        width: The longest window [s].
        signals: The signals whose values they read.
    """

    width: float
    signals: frozenset[str]


def needs(rules: Sequence[Rule]) -> Mapping[Group, Need]:
    """What ``rules`` read of each group."""
    needed: dict[Group, Need] = {}
    for rule in rules:
        for condition in rule.conditions:
            known = needed.get(condition.group, Need(width=0.0, signals=frozenset()))
            width = max(known.width, condition.window)
            needed[condition.group] = Need(width=width, signals=known.signals | {condition.signal})
    return needed


def label_name(attribute: str) -> str:
    """An attribute's name as a label: ``gen_ai.request.model`` is ``gen_ai_request_model``."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in attribute)
    return f"_{name}" if name[:1].isdigit() else name


def label_value(value: Any) -> str:
    """An attribute's value as a label: one line of bounded length, without control characters."""
    text = value if isinstance(value, str) else str(value)
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= _MOST_VALUE else f"{text[: _MOST_VALUE - 1]}…"


def fingerprint(name: str, labels: Labels) -> str:
    """Who an alert is: 16 hex digits of its name and the labels that tell it apart; severity is not among them."""
    content = json.dumps([name, sorted(labels)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
