"""Room alert: mode ``alertmanager``: an Alertmanager is told what fires, and tells people; nobody else does.

Each alert that fires is said again every minute with an end four minutes ahead, so that the alerts of a process that
died end by themselves. What ended is said for a quarter of an hour, as Prometheus does: one word may get lost.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from otel_llm import boundary, semconv, supervisor
from otel_llm.alert import clock, message, webhook, wire
from otel_llm.alert.carriage import Result, explain
from otel_llm.alert.notice import Plan
from otel_llm.alert.receiver import Webhook
from otel_llm.ledger import LEASE, Ledger, Message, Row
from otel_llm.suppression import suppress_instrumentation

INTERVAL: Final = 60.0
"""Between two words about what fires [s]."""

AHEAD: Final = 4 * INTERVAL
"""An alert that is not said again ends after this [s]."""

ENDED_KEPT: Final = 900.0
_SHORTEST: Final = 1.0
_LONGEST: Final = 60.0
_MOST: Final = 10_000
"""Alerts that are said."""

NAME: Final = "alertmanager"


class Alertmanager:
    """Says what fires to the Alertmanager at ``url``.

    Args:
        url: Where it listens; a user and password in it are sent as such.
        now: The clock of slots.
        wall: The date.

    Attributes:
        counts: Words by outcome: ``sent``, ``failed``, ``dead``.
    """

    def __init__(
        self, url: str, *, now: Callable[[], float] = clock.now, wall: Callable[[], float] = time.time
    ) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        # The operator's own, as a rule in the same network, and plain http there.
        self._to = Webhook(url=f"{url.rstrip('/')}/api/v2/alerts", allow_private=True)
        self._now = now
        self._wall = wall
        self._alerts: dict[str, Message] = {}
        self._until = float("-inf")
        self._next_at = float("-inf")
        self._failures = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._loop = supervisor.Loop("delivery", self._run, where="alert.deliver")
        self._pid = os.getpid()

    def take(self, plan: Plan) -> None:
        """Routes are Alertmanager's own."""

    def address(self, news: Sequence[Message], firing: Sequence[Message], owed: Sequence[Message]) -> Sequence[Row]:  # noqa: ARG002
        """Nothing is queued: what fires is said until it does not."""
        wall = self._wall()
        fires = {one.fingerprint: one for one in firing}
        ended = {one.fingerprint: one for one in news if one.status == "resolved"}
        with self._lock:
            before = self._alerts
            over = {
                name: one if one.ends_at is not None else ended.get(name, msgspec.structs.replace(one, ends_at=wall))
                for name, one in {**before, **ended}.items()
                if name not in fires
            }
            kept = {name: one for name, one in over.items() if wall - (one.ends_at or wall) < ENDED_KEPT}
            self._alerts = dict(list({**fires, **kept}.items())[:_MOST])
            changed = {(name, one.ends_at is None) for name, one in self._alerts.items()}
            if changed != {(name, one.ends_at is None) for name, one in before.items()}:
                self._next_at = float("-inf")
        return ()

    def deliver(self, ledger: Ledger, epoch: int) -> None:  # noqa: ARG002
        """Say it where it is time; this process judges for now."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
        self._until = self._now() + LEASE
        if self._now() < self._next_at or not self._alerts or self._stopping:
            return
        self._loop.ensure()
        self._loop.wake()

    def look(self) -> None:
        """What is owed here stands in no ledger."""

    def stop(self) -> None:
        """Say nothing more."""
        self._stopping = True
        self._loop.stop(0.0)

    def _run(self, loop: supervisor.Loop) -> None:
        with suppress_instrumentation():
            while loop.goes_on:
                self.turn()
                loop.wait(INTERVAL)

    def turn(self) -> None:
        """Say everything once, if it is time."""
        now = self._now()
        if self._stopping or now < self._next_at or now > self._until:
            return
        with self._lock:
            alerts = list(self._alerts.values())
            self._next_at = now + INTERVAL
        result = self._post(json.dumps([self._written(one) for one in alerts]).encode("utf-8", "replace"))
        if result.outcome == "sent":
            self._failures = 0
        else:
            pause = max(min(_LONGEST, _SHORTEST * 2.0**self._failures), result.retry_after or 0.0)
            self._next_at = self._now() + pause
            self._failures = min(self._failures + 1, 10)
            if self._failures == 1:
                boundary.logger.warning("Alertmanager: %s; it is tried again", result.error)
        outcome = "sent" if result.outcome == "sent" else "failed"
        self.counts[NAME, outcome] = self.counts.get((NAME, outcome), 0) + len(alerts)

    def _written(self, one: Message) -> dict[str, Any]:
        ends_at = one.ends_at if one.ends_at is not None else self._wall() + AHEAD
        return {
            "labels": {name: value for name, value in one.labels.items() if value},
            "annotations": one.annotations,
            "startsAt": message.stamp(one.starts_at),
            "endsAt": message.stamp(max(ends_at, one.starts_at)),
        }

    def _post(self, content: bytes) -> Result:
        headers = {"Content-Type": "application/json", "User-Agent": f"otel-llm/{semconv.SCOPE_VERSION}"}
        try:
            return webhook.judge(
                wire.post(self._to.url, content, {**headers, **webhook.authorization(self._to)}, allow_private=True)
            )
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Result(outcome="again", error=explain(error))


def is_url(text: str) -> bool:
    """Whether ``text`` may be where an Alertmanager listens."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
