"""Room store: calls and gauges of the past, in their order, as alert rules read them. Reads only, a row at a time."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from otel_llm import semconv
from otel_llm.calls import ATTRIBUTES, KINDS
from otel_llm.store.plans import SERIES_FIELDS, SPAN_FIELDS
from otel_llm.store.values import unpack

_READ: Final = (
    *("time_to_first_token", "time_to_first_chunk", "time_per_output_token", "queue_wait"),
    *("input_tokens", "output_tokens", "resend_count", "cost"),
)
_FIELDS: Final = tuple(name for name in SPAN_FIELDS if name in _READ)
_NAMES: Final = tuple(ATTRIBUTES[name] for name in _FIELDS)
_NOTHING: Final = [None] * len(_FIELDS)
_SHARED: Final = tuple(name for name in SERIES_FIELDS if KINDS[name] is not tuple)
_CHUNK: Final = 10_000
_ERROR: Final = 2


def past_calls(
    sqlite: sqlite3.Connection, since: float, until: float
) -> Iterator[tuple[float, float, Mapping[str, Any], bool]]:
    """Inference spans that began between two moments (wall clock) [s]: start, end, attributes, whether they failed."""
    shared = _series(sqlite)
    cursor = sqlite.execute(
        f"SELECT start_time, duration, series, attributes, {', '.join(_FIELDS)} FROM spans"  # noqa: S608 - constants
        " WHERE start_time >= ? AND start_time < ? ORDER BY start_time",
        (int(since * 1e9), int(until * 1e9)),
    )
    while chunk := cursor.fetchmany(_CHUNK):
        for start, duration, series, rest, *values in chunk:
            said, failed, overflown = shared[series]
            if not overflown and said.get(semconv.OPERATION_NAME) not in semconv.INFERENCE_OPERATIONS:
                continue
            attributes = _completed(said, values, rest)
            if attributes.get(semconv.OPERATION_NAME) in semconv.INFERENCE_OPERATIONS:
                yield start / 1e9, (start + duration) / 1e9, attributes, failed


def _series(sqlite: sqlite3.Connection) -> dict[int, tuple[dict[str, Any], bool, bool]]:
    """By number, what the spans of a series share, whether they failed, and whether each says for itself what it is."""
    query = f"SELECT id, name, status, {', '.join(_SHARED)} FROM series"  # noqa: S608 - constants
    series = {}
    for number, name, status, *values in sqlite.execute(query):
        said = {
            ATTRIBUTES[field]: bool(value) if KINDS[field] is bool else value
            for field, value in zip(_SHARED, values, strict=True)
            if value is not None
        }
        series[number] = said, status == _ERROR, name is None
    return series


def _completed(said: dict[str, Any], values: list[Any], rest: str | None) -> dict[str, Any]:
    """``said`` by its series, with what a span says besides; ``said`` itself where that is nothing."""
    if rest is None and values == _NOTHING:
        return said
    own = {name: value for name, value in zip(_NAMES, values, strict=True) if value is not None}
    return said | own | unpack(rest)


def past_readings(
    sqlite: sqlite3.Connection, metrics: Sequence[str], since: float, until: float
) -> Iterator[tuple[float, str, float, Mapping[str, Any]]]:
    """Points of gauges called ``metrics`` between two moments (wall clock) [s]: when, metric, value, attributes."""
    wanted = set(metrics)
    streams = {
        number: (name, {**_host(content), **unpack(attributes)})
        for number, name, attributes, content in sqlite.execute(
            "SELECT streams.id, name, attributes, resources.content FROM streams"
            " JOIN resources ON resources.id = streams.resource"
        )
        if name in wanted
    }
    if not streams:
        return
    cursor = sqlite.execute(
        "SELECT time, stream, value FROM points WHERE time >= ? AND time < ? ORDER BY time",
        (int(since * 1e9), int(until * 1e9)),
    )
    while chunk := cursor.fetchmany(_CHUNK):
        for time, stream, value in chunk:
            known = streams.get(stream)
            if known is not None and type(value) in {int, float}:
                yield time / 1e9, known[0], value, known[1]


def _host(content: str) -> dict[str, Any]:
    name = unpack(content).get("attributes", {}).get("host.name")
    return {} if name is None else {"host.name": name}
