"""Room alert: what is told about an alert, as Alertmanager words it. No I/O, no clock.

A `Message` is frozen when the alert changes: a retry an hour later says what was true then. Texts of prompts and
answers never get in here, for labels come from the rule's ``by`` and annotations from its templates.
"""

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from otel_llm.alert import template
from otel_llm.alert.judge import Change
from otel_llm.alert.rule import NAME, fingerprint, label_value

NEVER: Final = "0001-01-01T00:00:00Z"
"""Alertmanager's ``endsAt`` of an alert that fires."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One word about one episode of one alert.

    Attributes:
        status: ``firing`` or ``resolved``.
        labels: With ``alertname``.
        annotations: Rendered, with ``value``, ``threshold``, ``window``, ``samples``, ``episode`` and, where there is
            one, ``reason``.
        starts_at: When it fired (wall clock) [s]; the same for every word about the episode.
        ends_at: When it resolved (wall clock) [s].
        fingerprint: Who it is.
        episode: How often it fired so far.
        repeat: How often this was said before.
    """

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: float
    ends_at: float | None
    fingerprint: str
    episode: int
    repeat: int = 0

    @property
    def identity(self) -> str:
        """The same for every try to deliver this word; an ``Idempotency-Key``."""
        repeat = f":{self.repeat}" if self.repeat else ""
        return f"{self.fingerprint}:{int(self.starts_at * 1000)}:{self.status}{repeat}"


def write(change: Change) -> Message | None:
    """The message of a change that has something to tell."""
    notice = change.notice
    if notice is None:
        return None
    rule, alert = change.rule, notice.alert
    condition = rule.conditions[0]
    labels = {NAME: rule.name, **dict(alert.labels)}
    numbers = {"value": alert.value, "threshold": condition.threshold}
    labels.update({name: label_value(template.render(text, labels, numbers)) for name, text in rule.labels.items()})
    said = {name: template.render(text, labels, numbers) for name, text in rule.annotations.items()}
    facts = {
        "value": None if alert.value is None else f"{alert.value:.6g}",
        "threshold": f"{condition.threshold:.6g}",
        "window": f"{condition.window:g}s",
        "samples": str(alert.samples),
        "episode": str(alert.episode),
        "reason": alert.reason,
        "suppressed_episodes": str(notice.suppressed) if notice.suppressed else None,
    }
    return Message(
        status=notice.status,
        labels=labels,
        annotations={**said, **{name: text for name, text in facts.items() if text is not None}},
        starts_at=alert.fired_at or 0.0,
        ends_at=alert.resolved_at if notice.status == "resolved" else None,
        fingerprint=fingerprint(rule.name, alert.labels),
        episode=alert.episode,
        repeat=notice.repeat,
    )


def stamp(seconds: float | None) -> str:
    """A date as RFC 3339, `NEVER` for none."""
    if seconds is None:
        return NEVER
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
