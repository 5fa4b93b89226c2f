"""Room alert: what is told about an alert, as Alertmanager words it. No I/O, no clock.

A `Message` is frozen when the alert changes: a retry an hour later says what was true then. Texts of prompts and
answers never get in here, for labels come from the rule's ``by`` and annotations from its templates.
"""

from datetime import UTC, datetime
from typing import Any, Final

from otel_llm.alert import template
from otel_llm.alert.judge import Change
from otel_llm.alert.rule import NAME, Rule, fingerprint, label_value
from otel_llm.alert.state import Alert
from otel_llm.ledger import Message

NEVER: Final = "0001-01-01T00:00:00Z"
"""Alertmanager's ``endsAt`` of an alert that fires."""


def write(change: Change) -> Message | None:
    """The message of a change that has something to tell."""
    notice = change.notice
    if notice is None:
        return None
    ends_at = notice.alert.resolved_at if notice.status == "resolved" else None
    return describe(change.rule, notice.alert, ends_at=ends_at, repeat=notice.repeat, suppressed=notice.suppressed)


def describe(
    rule: Rule, alert: Alert, *, ends_at: float | None = None, repeat: int = 0, suppressed: int = 0
) -> Message:
    """An alert in words.

    Args:
        rule: Its rule.
        alert: As it stands.
        ends_at: When it resolved (wall clock) [s]; ``None`` while it fires.
        repeat: How often this was said before.
        suppressed: Episodes that the cooldown kept quiet.
    """
    condition = rule.conditions[0] if rule.conditions else None
    labels = {NAME: rule.name, **dict(alert.labels)}
    numbers = {"value": alert.value, "threshold": None if condition is None else condition.threshold}
    labels.update({name: label_value(template.render(text, labels, numbers)) for name, text in rule.labels.items()})
    said = {name: template.render(text, labels, numbers) for name, text in rule.annotations.items()}
    facts = {
        "value": None if alert.value is None else f"{alert.value:.6g}",
        "threshold": None if condition is None else f"{condition.threshold:.6g}",
        "window": None if condition is None else f"{condition.window:g}s",
        "samples": str(alert.samples),
        "episode": str(alert.episode),
        "reason": alert.reason,
        "suppressed_episodes": str(suppressed) if suppressed else None,
    }
    return Message(
        status="firing" if ends_at is None else "resolved",
        labels=labels,
        annotations={**said, **{name: text for name, text in facts.items() if text is not None}},
        starts_at=alert.fired_at or 0.0,
        ends_at=ends_at,
        fingerprint=fingerprint(rule.name, alert.labels),
        episode=alert.episode,
        repeat=repeat,
    )


def stamp(seconds: float | None) -> str:
    """A date as RFC 3339 and as Go prints it, without zeros at the end; `NEVER` for none."""
    if seconds is None:
        return NEVER
    said = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return said.rstrip("0").rstrip(".") + "Z"


def as_alertmanager(message: Message) -> dict[str, Any]:
    """One element of ``alerts`` in Alertmanager's webhook, version 4."""
    return {
        "status": message.status,
        "labels": message.labels,
        "annotations": message.annotations,
        "startsAt": stamp(message.starts_at),
        "endsAt": stamp(message.ends_at),
        "generatorURL": "",
        "fingerprint": message.fingerprint,
    }
