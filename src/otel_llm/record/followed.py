"""Streams that can only be cut from their start: arrays of objects, frames that tell their length. No I/O, no clock.

Gemini streams one JSON array unless asked for server-sent events; AWS streams binary frames. Source: RFC 8259; event
stream encoding of Amazon Web Services (prelude of two lengths and a checksum, headers, payload, checksum).
"""

import contextlib
import json
import re
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple


class Mark(NamedTuple):
    """How far the object that waits for its end was looked through, so that no byte is looked at twice.

    Attributes:
        position: In what waits, of the first byte not looked at.
        depth: Brackets open there.
        quoted: Whether it stands inside a string.
    """

    position: int = 0
    depth: int = 0
    quoted: bool = False


START: Final = Mark()

_TOKEN: Final = re.compile(rb'"(?>[^"\\]+|\\.)*+("?)|[{}\[\]]', re.DOTALL)
"""A string, ended or (its group empty) not, or a bracket outside of strings."""

_INSIDE: Final = re.compile(rb'(?>[^"\\]+|\\.)*+("?)', re.DOTALL)
"""What is left of a string."""


def split_array(data: bytes, mark: Mark = START) -> tuple[list[bytes], bytes, Mark]:
    """The objects of an array that are complete, what waits for its end, and how far that was looked through.

    What stands between objects says nothing and is let go.
    """
    messages: list[bytes] = []
    start = 0 if mark.depth else data.find(b"{")
    while start >= 0:
        mark = _scan(data, mark if mark.depth else Mark(start))
        if mark.depth:
            return messages, data[start:], mark._replace(position=mark.position - start)
        messages.append(data[start : mark.position])
        start = data.find(b"{", mark.position)
    return messages, b"", START


def _scan(data: bytes, mark: Mark) -> Mark:
    """Look on from ``mark`` to the object's end, where no bracket is open, or to the end of ``data``."""
    position, depth, quoted = mark
    if quoted:
        string = _INSIDE.match(data, position)
        if string is None or not string[1]:
            return Mark(string.end() if string else position, depth, quoted=True)
        position = string.end()
    for token in _TOKEN.finditer(data, position):
        first = data[token.start()]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
            if depth == 0:
                return Mark(token.end())
        elif not token[1]:
            return Mark(token.end(), depth, quoted=True)
    return Mark(len(data), depth)


_PRELUDE: Final = 12
_CHECKSUM: Final = 4
_LARGEST_FRAME: Final = 25 * 1024 * 1024
_HEADER_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; types 6 (bytes) and 7 (string) tell their length."""


def split_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """The complete frames at the start of ``data``, each as a JSON object: its payload under the name of its event."""
    messages: list[bytes] = []
    position = 0
    while position + _PRELUDE <= len(data):
        total, headers = struct.unpack_from(">II", data, position)
        if not _PRELUDE + headers + _CHECKSUM <= total <= _LARGEST_FRAME or position + total > len(data):
            break  # out of step for good, or not complete yet
        body = position + _PRELUDE + headers
        said = _frame_headers(data[position + _PRELUDE : body])
        messages.append(_frame_message(said, data[body : position + total - _CHECKSUM]))
        position += total
    return messages, data[position:]


def _frame_message(said: Mapping[str, str], payload: bytes) -> bytes:
    if said.get(":message-type") == "error":
        code, text = said.get(":error-code"), said.get(":error-message")
        return json.dumps({"error": {"code": code, "message": text}}).encode()
    name = said.get(":event-type") or said.get(":exception-type") or "event"
    return b"{" + json.dumps(name).encode() + b":" + (payload or b"{}") + b"}"


def _frame_headers(data: bytes) -> dict[str, str]:
    """The text headers of one frame; what stands behind a header that makes no sense is left out."""
    said: dict[str, str] = {}
    position = 0
    with contextlib.suppress(IndexError, struct.error, KeyError):
        while position < len(data):
            start = position + 1
            end = start + data[position]
            kind, position = data[end], end + 1
            if kind in (6, 7):
                size = struct.unpack_from(">H", data, position)[0] + 2
                if kind == 7:  # noqa: PLR2004 - a string
                    name = data[start:end].decode("utf-8", "replace")
                    said[name] = data[position + 2 : position + size].decode("utf-8", "replace")
            else:
                size = _HEADER_SIZES[kind]
            position += size
    return said


_NAMED: Final = re.compile(rb'"([A-Za-z_]{1,40})"\s*:\s*(?:"([^"\\]{0,1024}+)")?')


def strings(data: bytes, *, closed: bool) -> list[tuple[str, str, int]]:
    """The strings that stand behind a name in a part of one JSON object: name, string and how many brackets are around.

    Args:
        data: The object's beginning, or its end.
        closed: It is its end: brackets are counted from behind.
    """
    first = _NAMED.search(data) if closed else None
    position = first.start() if first else 0  # in front of a name no string is open
    depth, found = 0, []
    while token := _TOKEN.search(data, position):
        position = token.end()
        opening = data[token.start()]
        if opening in b"{[":
            depth += 1
        elif opening in b"}]":
            depth -= 1
        elif (named := _NAMED.match(data, token.start())) and named[2] is not None:
            found.append((named[1].decode(), named[2].decode("latin-1"), depth))
            position = named.end()
    return [(name, value, one - depth if closed else one) for name, value, one in found]


_LONG: Final = 256


def shorten_array(rest: bytes) -> bytes:
    """An unfinished object without the content of its long strings: images, mostly."""
    return _TOKEN.sub(_shorten_string, rest)


def _shorten_string(token: re.Match[bytes]) -> bytes:
    return b'"-' + token[1] if token.end() - token.start() > _LONG else token[0]


_PAYLOAD_KEPT: Final = 16_384


def shorten_frame(rest: bytes) -> bytes:
    """An unfinished frame without the beginning of its payload, and with the length that it has then."""
    if len(rest) > _PRELUDE:
        total, headers = struct.unpack_from(">II", rest)
        body = _PRELUDE + headers
        dropped = len(rest) - body - _PAYLOAD_KEPT
        if 0 < dropped < total - body:
            prelude = struct.pack(">II", total - dropped, headers)
            return prelude + rest[len(prelude) : body] + rest[body + dropped :]
    return rest
