"""Room store: what one process did, minute by minute, as bytes that others can add up. No I/O, no clock."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from otel_llm.calls import Call
from otel_llm.store.filter import Filter
from otel_llm.store.group import NUMBERS, Group, Kind, kind
from otel_llm.store.summary import tell

MINUTE: Final = 60_000_000_000
"""[ns]"""

GROUPINGS: Final = ("model", "provider", "service", "operation", "host")
"""What a summary of several hosts can be grouped by."""

_KEPT: Final = 3
"""Minutes that may still grow."""

_MOST_KINDS: Final = 200
"""Of one minute; what is more is told without its names."""

_OK, _ERROR = 1, 2
_TIMES: Final = 2


class Minutes:
    """Calls of one process by the minute they ended in.

    Args:
        host: Where the process runs.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._minutes: dict[int, dict[Kind, Group]] = {}
        self._changed: set[int] = set()

    def add(self, attributes: Mapping[str, Any], start: int, end: int, *, failed: bool, service: str | None) -> None:
        """Take a finished call in.

        Args:
            attributes: Of its span.
            start: [ns since the epoch]
            end: [ns since the epoch]
            failed: Whether the span's status says so.
            service: ``service.name``.
        """
        call = Call.from_attributes(attributes)
        if call is None:
            return
        minute = max([end // MINUTE, *sorted(self._minutes)[-_KEPT:][:1]])
        kinds = self._minutes.setdefault(minute, {})
        one = kind(call.operation, _ERROR if failed else _OK, attributes, service)
        if one not in kinds and len(kinds) >= _MOST_KINDS:
            one = kind(call.operation, _ERROR if failed else _OK, {}, None)
        numbers = [getattr(call, name) for name in NUMBERS[_TIMES:]]
        kinds.setdefault(one, Group()).add(one, [(start, max(0, end - start), *numbers)])
        self._changed.add(minute)

    def take(self) -> dict[int, bytes]:
        """The minutes that have grown since the last time, in whole."""
        told = {minute: self._pack(self._minutes[minute]) for minute in sorted(self._changed)}
        self._changed.clear()
        for minute in sorted(self._minutes)[:-_KEPT]:
            del self._minutes[minute]
        return told

    def _pack(self, kinds: Mapping[Kind, Group]) -> bytes:
        rows = [[_names(one), group.pack()] for one, group in kinds.items()]
        return msgspec.msgpack.encode([self._host, rows])


def summarize(minutes: Iterable[tuple[int, bytes]], asked: Filter, by: tuple[str, ...]) -> dict[str, Any]:
    """The summary of what several processes told, as `summary.summarize` gives it; percentiles within 2.2 %.

    Args:
        minutes: Minutes since the epoch, and what a process told of each.
        asked: Which calls, by whole minutes of their end; its limit is not looked at.
        by: Any of `GROUPINGS`.
    """
    groups: defaultdict[tuple[str | None, ...], Group] = defaultdict(Group)
    for host, one, figures in _read(minutes, asked):
        said = {"model": one.model, "provider": one.provider, "operation": one.operation, "service": one.service}
        groups[tuple((said | {"host": host})[word] for word in by)].unpack(one, figures)
    return tell(groups, asked, by)


def _read(minutes: Iterable[tuple[int, bytes]], asked: Filter) -> Iterator[tuple[str, Kind, list[Any]]]:
    for minute, told in minutes:
        if asked.since is not None and (minute + 1) * MINUTE <= asked.since:
            continue
        if asked.until is not None and minute * MINUTE >= asked.until:
            continue
        host, rows = msgspec.msgpack.decode(told)
        for names, figures in rows:
            one = Kind(**names)
            if (
                (asked.model is None or asked.model in {one.request_model, one.response_model})
                and asked.provider in {None, one.provider}
                and asked.service in {None, one.service}
            ):
                yield host, one, figures


def _names(one: Kind) -> dict[str, Any]:
    return msgspec.structs.asdict(one)
