"""Room fleet: what may be read of fleets from outside. For commands; waits for each answer, and never writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from otel_llm.fleet import client
from otel_llm.fleet.keys import FLEETS, TRIAL, Keys

_AT_ONCE: Final = 500
_SEEN: Final = 10.0
"""A process that shared within this time is at work [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Who is in a fleet.

    Attributes:
        name: Its namespace.
        processes: Host and process id of each that is at work.
        judge: The one that judges; ``None`` where nobody does.
    """

    name: str
    processes: Sequence[str]
    judge: str | None


class Window:
    """A look into a Redis.

    Args:
        url: Of it.
        named: The one fleet to look at; all where ``None``.

    Raises:
        LedgerError: It cannot be reached.
    """

    def __init__(self, url: str, named: str | None = None) -> None:
        self._redis: Any = client.connect(url)
        self._named = named
        with client.told():
            self.version = str(self._redis_info()["redis_version"])

    def _redis_info(self) -> dict[str, Any]:
        found: dict[str, Any] = self._redis.info("server")
        return found if "redis_version" in found else next(iter(found.values()))

    @property
    def kind(self) -> str:
        """``Redis`` or ``RedisCluster``."""
        return type(self._redis).__name__

    def fleets(self) -> list[Keys]:
        """The keys of each fleet."""
        if self._named is not None:
            return [Keys(self._named)]
        with client.told():
            names = [name.decode() for name in self._redis.zrange(FLEETS, 0, -1)]
        return [Keys(name) for name in names if name != TRIAL]

    def members(self, keys: Keys) -> Fleet:
        """Who is in one of them."""
        with client.told():
            seconds, micros = self._redis.time() if self.kind == "Redis" else next(iter(self._redis.time().values()))
            since = (seconds + micros / 1e6 - _SEEN) * 1000
            found = self._redis.zrangebyscore(keys.of("workers"), since, "+inf")
            holder = self._redis.get(keys.of("lease"))
        judge = None if holder is None else holder.decode().rpartition(" ")[0]
        return Fleet(name=keys.name, processes=sorted(name.decode() for name in found), judge=judge)

    def minutes(self) -> list[tuple[int, bytes]]:
        """What each process told of each of its minutes [min since the epoch]."""
        told: list[tuple[int, bytes]] = []
        with client.told():
            for keys in self.fleets():
                names = [name.decode() for name in self._redis.zrange(keys.of("minutes"), 0, -1)]
                for begin in range(0, len(names), _AT_ONCE):
                    some = [name.partition(" ") for name in names[begin : begin + _AT_ONCE]]
                    blobs = self._redis.mget([keys.of("minute", minute, worker) for minute, _, worker in some])
                    told += [(int(minute), blob) for (minute, _, _), blob in zip(some, blobs, strict=True) if blob]
        return told

    def newest(self, keys: Keys, most: int) -> tuple[list[dict[str, Any]], bytes]:
        """The newest calls, oldest first, and the place to go on from."""
        with client.told():
            found = self._redis.xrevrange(keys.of("calls"), count=max(1, most))
        calls = [_call(fields) for _, fields in reversed(found)][: most or None] if most else []
        return calls, found[0][0] if found else b"0-0"

    def after(self, keys: Keys, place: bytes) -> tuple[list[dict[str, Any]], bytes]:
        """The calls after a place, and the next place."""
        with client.told():
            found = self._redis.xrange(keys.of("calls"), min=b"(" + place, count=_AT_ONCE)
        return [_call(fields) for _, fields in found], found[-1][0] if found else place


def _call(fields: dict[bytes, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(fields[b"call"])
    return found
