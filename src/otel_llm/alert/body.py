"""Room alert: notifications as the services that take them want them written. No I/O, no clock.

Each is about one group of alerts. `ALERTMANAGER` is what Alertmanager sends, field by field, so that whatever takes
that takes ours. Texts are the rules' own; nothing of a call's content is in a message.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from otel_llm.alert import message
from otel_llm.alert.rule import NAME
from otel_llm.ledger import Message

MOST_ALERTS: Final = 100
"""More alerts than these are not listed, only counted."""

_LISTED: Final = 20
"""Alerts that a text for people lists."""

_MOST_TEXT: Final = 3_900
"""Longest text for people; Discord takes 4,096 [character]."""

_LONGEST_SUBJECT: Final = 200

_COLOURS: Final = {"firing": "#d62728", "resolved": "#2ca02c"}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What is told at once.

    Attributes:
        receiver: To whom.
        group: ``groupKey``.
        labels: ``groupLabels``.
        messages: The news, at most `MOST_ALERTS` of it listed.
        still: Whether an alert of the group fires that is not among the news.
    """

    receiver: str
    group: str
    labels: Mapping[str, str]
    messages: Sequence[Message]
    still: bool = False

    @property
    def status(self) -> Literal["firing", "resolved"]:
        """``firing`` while any alert of the group fires."""
        return "firing" if self.still or any(one.status == "firing" for one in self.messages) else "resolved"

    @property
    def key(self) -> str:
        """The same for every try; of a single message its identity."""
        if len(self.messages) == 1:
            return self.messages[0].identity
        joined = "\n".join(sorted(one.identity for one in self.messages))
        return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()

    @property
    def listed(self) -> Sequence[Message]:
        """Those with words of their own."""
        return self.messages[:MOST_ALERTS]


def alertmanager(batch: Batch) -> dict[str, Any]:
    """Alertmanager's webhook, version 4."""
    return {
        "receiver": batch.receiver,
        "status": batch.status,
        "alerts": [message.as_alertmanager(one) for one in batch.listed],
        "groupLabels": dict(batch.labels),
        "commonLabels": _common([one.labels for one in batch.messages]),
        "commonAnnotations": _common([one.annotations for one in batch.messages]),
        "externalURL": "",
        "version": "4",
        "groupKey": batch.group,
        "truncatedAlerts": len(batch.messages) - len(batch.listed),
    }


def generic(batch: Batch) -> dict[str, Any]:
    """One flat record for each alert: for scripts."""
    return {
        "version": "1",
        "status": batch.status,
        "receiver": batch.receiver,
        "summary": subject(batch),
        "alerts": [
            {
                "name": one.labels.get(NAME, ""),
                "status": one.status,
                "summary": one.annotations.get("summary", ""),
                "labels": dict(one.labels),
                "annotations": dict(one.annotations),
                "starts_at": message.stamp(one.starts_at),
                "ends_at": None if one.ends_at is None else message.stamp(one.ends_at),
                "fingerprint": one.fingerprint,
                "episode": one.episode,
                "repeat": one.repeat,
            }
            for one in batch.listed
        ],
        "truncated_alerts": len(batch.messages) - len(batch.listed),
    }


def slack(batch: Batch) -> dict[str, Any]:
    """An incoming webhook of Slack, or of what is like it."""

    def escape(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    title = escape(subject(batch))
    text = escape(text_of(batch))
    attachment = {"color": _COLOURS[batch.status], "text": text, "fallback": title, "mrkdwn_in": ["text"]}
    return {"text": f"*{title}*", "attachments": [attachment]}


def discord(batch: Batch) -> dict[str, Any]:
    """A webhook of Discord; nobody is mentioned, whatever a label says."""
    embed = {
        "title": subject(batch),
        "description": text_of(batch),
        "color": int(_COLOURS[batch.status][1:], 16),
    }
    return {"content": "", "embeds": [embed], "allowed_mentions": {"parse": []}}


_WRITERS: Final[Mapping[str, Callable[[Batch], dict[str, Any]]]] = {
    "alertmanager_v4": alertmanager,
    "slack": slack,
    "discord": discord,
    "generic": generic,
}


def write(format_: str, batch: Batch) -> bytes:
    """The body of a webhook in one of the formats."""
    return json.dumps(_WRITERS[format_](batch), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def sign(secret: str, stamp: int, body: bytes) -> str:
    """``X-OtelLlm-Signature`` of ``body`` sent at ``stamp`` (Unix time) [s]."""
    content = f"{stamp}.".encode() + body
    return f"sha256={hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()}"


def subject(batch: Batch) -> str:
    """One line: ``[FIRING] LLMHighErrorRate: 12% of gpt-5 calls fail``."""
    names = sorted({one.labels.get(NAME, "") for one in batch.messages})
    name = names[0] if len(names) == 1 else f"{len(names)} alerts"
    count = len(batch.messages)
    word = batch.status.upper() if count == 1 else f"{batch.status.upper()}:{count}"
    said = batch.messages[0].annotations.get("summary", "") if count == 1 else ""
    line = f"[{word}] {name}" + (f": {said}" if said else "")
    return _short(" ".join(line.split()), _LONGEST_SUBJECT)


def text_of(batch: Batch) -> str:
    """What happened, for people."""
    blocks = [_block(one) for one in batch.messages[:_LISTED]]
    more = len(batch.messages) - len(blocks)
    if more:
        blocks.append(f"and {more} more")
    return _short("\n\n".join(blocks), _MOST_TEXT)


def _block(one: Message) -> str:
    head = f"{one.status.upper()} {one.labels.get(NAME, '')}"
    summary = one.annotations.get("summary")
    lines = [f"{head}: {summary}" if summary else head]
    labels = ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()) if name != NAME)
    if labels:
        lines.append(labels)
    facts = [f"{name} {one.annotations[name]}" for name in ("value", "threshold", "window") if name in one.annotations]
    if facts:
        lines.append(", ".join(facts))
    since = f"since {message.stamp(one.starts_at)}"
    lines.append(since if one.ends_at is None else f"{since}, until {message.stamp(one.ends_at)}")
    if one.status == "resolved" and "reason" in one.annotations:
        lines.append(f"told as over because: {one.annotations['reason']}")
    return "\n".join(lines)


def _common(maps: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all of ``maps`` say alike."""
    return {name: text for name, text in maps[0].items() if all(one.get(name) == text for one in maps)}


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
