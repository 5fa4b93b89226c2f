"""Room alert: one rule as an expression of PromQL. No I/O, no clock.

What Prometheus cannot see as the engine does is written so that it comes out the same, or refused with the reason.
A bound on a bucket's edge is an exact share; the share of errors is one minus the share of successes, which sees an
error series being born.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, NoReturn

from otel_llm import semconv
from otel_llm.alert.exposition import (
    Exposed,
    Names,
    below,
    duration,
    exposed,
    literal,
    match,
    named,
    number,
    operations,
)
from otel_llm.alert.rule import NAME, Condition, Rule, label_name
from otel_llm.alert.signal import QUANTILES
from otel_llm.document import Fault

_SCRAPES: Final = 60.0
"""A shorter window holds too few scrapes of the usual 15 s to tell a rate [s]."""

_FIRST: Final = match(semconv.RESEND, ("false",))
_OK: Final = match(semconv.ERROR_TYPE, ("",))


class CompileError(Exception):
    """A rule that cannot be said in PromQL; carries the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(slots=True, kw_only=True)
class Expression:
    """A rule in PromQL.

    Attributes:
        text: True where the rule is breached.
        bound: ``$value`` is the share of calls beyond this bound and not the statistic itself; ``None`` where it is.
        labels: Those that its alerts carry.
        warnings: What Prometheus will do otherwise than the engine.
    """

    text: str = ""
    bound: float | None = None
    labels: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list[str])


def translate(rule: Rule, names: Names, units: Mapping[str, str]) -> Expression:
    """``rule`` in PromQL.

    Args:
        rule: The rule.
        names: The flavour of the metrics' names.
        units: UCUM units of metrics that rules call by ``metric:NAME``.

    Raises:
        CompileError: It would never fire there, or for other calls than here.
    """
    parts = [_Part(rule, condition, names, units) for condition in rule.conditions]
    said = Expression(labels=parts[0].labels, bound=parts[0].bound)
    breached = _all([part.breached(firing=False) for part in parts], parts)
    enough = [text for part in parts if (text := part.enough()) is not None]
    if enough:
        breached = f"(\n  {breached}\nand\n  " + "\nand\n  ".join(enough) + "\n)"
    said.text = breached
    if any(condition.resolve_threshold != condition.threshold for condition in rule.conditions):
        held = _all([part.breached(firing=True) for part in parts], parts)
        on = ", ".join(said.labels)
        firing = f'ALERTS{{{NAME}="{rule.name}", alertstate="firing"}}'
        said.text = f"{breached}\nor\n(\n  {held}\nand on ({on})\n  {firing}\n)"
    for part in parts:
        said.warnings += [text for text in part.warnings if text not in said.warnings]
    if rule.no_data == "alert":
        said.warnings.append("no_data: alert is not exported; Prometheus has absent() for it")
    return said


def _all(texts: list[str], parts: "list[_Part]") -> str:
    """Every condition; those that follow are looked up by the labels that they have."""
    whole, *rest = texts
    for text, part in zip(rest, parts[1:], strict=True):
        on = "" if part.labels == parts[0].labels else f" on ({', '.join(part.labels)})"
        whole = f"{whole}\nand{on}\n  {text}"
    return whole if not rest else f"({whole})"


