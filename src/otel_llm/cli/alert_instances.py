"""Alerts as the store keeps them, made ready to be shown. Cli storey; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from otel_llm.alert import message
from otel_llm.alert.route import is_silenced
from otel_llm.alert.rule import NAME, Rule
from otel_llm.alert.state import PENDING_GAP, Alert
from otel_llm.cli import output
from otel_llm.ledger import Kept, Silence
from otel_llm.store.alerts import KeptSilence

_SHOWN: Final = 900.0
"""An alert is shown this long after it resolved [s]."""

_ORDER: Final = ("firing", "pending", "resolved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An alert of one set of labels.

    Attributes:
        value: At the last look that had one.
        active_at: When it became pending (wall clock) [s].
        fired_at: (wall clock) [s]
        resolved_at: (wall clock) [s]
        reason: Why it resolved, where not because it was clear.
        silenced: Whether nobody is told of it now.
    """

    alert: str
    state: Literal["pending", "firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    value: float | None
    active_at: float | None
    fired_at: float | None
    resolved_at: float | None
    reason: str | None
    fingerprint: str
    silenced: bool = False

    @property
    def since(self) -> float:
        """When it came into its state (wall clock) [s]."""
        moments = {"pending": self.active_at, "firing": self.fired_at, "resolved": self.resolved_at}
        return moments[self.state] or 0.0

    @property
    def shown_labels(self) -> str:
        """Labels but for the name, on one line."""
        return output.clean(", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()) if name != NAME))

    def as_json(self) -> dict[str, Any]:
        """As the contract's ``alerts.schema.json`` has it."""
        return {
            "alert": self.alert,
            "state": self.state,
            "labels": self.labels,
            "annotations": self.annotations,
            "value": self.value,
            "active_at": output.rfc3339(self.active_at),
            "fired_at": output.rfc3339(self.fired_at),
            "resolved_at": output.rfc3339(self.resolved_at),
            "reason": self.reason,
            "silenced": self.silenced,
            "fingerprint": self.fingerprint,
        }


def instances(kept: Sequence[Kept], rules: Sequence[Rule], now: float) -> list[Instance]:
    """What is pending, fires, or resolved lately; those that fire first.

    Args:
        kept: As the store has them.
        rules: Those in force here, for the words of annotations.
        now: (wall clock) [s]
    """
    known = {rule.name: rule for rule in rules}
    found: list[Instance] = []
    for one in kept:
        alert = msgspec.convert(one.content, Alert)
        state = _state(one, alert, now)
        if state is None:
            continue
        rule = known.get(one.rule)
        said: Mapping[str, str] = {} if rule is None else message.describe(rule, alert).annotations
        found.append(
            Instance(
                alert=one.rule,
                state=state,
                labels=one.labels,
                annotations=dict(said),
                value=alert.value,
                active_at=alert.active_at,
                fired_at=None if state == "pending" else alert.fired_at,
                resolved_at=alert.resolved_at if state == "resolved" else None,
                reason=alert.reason if state == "resolved" else None,
                fingerprint=one.fingerprint,
            )
        )
    return sorted(found, key=lambda one: (_ORDER.index(one.state), -one.since, one.alert))


def silenced(found: Sequence[Instance], silences: Sequence[KeptSilence], now: float) -> list[Instance]:
    """The same, with those marked that a silence in force covers."""
    known = [Silence(matchers=one.matchers, starts=one.starts, ends=one.ends) for one in silences]
    return [replace(one, silenced=is_silenced({NAME: one.alert, **one.labels}, known, now)) for one in found]


def _state(one: Kept, alert: Alert, now: float) -> Literal["pending", "firing", "resolved"] | None:
    if one.state == "firing":
        return "firing"
    if one.state == "pending":  # its judge writes twice a minute; older ones are of a process that is gone
        return "pending" if now - one.wall <= PENDING_GAP else None
    ended = alert.resolved_at
    return "resolved" if ended is not None and alert.fired_at is not None and now - ended <= _SHOWN else None
