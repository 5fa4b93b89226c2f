"""Room store: reads the points of metrics that are kept, for the commands."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from otel_llm.store.values import unpack

_LAST: Final = "\U0010ffff"
_FROM: Final = "FROM points JOIN streams ON streams.id = points.stream WHERE streams.name >= ? AND streams.name < ?"
_NEWEST: Final = f"SELECT points.time {_FROM} ORDER BY points.time DESC LIMIT 1"
_SINCE: Final = (
    f"SELECT points.time, streams.name, streams.type, streams.attributes, points.value {_FROM}"
    " AND points.time > ? AND points.value IS NOT NULL ORDER BY points.time"
)


class Point(NamedTuple):
    """One number of one series.

    Attributes:
        time: Since the epoch [ns].
        name: The metric's.
        kind: ``sum``, of what was added since the point before, or ``gauge``.
        attributes: What tells the series from others of its name.
        value: In the metric's unit.
    """

    time: int
    name: str
    kind: str
    attributes: Mapping[str, Any]
    value: float


def read(sqlite: sqlite3.Connection, prefix: str, seconds: float) -> list[Point]:
    """Numbers of the metrics that begin with ``prefix``, of the last ``seconds`` up to the newest, oldest first."""
    bounds = (prefix, prefix + _LAST)
    newest = sqlite.execute(_NEWEST, bounds).fetchone()
    if newest is None:
        return []
    rows = sqlite.execute(_SINCE, (*bounds, newest[0] - int(seconds * 1e9)))
    return [Point(time, name, kind, unpack(said), value) for time, name, kind, said, value in rows]