class _Part:
    """One condition in PromQL."""

    def __init__(self, rule: Rule, condition: Condition, names: Names, units: Mapping[str, str]) -> None:
        self.warnings: list[str] = []
        self._rule = rule
        self._condition = condition
        self._names: Names = names
        self._metric: Exposed = exposed(condition, names, units)
        self._range = f"[{duration(condition.window)}]"
        self.labels = self._by()
        self._group = f"by ({', '.join(self.labels)})"
        self._where = self._filters()
        edges = self._metric.buckets
        self._quantile = QUANTILES.get(condition.stat) if edges else None
        self.bound = condition.threshold if self._quantile is not None and condition.threshold in edges else None
        self._check(edges, units)

    def breached(self, *, firing: bool) -> str:
        """The comparison; while firing, with the resolve threshold."""
        condition = self._condition
        bound = condition.resolve_threshold if firing else condition.threshold
        if self._quantile is None:
            return f"({self._value()} {condition.op} {number(bound)})"
        above = condition.op.startswith(">")
        if self.bound is None:
            return f"({self._estimate()} {condition.op} {number(bound)})"
        if bound in self._metric.buckets:
            share = f"{self._sum('bucket', below(bound))} / {self._sum('count')}"
            limit = 1 - self._quantile
            return f"(1 - {share} > {number(limit)})" if above else f"({share} >= {number(self._quantile)})"
        share = f"1 - {self._sum('bucket', below(self.bound))} / {self._sum('count')}"
        return f"(({share}) and ({self._estimate()} {condition.op} {number(bound)}))"

    def enough(self) -> str | None:
        """That there are samples enough; ``None`` where one will do."""
        condition = self._condition
        least = condition.min_samples
        kind = condition.about.kind
        if least <= 1 and not (kind == "rate" and least):
            return None
        if kind == "gauge":
            counted = f"sum {self._group} (count_over_time({self._select('')}{self._range}))"
        elif kind in {"ratio", "rate"} or condition.signal == "cost":
            first = (_FIRST,) if condition.signal != "attempt_error_rate" else ()
            counted = f"sum {self._group} (increase({self._operations(*first)}{self._range}))"
        elif condition.signal == "tokens":
            output = match(semconv.TOKEN_TYPE, (semconv.TOKEN_TYPE_OUTPUT,))
            counted = f"sum {self._group} (increase({self._select('_count', output)}{self._range}))"
        else:
            counted = f"sum {self._group} (increase({self._select('_count')}{self._range}))"
        return f"{counted} >= {least}"

    # --- values -------------------------------------------------------------------------------------------------

    def _value(self) -> str:
        condition = self._condition
        kind = condition.about.kind
        if kind == "ratio":
            return self._ratio()
        if kind == "rate":
            return f"sum {self._group} (rate({self._operations(_FIRST)}{self._range}))"
        if kind == "gauge":
            return self._gauge()
        if kind == "distribution":  # avg; percentiles are said otherwise
            return f"{self._sum('sum')} / {self._sum('count')}"
        suffix = "_total" if condition.signal == "cost" else "_sum"
        selected = self._select(suffix)
        if condition.stat == "rate":
            return f"sum {self._group} (rate({selected}{self._range}))"
        total = f"sum {self._group} (increase({selected}{self._range}))"
        scale = (condition.per or condition.window) / condition.window
        return total if scale == 1 else f"{total} * {number(scale)}"

    def _ratio(self) -> str:
        """The share of errors. Without named types as one minus successes: an error series may be born at fifty."""
        condition = self._condition
        calls = condition.signal == "error_rate"
        first = (_FIRST,) if calls else ()
        everything = f"sum {self._group} (rate({self._operations(*first)}{self._range}))"
        if condition.error_types:
            types = "|".join(map(literal, condition.error_types))
            failed = self._sum("count", f'{label_name(semconv.ERROR_TYPE)}=~"{types}"')
            if calls:
                resent = f"sum {self._group} (rate({self._operations(match(semconv.RESEND, ('true',)))}{self._range}))"
                failed = f"({failed} - ({resent} or 0 * {everything}))"
            self._warn("errors of a type that is seen for the first time are counted from its second scrape on")
            return f"{failed} / {everything}"
        good = self._sum("count", _OK)
        return f"1 - ({good} or 0 * {everything}) / {everything}"

    def _gauge(self) -> str:
        stat = self._condition.stat
        selected = self._select("")
        if stat in QUANTILES:
            return f"max {self._group} (quantile_over_time({number(QUANTILES[stat])}, {selected}{self._range}))"
        return f"{stat} {self._group} ({stat}_over_time({selected}{self._range}))"

    def _estimate(self) -> str:
        """A percentile between bucket edges."""
        group = f"by ({', '.join((*self.labels, 'le'))})"
        rates = f"sum {group} (rate({self._select('_bucket')}{self._range}))"
        return f"histogram_quantile({number(self._quantile or 0)}, {rates})"

    def _sum(self, suffix: str, *matchers: str) -> str:
        return f"sum {self._group} (rate({self._select(f'_{suffix}', *matchers)}{self._range}))"

    def _select(self, suffix: str, *matchers: str) -> str:
        said = ",".join((*matchers, *self._metric.matchers, *self._where))
        return f"{self._metric.name}{suffix}{{{said}}}" if said else f"{self._metric.name}{suffix}"

    def _operations(self, *matchers: str) -> str:
        said = ",".join((*matchers, *self._where))
        return f"{operations(self._names)}{{{said}}}" if said else operations(self._names)

    # --- what there is ------------------------------------------------------------------------------------------

    def _by(self) -> tuple[str, ...]:
        known = self._metric.attributes
        kept = tuple(name for name in self._condition.group.by if known is None or name in known)
        for name in self._condition.group.by:
            if name not in kept:
                self._warn(f"{self._metric.name} has no {label_name(name)}; its series are judged together")
        if semconv.QUEUE_NAME in (known or ()) and not kept and self._condition.group.by:
            kept = (semconv.QUEUE_NAME,)
        return tuple(sorted(map(label_name, kept)))

    def _filters(self) -> tuple[str, ...]:
        known = self._metric.attributes
        filters: list[str] = []
        for name, values in self._condition.group.where:
            if known is not None and name not in known:
                self._fail("where", f"attributes that {self._metric.name} has: {', '.join(sorted(known))}", name)
            filters.append(match(name, values))
        return tuple(filters)

    def _check(self, edges: tuple[float, ...], units: Mapping[str, str]) -> None:
        condition = self._condition
        kind, stat = condition.about.kind, condition.stat
        if kind in {"distribution", "total"} and stat in {"max", "min"}:
            self._fail("stat", "what buckets and sums can tell: a percentile, avg, sum or rate", stat)
        if kind == "total" and stat == "avg":
            self._fail("stat", "sum or rate, for the metric knows no single calls", stat)
        if condition.window < _SCRAPES:
            self._warn(f"a window of {duration(condition.window)} needs scrapes every {duration(condition.window / 4)}")
        if self._quantile is not None:
            self._check_edges(edges)
        if condition.signal == "ttft":
            self._warn("Prometheus holds the time to the first chunk, which may carry no token yet")
        if condition.group.source is not None and condition.signal.startswith("metric:"):
            metric = condition.group.source[0]
            if metric not in units:
                self._warn(f"the unit of {metric} is not known, so {named(metric, '', self._names)} may lack a suffix")

    def _check_edges(self, edges: tuple[float, ...]) -> None:
        condition = self._condition
        most = edges[-1]
        for bound, key in ((condition.threshold, "threshold"), (condition.resolve_threshold, "resolve_threshold")):
            if bound > most:
                expected = f"at most {number(most)}, the last bucket of {self._metric.name}"
                self._fail(key, expected, number(bound), "it would never fire: histogram_quantile stops there")
            if bound not in edges:
                lower = max((edge for edge in edges if edge < bound), default=0.0)
                upper = min((edge for edge in edges if edge > bound), default=inf)
                self._warn(
                    f"{key} {number(bound)} lies between buckets, so Prometheus estimates;"
                    f" {number(lower)} and {number(upper)} would be exact"
                )

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _fail(self, key: str, expected: str, found: str, hint: str | None = None) -> NoReturn:
        raise CompileError(
            Fault(where=self._rule.where, key=f"{self._rule.name}.{key}", expected=expected, found=found, hint=hint)
        )
