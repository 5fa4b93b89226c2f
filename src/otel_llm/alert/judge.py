"""Room alert: all alerts of one host, and what a tick makes of them. No I/O, no clock.

Ticks stand on a grid: group by group, every ``interval``. A rule that cannot be evaluated holds its alerts where they
are and harms no other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import floor
from typing import Final

import msgspec

from otel_llm.alert import state
from otel_llm.alert.board import Board
from otel_llm.alert.evaluation import Evaluation
from otel_llm.alert.rule import REASON, Group, Labels, Rule, fingerprint
from otel_llm.alert.state import Alert, Notice, Verdict

FAILING: Final = Rule(
    name="OtelLlmRuleEvaluationFailing",
    group="otel-llm",
    interval=10.0,
    conditions=(),
    labels={"severity": "warning"},
    annotations={"summary": "rule {{ labels.rule }} cannot be evaluated"},
)
"""The alert about a rule that could not be evaluated three times in a row."""

_LATE: Final = 3.0
"""A tick that comes later than this many intervals counts as one interval: nobody knows what was in between."""

_KEPT: Final = 900.0
"""An alert is remembered this long after it resolved [s]."""

_FAILURES: Final = 3


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An alert after a tick that moved it.

    Attributes:
        rule: Its rule.
        alert: As it is now.
        before: Its state before.
        notice: What is to be told, if anything.
    """

    rule: Rule
    alert: Alert
    before: state.State
    notice: Notice | None

    @property
    def fingerprint(self) -> str:
        """Who the alert is."""
        return fingerprint(self.rule.name, self.alert.labels)


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an alert whose rule is gone.

    Attributes:
        labels: Those that the rule added.
        wall: The date [s].
    """

    labels: Mapping[str, str]
    wall: float


class Judge:
    """Rules, and the state of their alerts.

    Args:
        rules: The rules.
        board: The series that they read.
        gauge_interval: How often gauges are read [s].

    Attributes:
        alerts: By rule and labels; all that are not at rest.
        late: Ticks that came so late that time was left out.
        evaluations: Of rules, so far.
        errors: Evaluations that failed, by rule.
    """

    def __init__(self, rules: Sequence[Rule], board: Board, gauge_interval: float = 10.0) -> None:
        self.board = board
        self.alerts: dict[tuple[str, Labels], Alert] = {}
        self.late = 0
        self.evaluations = 0
        self.errors: dict[str, int] = {}
        self._gauge_interval = gauge_interval
        self._rules: dict[str, Rule] = {rule.name: rule for rule in rules}
        self._ticked: dict[str, float] = {}
        self._row: dict[str, int] = {}

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules."""
        return tuple(self._rules.values())

    def rule(self, name: str) -> Rule | None:
        """The rule of that name, the one about failing rules among them."""
        return FAILING if name == FAILING.name else self._rules.get(name)

    def standing(self) -> Iterator[Change]:
        """Every alert that is remembered, as a change that changes nothing."""
        for (name, _), alert in list(self.alerts.items()):
            rule = self.rule(name)
            if rule is not None:
                yield Change(rule=rule, alert=alert, before=alert.state, notice=None)

    def tick(self, now: float, wall: float) -> list[Change]:
        """Move the alerts of every rule whose time has come.

        Args:
            now: On the clock of slots [s].
            wall: The date [s].

        Returns:
            Every alert that is not at rest or left it, with what is to be told.
        """
        evaluation = Evaluation(self.board, now, self._gauge_interval)
        changes: list[Change] = []
        for rule in self._rules.values():
            at = floor(now / rule.interval + 1e-9) * rule.interval
            before = self._ticked.get(rule.name)
            if before is not None and at <= before:
                continue
            self._ticked[rule.name] = at
            self.evaluations += 1
            dt = 0.0 if before is None else at - before
            if dt > _LATE * rule.interval:
                self.late += 1
                dt = rule.interval
            changes.extend(self._tick_rule(rule, evaluation, dt, wall))
            changes.extend(self._tell_failing(rule, dt, wall))
        return changes

    def reload(self, rules: Sequence[Rule], wall: float) -> list[Change]:
        """Take new rules; what did not change keeps its state, firing alerts without a rule resolve."""
        fresh = {rule.name: rule for rule in (*rules, FAILING)}
        changes: list[Change] = []
        for (name, labels), alert in list(self.alerts.items()):
            old, new = self._rules.get(name), fresh.get(name)
            if name == FAILING.name and dict(labels)["rule"] not in fresh:
                old, new = FAILING, None
            if new is None:
                del self.alerts[name, labels]
                if old is not None:
                    after, notice = state.remove(old, alert, wall)
                    changes.append(Change(rule=old, alert=after, before=alert.state, notice=notice))
            elif old is not None and old.digest != new.digest:
                self.alerts[name, labels] = state.resume(alert, 0.0, changed=True)
        del fresh[FAILING.name]
        self._rules = fresh
        self._ticked = {name: at for name, at in self._ticked.items() if name in fresh}
        self.board.resize(rules)
        return changes

    def restore(self, name: str, digest: str, alert: Alert, gap: float, rest: Rest) -> Change | None:
        """Take up an alert that an earlier process, or another one, kept ``gap`` seconds ago.

        Args:
            name: Of its rule.
            digest: Of the rule as it was then.
            alert: As it was kept.
            gap: [s]
            rest: What is known of a rule that is gone.

        Returns:
            The end of an alert that fires and whose rule is gone.
        """
        rule = self.rule(name)
        if rule is not None:
            changed = rule.digest != digest
            self.alerts[name, alert.labels] = state.resume(alert, gap, changed=changed)
            return None
        if alert.state == "inactive":
            return None
        gone = Rule(name=name, group="", interval=10.0, conditions=(), labels=rest.labels)
        after, notice = state.remove(gone, alert, rest.wall)
        return Change(rule=gone, alert=after, before=alert.state, notice=notice)

    def forget(self) -> None:
        """Let go of every alert: another process judges now."""
        self.alerts.clear()
        self._ticked.clear()

    def needs(self, group: Group, key: tuple[str, ...]) -> bool:
        """Whether an alert that is not at rest reads the series."""
        series = self.board.series.get(group)
        labels = set(series.labels(key)) if series is not None else set[tuple[str, str]]()
        return any(
            labels.issubset(alert.labels)
            for (name, _), alert in self.alerts.items()
            if alert.state != "inactive"
            and name in self._rules
            and any(condition.group == group for condition in self._rules[name].conditions)
        )

    def _tick_rule(self, rule: Rule, evaluation: Evaluation, dt: float, wall: float) -> Iterator[Change]:
        try:
            judged = [
                (labels, evaluation.judge(rule, labels, firing=self._state(rule, labels) == "firing"))
                for labels in self._instances(rule, evaluation)
            ]
            self._row.pop(rule.name, None)
        except Exception:  # noqa: BLE001 - a rule must not harm another; it is counted, and told as an alert of its own
            self.errors[rule.name] = self.errors.get(rule.name, 0) + 1
            self._row[rule.name] = self._row.get(rule.name, 0) + 1
            known = [labels for name, labels in self.alerts if name == rule.name]
            judged = [(labels, Verdict(data="error")) for labels in known]
        for labels, verdict in judged:
            change = self._move(rule, labels, verdict, dt, wall)
            if change is not None:
                yield change

    def _instances(self, rule: Rule, evaluation: Evaluation) -> Iterable[Labels]:
        """The alerts to judge: those that the series make, those that are not at rest, and those about silence."""
        found = dict.fromkeys(evaluation.instances(rule))
        found.update(dict.fromkeys(labels for name, labels in self.alerts if name == rule.name))
        if rule.no_data == "alert":
            about = [tuple(sorted((*labels, (REASON, "no_data")))) for labels in found if REASON not in dict(labels)]
            found.update(dict.fromkeys(about))
        return list(found)

    def _state(self, rule: Rule, labels: Labels) -> state.State:
        alert = self.alerts.get((rule.name, labels))
        return "inactive" if alert is None else alert.state

    def _move(self, rule: Rule, labels: Labels, verdict: Verdict, dt: float, wall: float) -> Change | None:
        place = (rule.name, labels)
        alert = self.alerts.get(place)
        if alert is None:
            if verdict.data != "breach":
                return None
            alert = Alert(labels=labels)
        after, notice = state.step(rule, alert, verdict, dt, wall)
        self.alerts[place] = after
        if after.state == "inactive" and _is_forgotten(rule, after):
            del self.alerts[place]
        return Change(rule=rule, alert=after, before=alert.state, notice=notice)

    def _tell_failing(self, rule: Rule, dt: float, wall: float) -> Iterator[Change]:
        fails = self._row.get(rule.name, 0) >= _FAILURES
        change = self._move(FAILING, (("rule", rule.name),), Verdict(data="breach" if fails else "clear"), dt, wall)
        if change is not None:
            yield change

    def failing(self) -> Mapping[str, int]:
        """Rules that could not be evaluated three times in a row or more, and how often."""
        return {name: times for name, times in self._row.items() if times >= _FAILURES}


def _is_forgotten(rule: Rule, alert: Alert) -> bool:
    """Whether a resting alert has nothing left that its next episode must know."""
    since = alert.since_resolved
    return since is None or since > max(rule.cooldown, _KEPT)
