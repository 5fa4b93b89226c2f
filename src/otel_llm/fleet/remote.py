"""Room fleet: what alerting keeps, in Redis. Every call waits for one answer at most, on the thread of `line`.

Slots and times are kept on the server's clock and told on this machine's, which counts since its start: the difference
is measured once, when one joins, and holds until one joins again. So what is told again replaces what was told.
"""

import hashlib
import math
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from otel_llm.fleet import merge, scripts
from otel_llm.fleet.keys import FLEETS, Keys
from otel_llm.fleet.line import Line
from otel_llm.ledger import CLAIM, MOST_ROWS, PAGE, SLOT, Kept, LedgerError, Outcome, Row, Shared, Silence

LEASE: Final = 2.0
"""How long a judge is trusted without a sign of life [s]; with one more for the next one to ask, three."""

_FINE: Final = 900.0
"""Slots are kept whole for as long; longer for series that are read further back [s]."""

_SPARE: Final = 15.0
"""Slots outlive the last window that reaches them by this [s]."""

_MEMBERS: Final = PAGE // 4
"""Slots, each of which is that of all series, that are asked for at once."""

_MOST_DUE: Final = 2_000
_RESTING_KEPT: Final = 86_400.0
"""An alert at rest is remembered this long [s]."""

_JUDGE: Final = ("lease", "epoch", "kept", "rows", "order", "told", "version", "turn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look shows.

    Attributes:
        time: The server's [s].
        identity: Of its data; another one after they were lost.
        version: Counts what judges keep.
        adopted: Counts what was taken over from hosts that joined.
    """

    time: float
    identity: str
    version: int
    adopted: int


class Remote:
    """A ledger in Redis.

    Args:
        line: Asks it.
        keys: Of the fleet.
        boot: Which boot of this machine times named ``at`` belong to.
        now: The clock of slots.
        name: Who this process is, for those who look.
    """

    def __init__(self, line: Line, keys: Keys, *, boot: str, now: Callable[[], float], name: str) -> None:
        self.dropped = 0
        self._line = line
        self._keys = keys
        self._boot = boot
        self._now = now
        self._name = name
        self._shift = 0.0
        self._owner = ""
        self._shas: dict[str, str] = {}

    # --- joining ------------------------------------------------------------------------------------------------

    def join(
        self, redis: Any, kept: Sequence[Kept], waiting: Sequence[Row], told: Sequence[str]
    ) -> tuple[Sight, float]:
        """See what is there and bring what this host knows; on the line's thread.

        Returns:
            What there is then, and the difference of the clocks [s].
        """
        keys = self._keys.all_of("id", "version", "adopted")
        redis.zadd(FLEETS, {self._keys.name: int(time.time())})
        redis.pexpire(FLEETS, scripts.KEPT)
        for _ in range(5):
            before = self._now()
            seen = _sight(self._run(redis, scripts.JOIN, keys, [uuid.uuid4().hex]))
            shift = seen.time - (before + self._now()) / 2
            fleet = {one.fingerprint: one for one in self._read_kept(redis, shift)}
            news = merge.adopted(fleet, kept)
            if self._adopt(redis, seen, shift, news, waiting, told):
                return _sight(self._run(redis, scripts.JOIN, keys, [uuid.uuid4().hex])), shift
        message = "what others keep changes too fast to join"
        raise LedgerError(message)

    def _adopt(
        self, redis: Any, seen: Sight, shift: float, news: Sequence[Kept], waiting: Sequence[Row], told: Sequence[str]
    ) -> bool:
        said: list[Any] = [seen.version, len(news)]
        for one in news:
            said += (one.fingerprint, self._write_kept(one, shift))
        said += (len(told), *told, len(waiting))
        for row in waiting:
            said += (row.identity, self._write_row(row, shift))
        return bool(self._run(redis, scripts.ADOPT, self._keys.all_of(*_JUDGE, "adopted"), said))

    def settle_at(self, shift: float) -> None:
        """Tell times by this difference of the clocks [s] from now on."""
        self._shift = shift

    def drift(self, sight: Sight) -> float:
        """How much the clocks have moved against one another since joining [s]."""
        return sight.time - self._now() - self._shift

    # --- slots --------------------------------------------------------------------------------------------------

    def share(self, slots: Sequence[Shared]) -> Sight:
        """Tell the others what this worker counted."""
        values: list[tuple[str, int, bytes]] = []
        members: list[tuple[str, int]] = []
        by_number: defaultdict[tuple[str, int], list[Shared]] = defaultdict(list)
        for slot in slots:
            by_number[slot.worker, slot.number].append(slot)
        for (worker, number), told in by_number.items():
            member = f"{worker}:{number}"
            fine = math.ceil(_FINE / SLOT)
            wholes = [("slot", told, min(fine, max(one.until for one in told) - number))]
            far = [one for one in told if one.until - number > fine + 1]
            if far:
                wholes.append(("long", far, max(one.until for one in far) - number))
            ends = 0
            for kind, some, width in wholes:
                ends = int((width * SLOT + _SPARE) * 1000)
                values.append((self._keys.of(kind, member), ends, self._write_slots(number, some)))
            members.append((member, ends))
        said: list[Any] = [self._name, len(values)]
        for _, ends, blob in values:
            said += (ends, blob)
        said.append(len(members))
        for member, ends in members:
            said += (member, ends)
        keys = self._keys.all_of("id", "marks", "ends", "mark", "workers", "version", "adopted")
        keys += [key for key, _, _ in values]
        return _sight(self._ask(scripts.SHARE, keys, said))

    def shared(self, since: int, not_by: str) -> tuple[Iterable[Shared], int]:
        """A page of what others told after mark ``since``, and the next mark; 0 is the beginning."""
        found = self._line.ask(lambda redis: _marked(redis, self._keys.of("marks"), since))
        mark = max([max(since, 1), *(int(score) for _, score in found)])
        names = [member.decode() for member, _ in found]
        wanted = [name for name in names if name.rpartition(":")[0] != not_by]
        blobs = self._ask_for("slot", wanted)
        blobs |= self._ask_for("long", [name for name in wanted if name not in blobs])
        told = (
            one for name in wanted if name in blobs for one in self._read_slots(name.rpartition(":")[0], blobs[name])
        )
        return told, mark

    def _ask_for(self, kind: str, names: Sequence[str]) -> dict[str, bytes]:
        """The values of that kind, by name; without those that are gone."""
        if not names:
            return {}
        keys = [self._keys.of(kind, name) for name in names]
        values = self._line.ask(lambda redis: list[bytes | None](redis.mget(keys)))
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def _write_slots(self, number: int, slots: Sequence[Shared]) -> bytes:
        told = [(one.group, one.key, one.until - number, one.content) for one in slots]
        return zlib.compress(msgspec.json.encode([number * SLOT + self._shift, told]), 1)

    def _read_slots(self, worker: str, blob: bytes) -> Iterable[Shared]:
        began, told = msgspec.json.decode(zlib.decompress(blob))
        # The slot that holds its beginning: never in the future, and a different one for each of a worker's.
        number = math.floor((began - self._shift) / SLOT + 1e-6)
        for group, key, reach, content in told:
            yield Shared(
                group=group,
                key=tuple(key),
                worker=worker,
                number=number,
                until=number + reach,
                content=content,
                boot=self._boot,
            )

    # --- the judge ----------------------------------------------------------------------------------------------

    def lease(self, owner: str) -> int | None:
        """Become or stay the judge for `LEASE` seconds; the epoch while held."""
        said = [self._holder(owner), int(LEASE * 1000)]
        self._owner = owner
        return self._ask(scripts.LEASE, self._keys.all_of("lease", "epoch"), said) or None

    def release(self, owner: str) -> None:
        """Stop being the judge."""
        self._ask(scripts.RELEASE, self._keys.all_of("lease"), [self._holder(owner)])

    def _holder(self, owner: str) -> str:
        """How a judge is named, for whoever looks."""
        return f"{self._name} {owner}"

    def kept(self) -> list[Kept]:
        """All alerts as they were kept."""
        return self._line.ask(lambda redis: self._read_kept(redis, self._shift))

    def commit(self, epoch: int, kept: Sequence[Kept], rows: Sequence[Row]) -> list[Row] | None:
        """Keep alerts and queue messages; the messages that were, ``None`` when the epoch is over."""
        said: list[Any] = [self._holder(self._owner), epoch, len(kept)]
        for one in kept:
            said += (one.fingerprint, self._write_kept(one, self._shift))
        said += (len(rows), MOST_ROWS)
        for row in rows:
            resolved = row.message.status == "resolved"
            waits = f"{row.receiver}:{row.message.fingerprint}:" if row.message.repeat and not resolved else ""
            beginning = row.beginning if resolved else ""
            said += (row.identity, beginning, waits, self._write_row(row, self._shift))
        dropped, queued = self._ask(scripts.COMMIT, self._keys.all_of(*_JUDGE), said)
        if dropped < 0:
            return None
        self.dropped += dropped
        return [rows[place - 1] for place in queued]

    def due(self, receiver: str, now: float, most: int) -> list[Row]:
        """Messages for ``receiver`` whose time has come, oldest first; of one alert only the oldest."""
        found: list[Row] = []
        seen: set[str] = set()
        for text in self._ask(scripts.DUE, self._keys.all_of("rows", "order"), [_MOST_DUE]):
            row = self._read_row(text)
            if row.receiver == receiver and row.message.fingerprint not in seen:
                seen.add(row.message.fingerprint)
                if row.next_at <= now:
                    found.append(row)
        return found[:most]

    def claim(self, epoch: int, rows: Sequence[Row]) -> list[Row]:
        """Those of ``rows`` that this judge alone may send for a while."""
        said = [self._holder(self._owner), epoch, int(CLAIM * 1000), *(row.identity for row in rows)]
        found = self._ask(scripts.CLAIM, self._keys.all_of("lease", "epoch", "rows", "claims"), said)
        return [rows[place - 1] for place in found]

    def accept(self, rows: Sequence[Row]) -> None:
        """Queue what another ledger held."""
        said: list[Any] = ["", 0, 0, len(rows)]
        for row in rows:
            said += (row.identity, self._write_row(row, self._shift))
        self._ask(scripts.ADOPT, self._keys.all_of(*_JUDGE, "adopted"), said)

    def settle(self, row: Row, outcome: Outcome, next_at: float) -> None:
        """Say how a try went."""
        again = msgspec.structs.replace(row, attempts=row.attempts + 1, next_at=next_at)
        said = [row.identity, outcome, self._write_row(again, self._shift)]
        self._ask(scripts.SETTLE, self._keys.all_of("rows", "order", "told", "claims"), said)

    def silences(self) -> list[Silence]:
        """What each host silenced."""
        key = self._keys.of("silences")
        told: list[bytes] = self._line.ask(lambda redis: redis.hvals(key))
        return [one for text in told for one in msgspec.json.decode(text, type=list[Silence])]

    def silence(self, host: str, silences: Sequence[Silence]) -> None:
        """What is silenced on this host; all of it, each time."""
        key, text = self._keys.of("silences"), msgspec.json.encode(list(silences))

        def tell(redis: Any) -> None:
            if silences:
                redis.hset(key, host, text)
                redis.pexpire(key, scripts.KEPT)
            else:
                redis.hdel(key, host)

        self._line.ask(tell)

    def tidy(self) -> None:
        """Forget alerts that have been at rest for a day."""
        now, key = self._now(), self._keys.of("kept")

        def tidy(redis: Any) -> None:
            kept = self._read_kept(redis, self._shift)
            old = [one.fingerprint for one in kept if one.state == "inactive" and now - one.at > _RESTING_KEPT]
            if old:
                redis.hdel(key, *old)

        self._line.ask(tidy)

    # --- how it is written --------------------------------------------------------------------------------------

    def _read_kept(self, redis: Any, shift: float) -> list[Kept]:
        told: list[bytes] = redis.hvals(self._keys.of("kept"))
        found = [msgspec.json.decode(text, type=Kept) for text in told]
        return [msgspec.structs.replace(one, at=one.at - shift, boot=self._boot) for one in found]

    def _write_kept(self, one: Kept, shift: float) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(one, at=one.at + shift, boot=""))

    def _read_row(self, text: bytes) -> Row:
        row = msgspec.json.decode(text, type=Row)
        return msgspec.structs.replace(row, next_at=row.next_at - self._shift, boot=self._boot)

    def _write_row(self, row: Row, shift: float) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(row, next_at=row.next_at + shift, boot=""))

    def _ask(self, script: str, keys: Sequence[str], said: Sequence[Any]) -> Any:
        return self._line.ask(lambda redis: self._run(redis, script, keys, said))

    def _run(self, redis: Any, script: str, keys: Sequence[str], said: Sequence[Any]) -> Any:
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - an extra

        try:
            return redis.evalsha(self._sha(script), len(keys), *keys, *said)
        except NoScriptError:
            return redis.eval(script, len(keys), *keys, *said)

    def _sha(self, script: str) -> str:
        sha = self._shas.get(script)
        if sha is None:
            sha = self._shas[script] = hashlib.sha1(script.encode()).hexdigest()  # noqa: S324 - Redis's own name for it
        return sha


def _marked(redis: Any, marks: str, since: int) -> list[tuple[bytes, float]]:
    """A page of the slots after ``since``, with their marks: whole ones, for a worker tells several under one mark."""
    found: list[tuple[bytes, float]] = redis.zrangebyscore(marks, f"({since}", "+inf", 0, _MEMBERS, withscores=True)
    if len(found) < _MEMBERS:
        return found
    last = found[-1][1]
    return [
        *(one for one in found if one[1] < last),
        *redis.zrangebyscore(marks, int(last), int(last), withscores=True),
    ]


def _sight(told: Sequence[Any]) -> Sight:
    seconds, micros, identity, version, adopted = told
    return Sight(
        time=int(seconds) + int(micros) / 1e6,
        identity=identity.decode(),
        version=int(version),
        adopted=int(adopted),
    )
