"""Hear an answer's content as its pieces pass by, and hold no more than a bounded part of it. No I/O, no clock.

Stands beside `otel_llm.record.reading`, which reads as little as it can; this reads every message, and is there only
where content is asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_llm.record import framing
from otel_llm.record.content.shape import Answer
from otel_llm.record.followed import START
from otel_llm.record.framing import Framing

HELD: Final = 65_536
"""[byte] Most of an unfinished message, and most of an answer's content, that is held for a stream."""

WHOLE: Final = 262_144
"""[byte] Most of a body that comes in one piece: nothing can be told before its end."""


class Listening:
    """The content of one answer.

    Args:
        heard: Adds what one message says to an answer.
        content_type: The header's value.
        array: A JSON array in this body is a stream of its elements.
    """

    def __init__(
        self,
        heard: Callable[[Mapping[str, Any], Answer], None],
        content_type: str,
        *,
        array: bool = False,
    ) -> None:
        self.answer = Answer(HELD)
        self._heard = heard
        self._content_type = content_type
        self._array = array
        self._framing: Framing | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._mark = START
        self._skipping = False
        self._deaf = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body, inflated."""
        if not self._deaf:
            self._take(piece)

    def finish(self) -> None:
        """Hear what is left; called once, at the body's end."""
        if self._deaf:
            return
        rest = b"".join(self._pieces)
        kind = self._framing or framing.choose(self._content_type, rest, array=self._array) or Framing.WHOLE
        for message in [] if self._skipping else framing.finish(kind, rest):
            self._hear(message)
        self._stop()

    def _take(self, part: bytes) -> None:
        self._pieces.append(part)
        self._held += len(part)
        if self._framing is None:
            start = b"".join(self._pieces)
            if not start.strip():
                return
            self._framing = framing.choose(self._content_type, start, array=self._array)
        kind = self._framing
        if kind is None:
            return
        if kind is Framing.WHOLE:
            if self._held > WHOLE:
                self._give_up()
        elif kind in framing.FOLLOWED or b"\n" in part or b"\r" in part or self._held > HELD:
            self._look(kind)

    def _look(self, kind: Framing) -> None:
        """Hear every message that is complete, and hold what waits for its end."""
        data = b"".join(self._pieces)
        if self._skipping:
            _, data = framing.resume(kind, data)
            self._skipping = not data
        messages: list[bytes] = []
        if kind in framing.FOLLOWED:
            messages, data, self._mark = framing.follow(kind, data, self._mark)
        elif data:
            messages, data = framing.split(kind, data)
        for message in messages:
            self._hear(message)
        if len(data) > HELD:
            self.answer.truncated = True
            if kind in framing.FOLLOWED:
                self._deaf = True
            self._skipping, data = True, data[-2:]
        self._pieces, self._held = ([data] if data else []), len(data)
        if self.answer.full:
            self._give_up()

    def _hear(self, message: bytes) -> None:
        if message == framing.DONE:
            return
        value = framing.decode(message)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                self._heard(item, self.answer)

    def _give_up(self) -> None:
        self.answer.truncated = True
        self._stop()

    def _stop(self) -> None:
        self._deaf, self._pieces = True, []
