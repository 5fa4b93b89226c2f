"""Room store: a span as one flat row, for tables: CSV, Parquet, data frames. No I/O, no clock."""

from collections.abc import Iterator
from typing import Any, Final

from otel_llm.calls import ATTRIBUTES, KINDS
from otel_llm.store.stored import StoredSpan

HEAD: Final[dict[str, type]] = {
    "trace_id": str,
    "span_id": str,
    "parent_span_id": str,
    "name": str,
    "kind": str,
    "start_time_unix_nano": int,
    "duration": float,
    "status": str,
    "status_message": str,
    "service": str,
}
FACTS: Final[dict[str, type]] = {name: KINDS[name] for name in ATTRIBUTES}
"""Fields of `Call` and their types; ``tuple`` is of texts."""

COLUMNS: Final = (*HEAD, *FACTS, "attributes")

_INT64: Final = range(-(2**63), 2**63)


def flat(span: StoredSpan) -> dict[str, Any]:
    """The row of ``span``: a value for each of `COLUMNS`; ``attributes`` are those that have no column."""
    service = span.resource.get("service.name")
    row: dict[str, Any] = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind,
        "start_time_unix_nano": span.start_time_unix_nano,
        "duration": span.duration,
        "status": span.status,
        "status_message": span.status_message,
        "service": service if isinstance(service, str) else None,
    }
    rest = dict(span.attributes)
    row.update(_facts(rest))
    row["attributes"] = rest
    return row


def _facts(rest: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each fact of a call, taken out of ``rest``, where its type is the column's."""
    for name, kind in FACTS.items():
        value = rest.get(ATTRIBUTES[name])
        if kind is float and type(value) is int:
            value = float(value) if abs(value) < 2**53 else None
        fits = type(value) is kind and (kind is not int or value in _INT64)
        if isinstance(value, tuple):
            fits = fits and all(isinstance(item, str) for item in value)
        if fits:
            del rest[ATTRIBUTES[name]]
        yield name, value if fits else None
