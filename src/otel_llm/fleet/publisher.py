"""Room fleet: what a process did, for whoever looks from elsewhere: each call as it ends, and each minute.

On the host's thread a call is put down and no more. What is told of it are the facts that a `Call` has: no content, no
metadata, no texts of a request; and what waits while Redis is away is soon made as small as that. Everything is bounded
and ends by itself; what cannot be told in time is not told.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_llm import boundary, semconv
from otel_llm.calls import ATTRIBUTES, Call
from otel_llm.fleet.keys import Keys
from otel_llm.redaction import scrub

WAITING: Final = 2_000
"""Calls that may wait to be told; then the oldest are not."""

MINUTES_WAITING: Final = 30
"""Minutes that may wait; then the oldest are not told."""

STREAM: Final = 10_000
"""Calls that Redis holds, more or less."""

STREAM_KEPT: Final = 86_400_000
"""[ms]"""

MINUTES_KEPT: Final = 7_200_000
"""[ms]"""

_AT_ONCE: Final = 500
_OPERATION: Final = semconv.OPERATION_NAME
_STATUSES: Final = ("UNSET", "OK", "ERROR")
_UNTOLD: Final = frozenset({semconv.REQUEST_STOP_SEQUENCES})
_TOLD: Final = frozenset(ATTRIBUTES.values()) - _UNTOLD
_SERVICE: Final = "service.name"
_RESOURCE: Final = (_SERVICE, "service.version", "deployment.environment.name")


_publishers: Final["weakref.WeakSet[Publisher]"] = weakref.WeakSet()


class Sums(Protocol):
    """Adds calls up by the minute."""

    def add(self, attributes: Mapping[str, Any], start: int, end: int, *, failed: bool, service: str | None) -> None:
        """Take a finished call in: times in [ns since the epoch]."""
        ...

    def take(self) -> Mapping[int, bytes]:
        """The minutes [min since the epoch] that have grown since the last time."""
        ...


class Publisher(SpanProcessor):
    """Takes finished calls and, when `publish` is called, tells Redis of them.

    Args:
        keys: Of the fleet.
        sums: Makes what adds up; called once a process.
        host: Its name.
    """

    def __init__(self, keys: Keys, sums: Callable[[], Sums], *, host: str) -> None:
        self._keys = keys
        self._make = sums
        self._host = host
        self.begin_anew()
        _publishers.add(self)

    def begin_anew(self) -> None:
        """What one process holds; what a fork copied is the parent's to tell."""
        self._ended: deque[ReadableSpan] = deque(maxlen=WAITING)
        self._ready: deque[bytes] = deque(maxlen=WAITING)
        self._minutes: dict[int, bytes] = {}
        self._condensing = threading.Lock()
        self._sums = self._make()
        self._name = f"{self._host} {os.getpid()} {os.urandom(3).hex()}"

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is told of what has not ended."""

    def on_end(self, span: ReadableSpan) -> None:
        """Put a finished call down."""
        try:
            try:
                attributes: Any = span._attributes._dict  # type: ignore[union-attr]  # noqa: SLF001 - the other copies
            except AttributeError:
                attributes = span.attributes or {}
            if _OPERATION in attributes and attributes[_OPERATION] in semconv.INFERENCE_OPERATIONS:
                self._ended.append(span)
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("fleet.on_end", error)

    def shutdown(self) -> None:
        """What ends later is not told."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing waits for a disk here."""
        return True

    def condense(self) -> None:
        """Make what has ended small, whether or not Redis is there: a span may hold megabytes of content."""
        with self._condensing:
            for _ in range(min(_AT_ONCE, len(self._ended))):
                with boundary.guard("fleet.publish"):
                    self._take(self._ended.popleft())
            self._minutes.update(self._sums.take())
            for minute in sorted(self._minutes)[:-MINUTES_WAITING]:
                del self._minutes[minute]

    def publish(self, redis: Any) -> None:
        """Tell Redis what has ended since; on the line's thread.

        Raises:
            redis.exceptions.RedisError: It does not take it.
        """
        self.condense()
        with self._condensing:
            ready = [self._ready.popleft() for _ in range(min(_AT_ONCE, len(self._ready)))]
            minutes, self._minutes = self._minutes, {}
        if not ready and not minutes:
            return
        pipe = redis.pipeline(transaction=False)
        calls = self._keys.of("calls")
        for event in ready:
            pipe.xadd(calls, {"call": event}, maxlen=STREAM, approximate=True)
        if ready:
            pipe.pexpire(calls, STREAM_KEPT)
        index = self._keys.of("minutes")
        for minute, blob in minutes.items():
            pipe.set(self._keys.of("minute", minute, self._name), blob, px=MINUTES_KEPT)
            pipe.zadd(index, {f"{minute} {self._name}": minute})
            pipe.zremrangebyscore(index, "-inf", minute - MINUTES_KEPT // 60_000)
            pipe.pexpire(index, MINUTES_KEPT)
        pipe.execute()

    def _take(self, span: ReadableSpan) -> None:
        attributes = dict(span.attributes or {})
        call = Call.from_attributes(attributes)
        if call is None or span.context is None or span.start_time is None or span.end_time is None:
            return
        resource: dict[str, Any] = dict(span.resource.attributes)
        status = span.status.status_code.value
        event: dict[str, Any] = {
            "trace_id": f"{span.context.trace_id:032x}",
            "span_id": f"{span.context.span_id:016x}",
            "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
            "name": scrub(call.span_name),
            "kind": span.kind.name,
            "start_time_unix_nano": span.start_time,
            "duration": max(0, span.end_time - span.start_time) / 1e9,
            "status": _STATUSES[status],
            "attributes": {name: value for name, value in call.attributes().items() if name in _TOLD},
            "resource": {
                _SERVICE: "unknown_service",
                "host.name": self._host,
                **{name: scrub(str(resource[name])) for name in _RESOURCE if name in resource},
            },
        }
        self._ready.append(msgspec.json.encode(event))
        service = resource.get(_SERVICE)
        failed = _STATUSES[status] == "ERROR"
        self._sums.add(
            attributes, span.start_time, span.end_time, failed=failed, service=None if service is None else str(service)
        )


def _fork() -> None:
    for publisher in tuple(_publishers):
        publisher.begin_anew()


os.register_at_fork(after_in_child=_fork)
