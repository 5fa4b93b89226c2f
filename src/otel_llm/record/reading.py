"""Read an answer's body as its pieces pass by, at next to no cost. No I/O; the clock is an argument.

Until the first message that carries output, pieces are framed and looked at. After it they are only counted and
remembered: the last 64 KiB, by reference. What the answer said is read from there once, at its end.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_llm.record import framing
from otel_llm.record.exchange import Facts, Format
from otel_llm.record.framing import Framing, Inflater

HELD: Final = 65_536
"""Most bytes of one body that are held."""

INFLATED: Final = 64 * 1024 * 1024
"""Most bytes that one compressed body is inflated to; what lies beyond is not read."""

_KEPT: Final = 32_768
_HEAD: Final = 16_384
_LAST: Final = 12
"""Messages at a stream's end that are always read: finish, usage and whatever trails them."""

_OVERLAP: Final = 5
"""One byte less than the mark that `framing.count` looks for, so that no cut hides one."""


class Reading:
    """The body of one answer.

    Args:
        format: Who understands the messages.
        clock: Monotonic [s].
        content_type: The header's value.
        inflater: Undoes the content encoding; ``None`` for identity.
    """

    __slots__ = (
        *("_buffer", "_carry", "_clock", "_content_type", "_counted", "_format", "_framing", "_head", "_held"),
        *(
            "_inflater",
            "_last_at",
            "_looking",
            "_pieces",
            "_silent",
            "_trailing",
            "_whole",
            "facts",
            "first_chunk_at",
            "first_token_at",
        ),
        *("max_gap", "truncated"),
    )

    def __init__(
        self,
        format: Format,  # noqa: A002 - the word for it
        clock: Callable[[], float],
        content_type: str,
        inflater: Inflater | None,
    ) -> None:
        self.facts = Facts()
        self.first_chunk_at: float | None = None
        self.first_token_at: float | None = None
        self.max_gap: float | None = None
        self.truncated = False
        self._format = format
        self._clock = clock
        self._content_type = content_type
        self._inflater = inflater
        self._framing: Framing | None = None
        self._looking = True
        self._buffer = b""
        self._pieces: list[bytes] = []
        self._held = 0
        self._head = b""
        self._carry = b""
        self._counted = 0
        self._silent = 0
        self._trailing = 0
        self._whole = False
        self._last_at: float | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the body came as messages one after another."""
        return self._framing in (Framing.EVENTS, Framing.LINES)

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
            piece = b"".join(self._inflater.feed(piece))
        if self._looking:
            self._look(piece, now)
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > HELD:
            self._shed()

    def _look(self, piece: bytes, now: float) -> None:
        """Frame and read messages until one carries output."""
        self._buffer += piece
        if self._framing is None:
            if not self._buffer.strip():
                return
            self._framing = framing.choose(self._content_type, self._buffer)
        if self._framing is Framing.WHOLE or len(self._buffer) > HELD:
            self._looking, self._buffer = False, b""
            return
        messages, self._buffer = framing.split(self._framing, self._buffer)
        for message in messages:
            if self.first_chunk_at is None:
                self.first_chunk_at = now
            if self._read(message):
                self.first_token_at = now
                self._looking, self._buffer = False, b""
                return
            self._silent += 1

    def _read(self, message: bytes) -> bool:
        """Read one message; whether it carries output."""
        if message == framing.DONE:
            self.facts.done = True
            return False
        value = framing.decode(message)
        if isinstance(value, dict):
            return self._format.read(value, self.facts)
        carries = False
        for item in value if isinstance(value, list) else ():
            if isinstance(item, dict):
                carries |= self._format.read(item, self.facts)
        return carries

    def _shed(self) -> None:
        """Let go of the oldest bytes; count the messages in them."""
        body = b"".join(self._pieces)
        dropped, kept = body[:-_KEPT], body[-_KEPT:]
        if self._framing is Framing.WHOLE or self._framing is None:
            self.truncated = True
            self._head = self._head or dropped[:_HEAD]
        else:
            self._count(dropped)
        self._carry = (self._carry + dropped)[-_OVERLAP:]
        self._pieces, self._held = [kept], len(kept)

    def _count(self, data: bytes) -> None:
        if self._framing is not None:
            self._counted += framing.count(self._framing, self._carry + data, begins=not self._carry)

    def finish(self, choices: int) -> None:
        """Read what is left to read. Called once, when the body has ended in whatever way.

        Args:
            choices: How many alternatives the request asked for; each ends on its own.
        """
        body = b"".join(self._pieces)
        self._pieces = []
        if self._framing in (Framing.EVENTS, Framing.LINES):
            self._finish_stream(body, choices)
        elif self.truncated:
            self._read_salvaged(framing.salvage(self._head, body))
        elif body.strip():
            self._finish_whole(body)
        if self._inflater is not None and self._inflater.broken:
            self.truncated = True

    def _finish_whole(self, body: bytes) -> None:
        value = framing.decode(body)
        if value is None and b"\n" in body.strip():
            # One JSON value a line, under a content type that did not say so.
            for line in framing.split(Framing.LINES, body + b"\n")[0]:
                self._read(line)
        else:
            self._read(body)
            self._whole = value is not None

    def _finish_stream(self, body: bytes, choices: int) -> None:
        assert self._framing is not None  # noqa: S101 - narrows the type
        kind = self._framing
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._count(body if body.endswith(b"\n") or not body else body + b"\n")
        cut = bool(self._carry)
        start = _last_messages(kind, body) if choices <= 1 else 0
        self._trailing = self._read_all(kind, body[start:], cut=cut and start == 0)
        if start and not (self.facts.finish or self.facts.failed):
            # An odd ending: read everything that is held.
            self._trailing = self._read_all(kind, body, cut=cut)

    def _read_all(self, kind: Framing, body: bytes, *, cut: bool) -> int:
        """Read the messages of ``body``; how many at its end carry no output."""
        messages, rest = framing.split(kind, body)
        messages += framing.finish(kind, rest)
        if cut and messages:
            self._read_salvaged(framing.salvage(b"", messages.pop(0)))
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
