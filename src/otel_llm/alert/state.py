"""Room alert: the state machine of one alert. No I/O, no clock: time comes in as the length of a step.

    inactive --breach--> pending --breached for `for`--> firing --clear for `keep_firing_for`--> inactive (resolved)
        ^                   | clear, no data                 | breach again: stays, no new `for`
        +-------------------+                                | no data for `no_data_after`: resolved, reason no_data

It is moved at the ticks of its rule and nowhere else. What is to be told comes out beside the new state: an episode is
told at most once as firing and, if it was, once as resolved.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from otel_llm.alert.rule import Labels, Rule

State = Literal["inactive", "pending", "firing"]
Data = Literal["breach", "clear", "insufficient", "no_data", "error"]

PENDING_GAP: Final = 120.0
"""A pending alert outlives a restart of up to this long [s]."""

STALE_GAP: Final = 3600.0
"""After a longer gap than this a firing alert that is clear, or has no data, is resolved at once [s]."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the windows say at one tick.

    Attributes:
        data: ``breach``, ``clear``, or why neither can be said.
        value: Of the first condition.
        samples: How many it is made of.
    """

    data: Data
    value: float | None = None
    samples: int = 0


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's state for one set of labels.

    Attributes:
        labels: The ones that tell it apart.
        state: Where it stands.
        accrued: How long the conditions have been breached; downtime is not counted [s].
        cleared: How long they have been clear while it fires; ``None`` while they are not [s].
        silent: How long there has been no data while it fires [s].
        stale: Restored after a long gap and not yet judged.
        episode: How often it fired.
        repeats: How often this episode was told again.
        told: Whether this episode was told.
        since_told: Since it was told last [s].
        since_resolved: Since a resolve was told; ``None`` for never [s].
        suppressed: Episodes that the cooldown kept quiet since.
        active_at: When it became pending (wall clock) [s].
        fired_at: When it fired (wall clock) [s].
        resolved_at: When it resolved last (wall clock) [s].
        value: At the last tick that had one.
        samples: Behind ``value``.
        reason: Why it resolved, where not because it was clear.
    """

    labels: Labels = ()
    state: State = "inactive"
    accrued: float = 0.0
    cleared: float | None = None
    silent: float = 0.0
    stale: bool = False
    episode: int = 0
    repeats: int = 0
    told: bool = False
    since_told: float = 0.0
    since_resolved: float | None = None
    suppressed: int = 0
    active_at: float | None = None
    fired_at: float | None = None
    resolved_at: float | None = None
    value: float | None = None
    samples: int = 0
    reason: str | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell about an alert, frozen at the moment it came about.

    Attributes:
        status: ``firing`` or ``resolved``.
        alert: As it stood.
        repeat: 0 for the first word, else how often it was said before.
        suppressed: Episodes that the cooldown kept quiet, this one's beginning among them.
    """

    status: Literal["firing", "resolved"]
    alert: Alert
    repeat: int = 0
    suppressed: int = 0


def step(rule: Rule, alert: Alert, verdict: Verdict, dt: float, wall: float) -> tuple[Alert, Notice | None]:
    """The alert after one tick, and what is to be told.

    Args:
        rule: Its rule.
        alert: Before the tick.
        verdict: What the windows say now.
        dt: Since the tick before [s].
        wall: The date, for people [s].
    """
    alert = _age(alert, dt)
    if verdict.value is not None:
        alert = replace(alert, value=verdict.value, samples=verdict.samples)
    if alert.state == "firing":
        return _while_firing(rule, alert, verdict.data, dt, wall)
    if verdict.data == "breach":
        return _breach(rule, alert, dt, wall)
    if alert.state == "pending" and verdict.data != "error":
        alert = replace(alert, state="inactive", accrued=0.0, active_at=None)
    return alert, None


def remove(rule: Rule, alert: Alert, wall: float, reason: str = "rule_removed") -> tuple[Alert, Notice | None]:
    """The alert after its rule is gone: one that fires resolves."""
    if alert.state == "firing":
        return _resolve(rule, alert, wall, reason)
    return replace(alert, state="inactive", accrued=0.0), None


def resume(alert: Alert, gap: float, *, changed: bool = False) -> Alert:
    """The alert after a restart.

    Args:
        alert: As it was kept.
        gap: Since then [s].
        changed: Whether the rule judges otherwise now: then a pending alert begins anew.
    """
    alert = _age(alert, gap)
    if alert.state == "pending" and (changed or gap > PENDING_GAP):
        return replace(alert, state="inactive", accrued=0.0, active_at=None)
    if alert.state == "firing" and gap > STALE_GAP:
        return replace(alert, stale=True)
    return alert


def _age(alert: Alert, dt: float) -> Alert:
    since = alert.since_resolved
    return replace(alert, since_told=alert.since_told + dt, since_resolved=None if since is None else since + dt)


def _breach(rule: Rule, alert: Alert, dt: float, wall: float) -> tuple[Alert, Notice | None]:
    if alert.state == "inactive":
        alert = replace(alert, state="pending", accrued=0.0, active_at=wall, fired_at=None, reason=None)
    else:
        alert = replace(alert, accrued=alert.accrued + dt)
    if alert.accrued < rule.hold:
        return alert, None
    alert = replace(
        alert,
        state="firing",
        fired_at=wall,
        cleared=None,
        silent=0.0,
        episode=alert.episode + 1,
        repeats=0,
        told=False,
    )
    if alert.since_resolved is not None and alert.since_resolved < rule.cooldown:
        return replace(alert, suppressed=alert.suppressed + 1), None
    return _tell(alert)


def _tell(alert: Alert) -> tuple[Alert, Notice]:
    """Say for the first time that this episode fires."""
    suppressed = alert.suppressed
    alert = replace(alert, told=True, since_told=0.0, suppressed=0)
    return alert, Notice(status="firing", alert=alert, suppressed=suppressed)


def _while_firing(rule: Rule, alert: Alert, data: Data, dt: float, wall: float) -> tuple[Alert, Notice | None]:
    if data in {"clear", "no_data"} and alert.stale:
        return _resolve(rule, alert, wall, "stale")
    if data == "breach":
        alert = replace(alert, cleared=None, silent=0.0, stale=False)
    elif data == "clear":
        cleared = 0.0 if alert.cleared is None else alert.cleared + dt
        alert = replace(alert, cleared=cleared, silent=0.0)
        if cleared >= rule.keep_firing_for:
            return _resolve(rule, alert, wall, None)
    elif data == "no_data":
        alert = replace(alert, silent=alert.silent + dt)
        if rule.no_data == "resolve" or alert.silent >= rule.no_data_after:
            return _resolve(rule, alert, wall, "no_data")
    if not alert.told:
        if alert.since_resolved is None or alert.since_resolved >= rule.cooldown:
            return _tell(alert)
    elif alert.since_told >= rule.repeat_interval:
        alert = replace(alert, since_told=0.0, repeats=alert.repeats + 1)
        return alert, Notice(status="firing", alert=alert, repeat=alert.repeats)
    return alert, None


def _resolve(rule: Rule, alert: Alert, wall: float, reason: str | None) -> tuple[Alert, Notice | None]:
    told = alert.told
    alert = replace(
        alert,
        state="inactive",
        accrued=0.0,
        cleared=None,
        silent=0.0,
        stale=False,
        told=False,
        since_resolved=0.0 if told else alert.since_resolved,
        resolved_at=wall,
        reason=reason,
    )
    if told and rule.send_resolved:
        return alert, Notice(status="resolved", alert=alert)
    return alert, None
