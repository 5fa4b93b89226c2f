"""Room store: the body of a request over HTTP, read to its end and inflated; neither goes beyond a bound.

Source: RFC 9112 (lengths and chunks). `otlp_server` has what is read here taken.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from email.message import Message
from io import BufferedIOBase
from typing import Final

MOST_BODY: Final = 16 * 1024 * 1024
"""[byte] As it comes, and inflated."""

PIECE: Final = 64 * 1024
"""[byte] Read at once."""

_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")


class RefusedError(Exception):
    """A request that is not taken.

    Attributes:
        status: Of HTTP.
        headers: That go with it.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Body:
    """One body, as its sender frames it.

    Args:
        headers: Of the request.
        file: Where it comes from.
        hold: Is asked for room before it is read, and raises where there is none [byte].

    Attributes:
        whole: It was read to its end.
    """

    def __init__(self, headers: Message, file: BufferedIOBase, hold: Callable[[int], None]) -> None:
        self.whole = False
        self._headers = headers
        self._file = file
        self._hold = hold

    def read(self) -> bytes:
        """All of it, inflated.

        Raises:
            RefusedError: It is too long, broken or cut off.
        """
        coding = self._headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in {"identity", "gzip", "deflate"}:
            raise RefusedError(415, f"Content-Encoding: expected gzip or none, found {coding[:100]!r}")
        try:
            body = b"".join(self._chunks() if self._is_chunked() else self._length())
        except OSError as error:
            raise RefusedError(400, "body: cut off") from error
        if coding == "identity":
            return body
        self._hold(MOST_BODY)
        return inflate(body)

    def _is_chunked(self) -> bool:
        coding = self._headers.get("Transfer-Encoding")
        if coding is None:
            return False
        if coding.strip().lower() != "chunked" or "Content-Length" in self._headers:
            raise RefusedError(400, "Transfer-Encoding: expected chunked, and no Content-Length beside it")
        return True

    def _length(self) -> Iterator[bytes]:
        said = self._headers.get_all("Content-Length") or []
        if len(said) != 1 or not (said[0].isascii() and said[0].isdigit()):
            raise RefusedError(400 if said else 411, "Content-Length: expected a number")
        if len(said[0]) > 12 or int(said[0]) > MOST_BODY:  # noqa: PLR2004 - digits enough
            raise _too_long()
        yield self._exactly(int(said[0]))
        self.whole = True

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while True:
            size = self._file.readline(64).partition(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size):
                raise RefusedError(400, "body: expected a chunk")
            length = int(size, 16)
            total += length
            if total > MOST_BODY:
                raise _too_long()
            if length == 0:
                break
            yield self._exactly(length)
            if self._file.readline(64).strip():
                raise RefusedError(400, "body: expected the end of a chunk")
        for _ in range(64):  # trailers
            if not self._file.readline(4096).strip():
                self.whole = True
                return
        raise RefusedError(400, "body: too many trailers")

    def _exactly(self, length: int) -> bytes:
        pieces, left = [], length
        while left:
            piece = self._file.read(min(left, PIECE))
            if not piece:
                raise RefusedError(400, "body: cut off")
            self._hold(len(piece))
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def inflate(body: bytes) -> bytes:
    """``body`` without gzip or zlib around it, also where several were put after one another.

    Raises:
        RefusedError: It is longer than `MOST_BODY`, or broken.
    """
    pieces, length = [], 0
    while body:
        member = zlib.decompressobj(wbits=47)  # gzip or zlib, as it begins
        try:
            piece = member.decompress(body, MOST_BODY - length + 1)
        except zlib.error as error:
            raise RefusedError(400, "body: expected gzip, found something else") from error
        length += len(piece)
        if length > MOST_BODY:
            raise _too_long()
        if not member.eof:
            raise RefusedError(400, "body: expected gzip, found a part of it")
        pieces.append(piece)
        body = member.unused_data
    return b"".join(pieces)


def _too_long() -> RefusedError:
    return RefusedError(413, f"body: expected at most {MOST_BODY} bytes")
