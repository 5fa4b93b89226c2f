"""Room store: what the machine's gauges said, now and over a range. Reads only.

A store may hold millions of points and has one index of them, by time. So "now" looks at the last minute before the
newest point, and a course at the end of each of its slices alone: what is read does not grow with the range.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_llm import semconv
from otel_llm.store.values import presentable, unpack

NOW: Final = 60_000_000_000
"""[ns] How much older than the newest point one may be that still tells of now."""

_LOOK: Final = 15_000_000_000
"""[ns] What is read of a course's slice, at its end."""

_PREFIXES: Final = ("system.", "hw.", "otel_llm.gpu.", "otel_llm.server.")
_MOST: Final = 5000
"""Streams that are looked at."""

Key = tuple[str, str]
"""A metric's name and its attributes as JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One series of a gauge.

    Attributes:
        value: The newest.
        course: The mean of each slice, the oldest first; ``None`` where there is none.
    """

    name: str
    attributes: Mapping[str, Any]
    value: float
    course: list[float | None] = field(default_factory=list["float | None"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was said of host, cards and servers.

    Attributes:
        at: When the newest point was taken [ns since the epoch].
    """

    at: int
    gauges: tuple[Gauge, ...]


def machine(sqlite: sqlite3.Connection, since: int | None, until: int | None, *, slices: int = 0) -> Machine | None:
    """The machine as of the newest reading in the range; ``None`` where there is none.

    Args:
        sqlite: A connection to read with.
        since: Earliest time [ns since the epoch].
        until: Latest time, exclusive.
        slices: Into how many parts the range is cut for courses.
    """
    streams = _streams(sqlite)
    if not streams:
        return None
    numbers = ",".join(map(str, streams))
    last = until if until is not None else 2**62
    newest = sqlite.execute(
        f"SELECT time FROM points WHERE time < ? AND time >= ? AND stream IN ({numbers}) ORDER BY time DESC LIMIT 1",  # noqa: S608
        (last, since or 0),
    ).fetchone()
    if newest is None:
        return None
    at = int(newest[0])
    values = {key: value[-1] for key, value in _read(sqlite, streams, numbers, max(at - NOW, since or 0), at).items()}
    courses = _courses(sqlite, streams, numbers, at - NOW if since is None else since, at, slices)
    gauges = [
        Gauge(
            name=name,
            attributes=presentable(unpack(attributes)),
            value=value,
            course=[part.get((name, attributes)) for part in courses],
        )
        for (name, attributes), value in sorted(values.items())
    ]
    return Machine(at=at, gauges=tuple(gauges))


def _streams(sqlite: sqlite3.Connection) -> dict[int, Key]:
    """The streams of the machine's numbers, by id; the newest where there are too many."""
    like = " OR ".join("name GLOB ?" for _ in _PREFIXES)
    query = f"SELECT id, name, attributes FROM streams WHERE ({like}) ORDER BY id DESC LIMIT ?"  # noqa: S608
    rows = sqlite.execute(query, (*(f"{prefix}*" for prefix in _PREFIXES), _MOST))
    return {number: (name, attributes) for number, name, attributes in rows}


def _read(
    sqlite: sqlite3.Connection, streams: Mapping[int, Key], numbers: str, begin: int, end: int
) -> dict[Key, list[float]]:
    """The values from ``begin`` to ``end`` [ns], the oldest first."""
    found: defaultdict[Key, list[float]] = defaultdict(list)
    query = (
        f"SELECT stream, value FROM points WHERE time >= ? AND time <= ? AND stream IN ({numbers})"  # noqa: S608
        " AND value IS NOT NULL ORDER BY time"
    )
    for stream, value in sqlite.execute(query, (begin, end)):
        found[streams[stream]].append(value)
    return found


def _courses(
    sqlite: sqlite3.Connection, streams: Mapping[int, Key], numbers: str, begin: int, end: int, slices: int
) -> list[dict[Key, float]]:
    """The mean of each series at the end of each slice."""
    step = (end - begin) // slices if slices else 0
    if step <= 0:
        return []
    look = min(step, _LOOK)
    return [
        {key: sum(values) / len(values) for key, values in _read(sqlite, streams, numbers, edge - look, edge).items()}
        for edge in range(begin + step, begin + step * slices + 1, step)
    ]


def as_json(found: Machine | None) -> dict[str, Any]:
    """The machine as the contract has it: ``host``, ``gpus`` and ``servers``, with the metrics' names as keys."""
    host: dict[str, Any] = {}
    cards: dict[str, dict[str, Any]] = {}
    servers: dict[tuple[str, Any], dict[str, Any]] = {}
    for gauge in found.gauges if found is not None else ():
        rest = dict(gauge.attributes)
        if gauge.name.startswith("system."):
            place = host
        elif semconv.HW_ID in rest:
            card = str(rest.pop(semconv.HW_ID))
            place = cards.setdefault(card, {semconv.HW_ID: card})
            _name(place, rest, (semconv.HW_NAME, semconv.HW_VENDOR, semconv.HW_TYPE, semconv.HW_PARENT))
        elif semconv.SERVER_ADDRESS in rest:
            server = (str(rest[semconv.SERVER_ADDRESS]), rest.get(semconv.SERVER_PORT))
            place = servers.setdefault(server, {})
            _name(place, rest, (semconv.SERVER_ADDRESS, semconv.SERVER_PORT, semconv.PROVIDER_NAME))
        else:
            continue
        _put(place, gauge.name, rest, gauge.value)
    return {"host": host or None, "gpus": list(cards.values()), "servers": list(servers.values())}


def _name(place: dict[str, Any], rest: dict[str, Any], names: tuple[str, ...]) -> None:
    """Move what names a thing from its series' attributes to the thing."""
    for name in names:
        if name in rest:
            place[name] = rest.pop(name)


def _put(place: dict[str, Any], name: str, attributes: dict[str, Any], value: float) -> None:
    """A number where the metric has one series, else a list of them."""
    known = place.get(name)
    if known is None and not attributes:
        place[name] = value
        return
    listed = known if isinstance(known, list) else [] if known is None else [{"attributes": {}, "value": known}]
    place[name] = [*listed, {"attributes": attributes, "value": value}]
