"""Room store: takes OTLP requests of others into the store, and says yes once they are on disk.

What was said in a call is left out unless it is asked for, whatever name the sender has for it; the writer takes out
keys, headers and query strings as from everybody. Nothing here knows of HTTP.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm import semconv
from otel_llm.store.database import Database
from otel_llm.store.incoming import Incoming, Owner, Owners, from_json, from_request
from otel_llm.store.incoming_signals import Faults, Record, metrics, records

AT_ONCE: Final = 2
"""Requests that are decoded at the same time: each may be large, and there is one interpreter."""

WAIT: Final = 5.0
"""[s] Until a request's turn."""

DURABLE_WITHIN: Final = 10.0
"""[s]"""

MOST_SERIES: Final = 10_000
"""Series of metrics, and resources, that may be new within `_HOUR`."""

_CHUNK: Final = 512
_HOUR: Final = 3600.0
_REQUESTS: Final[dict[str, Any]] = {
    "spans": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_EVENT_NAME: Final = "event.name"
_EVENTS: Final = "gen_ai."


class BehindError(Exception):
    """The store does not keep up, or cannot be written: later, the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a request.

    Attributes:
        count: Items that are on disk, or were before.
        rejected: Items that no store can hold.
        reason: Why, of the first of them.
    """

    count: int
    rejected: int = 0
    reason: str = ""


class Reception:
    """Takes requests from any number of threads.

    Args:
        database: The store.
        content: Keep what was said in calls.
    """

    def __init__(self, database: Database, *, content: bool) -> None:
        self._database = database
        self._content = content
        self._owners = _Owners(self._may)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._series: set[int] = set()
        self._series_since = time.monotonic()

    def take(self, signal: str, body: bytes, *, as_json: bool, known: bool = False) -> Taken:
        """Bring a request to disk.

        Args:
            signal: ``spans``, ``logs`` or ``metrics``.
            body: The request, inflated.
            as_json: It is OTLP/JSON.
            known: It comes from this very store: only what has an identity, spans, is looked at again.

        Raises:
            ValueError: It is no such request.
            BehindError: It is not known to be on disk; sent again, spans are not doubled.
        """
        if not self._turns.acquire(timeout=WAIT):
            message = "other requests are at it"
            raise BehindError(message)
        try:
            request = _decoded(signal, body, as_json=as_json)
            if known and signal != "spans":
                return Taken(count=0)
            return {"spans": self._spans, "logs": self._logs, "metrics": self._metrics}[signal](request)
        finally:
            self._turns.release()

    def _spans(self, request: ExportTraceServiceRequest) -> Taken:
        faults, count = Faults(), 0
        spans = from_request(request, self._owners, faults.add)
        while chunk := list(islice(spans, _CHUNK)):
            if not self._content:
                for span in chunk:
                    _without_content(span)
            self._durable(self._database.submit_span(span) for span in chunk)  # type: ignore[arg-type]  # a span to the writer
            count += len(chunk)
        return Taken(count=count, rejected=faults.count, reason=faults.reason)

    def _logs(self, request: ExportLogsServiceRequest) -> Taken:
        faults = Faults()
        found = records(request, self._owners, faults, now=time.time_ns())
        if not self._content:
            found = [_without_words(record) for record in found]
        if found:
            self._durable([self._database.submit_logs(found)])
        return Taken(count=len(found), rejected=faults.count, reason=faults.reason)

    def _metrics(self, request: ExportMetricsServiceRequest) -> Taken:
        faults, count = Faults(), 0
        found = metrics(request, self._owners, faults, may=self._may)
        for group in found.resource_metrics:
            for part in group.scope_metrics:
                count += sum(len(metric.data.data_points) for metric in part.metrics)
        if count:
            self._durable([self._database.submit_metrics(found)])
        return Taken(count=count, rejected=faults.count, reason=faults.reason)

    def _durable(self, accepted: Iterable[bool]) -> None:
        if not all(list(accepted)) or not self._database.flush(DURABLE_WITHIN):
            raise BehindError(self._database.stats().last_error or "the store is behind")

    def _may(self, series: object) -> bool:
        """Whether there is room for a series: what others send must not fill the store with names."""
        now = time.monotonic()
        if now - self._series_since > _HOUR:
            self._series.clear()
            self._series_since = now
        key = hash(series)
        if key not in self._series and len(self._series) >= MOST_SERIES:
            return False
        self._series.add(key)
        return True


class _Owners(Owners):
    """Resources and scopes, as many as there may be."""

    def __init__(self, may: Callable[[object], bool]) -> None:
        super().__init__()
        self._may = may

    def same(self, key: str, make: Callable[[], Owner]) -> Owner:
        """The one for ``key``.

        Raises:
            ValueError: There are too many.
        """
        if not self._may(key):
            message = f"resource: expected at most {MOST_SERIES} series, resources and scopes that are new in an hour"
            raise ValueError(message)
        return super().same(key, make)


def _decoded(signal: str, body: bytes, *, as_json: bool) -> Any:
    message = _REQUESTS[signal]()
    if not as_json:
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            text = f"body: expected an {type(message).__name__}, found something else"
            raise ValueError(text) from error
        return message
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        text = f"body: expected JSON, found: {str(error)[:200]}"
        raise ValueError(text) from error
    if not isinstance(document, dict):
        text = "body: expected a JSON object, found something else"
        raise ValueError(text)  # noqa: TRY004 - a fault of who sent it
    return from_json(document, message)


def is_content(name: str) -> bool:
    """Whether an attribute of this name holds what a user or a model said."""
    if name in semconv.NO_CONTENT:
        return False
    if name in _CONTENT:
        return True
    while "." in name:
        name = name.rpartition(".")[0]
        if name in _CONTENT:
            return True
    return False


_CONTENT: Final = frozenset((*semconv.CONTENT, *semconv.FOREIGN_CONTENT))


def _strip(attributes: Any) -> None:
    if isinstance(attributes, MutableMapping):
        for name in [name for name in attributes if is_content(name)]:
            del attributes[name]


def _without_content(span: Incoming) -> None:
    _strip(span.attributes)
    for event in span.events:
        _strip(event.attributes)
    for link in span.links:
        _strip(link.attributes)


def _without_words(record: Record) -> Record:
    """``record`` without content; an event of the convention says in its body what was said."""
    log = record.log_record
    _strip(log.attributes)
    name = str(log.event_name or log.attributes.get(_EVENT_NAME) or "")
    if name.startswith(_EVENTS) and log.body is not None:
        return replace(record, log_record=replace(log, body=None))
    return record
