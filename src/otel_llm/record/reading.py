"""Read an answer's body as its pieces pass by, at next to no cost. No I/O; the clock is an argument.

Until the first message that carries output, pieces are framed and looked at. After it they are only counted and
remembered: the last 64 KiB, by reference. What the answer said is read from there once, at its end. Where messages
can only be told apart from the start (`framing.FOLLOWED`), each is read as it comes and nothing is remembered.
"""

from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from typing import Any, Final

from otel_llm.record import framing
from otel_llm.record.exchange import Facts, Format
from otel_llm.record.followed import START
from otel_llm.record.framing import Framing, Inflater

HELD: Final = 65_536
"""Most bytes of one body that are held."""

INFLATED: Final = 64 * 1024 * 1024
"""Most bytes that one compressed body is inflated to; what lies beyond is not read."""

_KEPT: Final = 32_768
_HEAD: Final = 16_384
_LAST: Final = 8
"""Messages at a stream's end that are always read: finish, usage and whatever trails them."""

_MOST_SILENT: Final = 4096
"""Messages at a stream's start that are read without any output: a million of them would cost the host seconds."""


class Reading:
    """The body of one answer.

    Args:
        format: Who understands the messages.
        clock: Monotonic [s].
        content_type: The header's value.
        inflater: Undoes the content encoding; ``None`` for identity.
        array: A JSON array in this body is a stream of its elements.
    """

    __slots__ = (
        *(
            "_array",
            "_buffer",
            "_carry",
            "_clock",
            "_content_type",
            "_counted",
            "_cut",
            "_format",
            "_framing",
            "_head",
            "_held",
        ),
        *(
            "_inflater",
            "_last_at",
            "_looking",
            "_mark",
            "_pieces",
            "_silent",
            "_tallied",
            "_trailing",
            "_whole",
            "facts",
            "first_chunk_at",
            "first_token_at",
        ),
        *("max_gap", "timed", "truncated"),
    )

    def __init__(
        self,
        format: Format,  # noqa: A002 - the word for it
        clock: Callable[[], float],
        content_type: str,
        inflater: Inflater | None,
        *,
        array: bool = False,
    ) -> None:
        self.facts = Facts()
        self.first_chunk_at: float | None = None
        self.first_token_at: float | None = None
        self.max_gap: float | None = None
        self.timed = True
        self.truncated = False
        self._array = array
        self._format = format
        self._clock = clock
        self._content_type = content_type
        self._inflater = inflater
        self._framing: Framing | None = None
        self._looking = True
        self._mark = START
        self._buffer = b""
        self._pieces: list[bytes] = []
        self._held = 0
        self._head = b""
        self._carry = b""
        self._counted = 0
        self._cut = False
        self._silent = 0
        self._tallied = 0
        self._trailing = 0
        self._whole = False
        self._last_at: float | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the body came as messages one after another."""
        return self._framing is not None and self._framing is not Framing.WHOLE

    @property
    def complete(self) -> bool:
        """Whether the answer said all it had to say; known once `finish` has run."""
        return self.facts.done or bool(self.facts.finish) or self._whole

    def feed(self, piece: bytes) -> None:
        """Take the next piece as it came off the wire."""
        now = self._clock()
        if self._last_at is not None:
            gap = now - self._last_at
            if self.max_gap is None or gap > self.max_gap:
                self.max_gap = gap
        self._last_at = now
        if self._inflater is not None:
            for part in self._inflater.feed(piece):
                self._take(part, now)
        elif self._looking:
            self._look(piece, now)
        else:
            # What most pieces of most streams come to; `_take` once more, without a call.
            self._pieces.append(piece)
            self._held += len(piece) or 1
            if self._held > HELD:
                self._shed()

    def _take(self, piece: bytes, now: float) -> None:
        if self._looking:
            self._look(piece, now)
            return
        self._pieces.append(piece)
        self._held += len(piece) or 1
        if self._held > HELD:
            self._shed()

    def _look(self, piece: bytes, now: float) -> None:
        """Frame and read messages until one carries output; what follows it is held."""
        self._buffer += piece
        if self._framing is None:
            if not self._buffer.strip():
                self._buffer = b""
                return
            plain = self._content_type == "application/json" and self._buffer.startswith(b"{")  # as most are
            kind = self._content_type
            self._framing = Framing.WHOLE if plain else framing.choose(kind, self._buffer, array=self._array)
        if self._framing in framing.FOLLOWED:
            self._follow(self._framing, now)
            return
        if self._framing is Framing.WHOLE:
            self._hold(self._buffer)
        elif self._framing is not None:
            self._look_into(self._framing, now)

    def _look_into(self, kind: Framing, now: float) -> None:
        if self._cut:
            left, rest = framing.resume(kind, self._buffer)
            if rest:
                self._cut, self._buffer = False, rest
                self._meet(framing.salvage(b"", left), now)
        messages, rest = ([], self._buffer) if self._cut else framing.split(kind, self._buffer)
        self._buffer = rest
        for position, message in enumerate(messages):
            if self._meet(message, now) or self._silent >= _MOST_SILENT:
                self._hold(framing.join(kind, messages[position + 1 :]) + rest)
                return
        if len(rest) > HELD:
            self._cut, self._buffer = True, rest[-_KEPT:]

    def _hold(self, data: bytes) -> None:
        """Look no more; from ``data`` on the body is only remembered."""
        self._looking, self._buffer = False, b""
        self._pieces, self._held = [data], len(data)
        if self._held > HELD:
            self._shed()

    def _meet(self, message: bytes | Mapping[str, Any], now: float | None) -> bool:
        """Read one message of a stream and note its place; whether it carries output."""
        if message == framing.DONE:
            self.facts.done = True
            return False
        self._counted += 1
        if self.first_chunk_at is None:
            self.first_chunk_at = now
        carries = self._read(message) if isinstance(message, bytes) else self._format.read(message, self.facts)
        if carries:
            if self.first_token_at is None:
                self.first_token_at = now
            self._trailing = 0
            return True
        self._silent += self.first_token_at is None
        self._trailing += 1
        return False

    def _follow(self, kind: Framing, now: float) -> None:
        """Read every message that has come; keep what waits for its end, and no more than `HELD` of it."""
        messages, self._buffer, self._mark = framing.follow(kind, self._buffer, self._mark)
        for message in messages:
            damaged = self.truncated and framing.decode(message) is None
            self._meet(framing.salvage(b"", message) if damaged else message, now)
        if len(self._buffer) > HELD:
            self.truncated = True
            self._buffer, self._mark = framing.shorten(kind, self._buffer), START
            if len(self._buffer) > HELD:
                self._looking, self._buffer = False, b""

    def _read(self, message: bytes) -> bool:
        """Read one message; whether it carries output."""
        if message == framing.DONE:
            self.facts.done = True
            return False
        return self._read_value(framing.decode(message))

    def _read_value(self, value: Any) -> bool:
        if isinstance(value, dict):
            return self._format.read(value, self.facts)
        carries = False
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict):
                carries |= self._format.read(item, self.facts)
        return carries

    def _shed(self) -> None:
        """Let go of the oldest bytes; count the messages in them."""
        if self._framing in framing.FOLLOWED:
            self._pieces, self._held = [], 0
            return
        body = b"".join(self._pieces)
        dropped, kept = body[:-_KEPT], body[-_KEPT:]
        if self._framing is Framing.WHOLE or self._framing is None:
            self.truncated = True
            self._head = self._head or dropped[:_HEAD]
            self._tally(dropped)
        else:
            self._count(self._framing, dropped)
            self._head = framing.beginning(self._framing, self._head, dropped)
            self._cut = True
        self._pieces, self._held = [kept], len(kept) + len(self._head)

    def _tally(self, data: bytes) -> None:
        self._tallied += framing.tally(data, before=self._carry)
        self._carry = (self._carry + data)[-framing.PART :]

    def _count(self, kind: Framing, data: bytes) -> None:
        self._counted += framing.count(kind, data, before=self._carry)
        self._carry = (self._carry + data)[-framing.OVERLAP :]

    def so_far(self) -> "Reading":
        """A copy that may be finished while this one goes on."""
        twin = copy(self)
        twin.facts = deepcopy(self.facts)
        twin._pieces = list(self._pieces)  # noqa: SLF001 - its own class
        return twin

    def finish(self, choices: int) -> None:
        """Read what is left to read. Called once, when the body has ended in whatever way.

        Args:
            choices: How many alternatives the request asked for; each ends on its own.
        """
        body = self._buffer + b"".join(self._pieces)
        self._pieces = []
        if self._framing in (Framing.EVENTS, Framing.LINES):
            self._finish_stream(self._framing, body, choices)
        elif self._framing in framing.FOLLOWED:
            self._buffer = b""
        elif self.truncated:
            self._tally(body)
            self._read_salvaged(framing.salvage(self._head, body))
            if self._tallied:
                part = {"embeddings": {"statistics": {"token_count": self._tallied}}}
                self._read_salvaged({"predictions": [part]})
        elif body.strip():
            self._finish_whole(body)
        if self._inflater is not None and self._inflater.broken:
            self.truncated = True

    def _finish_whole(self, body: bytes) -> None:
        at_once = getattr(self._format, "read_whole", None)
        if at_once is not None and at_once(body, self.facts):
            self._whole = True
            return
        value = framing.decode(body)
        if value is None and b"\n" in body.strip():
            # One JSON value a line, under a content type that did not say so.
            for line in framing.split(Framing.LINES, body + b"\n")[0]:
                self._read(line)
        else:
            self._read_value(value)
            self._whole = value is not None

    def _finish_stream(self, kind: Framing, body: bytes, choices: int) -> None:
        if self._looking:
            for message in [framing.salvage(b"", body)] if self._cut else framing.finish(kind, body):
                self._meet(message, self._last_at)
            return
        if b"\r" in body:
            body = framing.normalise(body)
        self._count(kind, body if body.endswith(b"\n") or not body else body + b"\n")
        start = _last_messages(kind, body) if choices <= 1 else 0
        self._trailing = self._read_all(kind, body[start:], cut=self._cut and start == 0)
        if start and not (self.facts.finish or self.facts.failed):
            # An odd ending: read everything that is held.
            self._trailing = self._read_all(kind, body, cut=self._cut)

    def _read_all(self, kind: Framing, body: bytes, *, cut: bool) -> int:
        """Read the messages of ``body``; how many at its end carry no output."""
        if cut:
            left, body = framing.resume(kind, body)
            self._read_salvaged(framing.salvage((self._head + left)[: framing.BEGINNING], left))
        messages, rest = framing.split(kind, body)
        messages += framing.finish(kind, rest)
        trailing = 0
        for message in messages:
            if message == framing.DONE:
                self.facts.done = True
            else:
                trailing = 0 if self._read(message) else trailing + 1
        return trailing

    def _read_salvaged(self, found: Mapping[str, Any]) -> None:
        if found:
            self._format.read(found, self.facts)

    @property
    def output_chunks(self) -> int | None:
        """About how many messages carried output; ``None`` when none did or the body is no stream."""
        if self.first_token_at is None:
            return None
        return max(1, self._counted - self._silent - self._trailing)

    @property
    def chunks(self) -> int | None:
        """How many messages the stream held; ``None`` for a whole body."""
        return self._counted if self.is_stream else None


def _last_messages(kind: Framing, body: bytes) -> int:
    """Where the last messages of ``body`` begin; 0 when it holds no more than those."""
    separator = b"\n\n" if kind is Framing.EVENTS else b"\n"
    position = len(body.rstrip(b"\n"))
    for _ in range(_LAST):
        position = body.rfind(separator, 0, position)
        if position < 0:
            return 0
    return position + len(separator)
