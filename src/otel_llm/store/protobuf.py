"""Room store: values as bytes of Protocol Buffers, as far as OTLP's spans need them. No I/O, no clock.

Writing the bytes costs a fraction of making messages and having them serialised, and what many spans share is written
once. Source: protobuf.dev/programming-guides/encoding; opentelemetry/proto/common/v1/common.proto.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, Final

_DOUBLE: Final = Struct("<d").pack
_BYTE: Final = tuple(bytes((number,)) for number in range(128))
_INT64: Final = range(-(2**63), 2**63)
_UNSIGNED: Final = 2**64 - 1
_TWO_BYTES: Final = 1 << 14

STRING: Final = b"\x0a"
BOOL: Final = b"\x10"
INT: Final = b"\x18"
DOUBLE: Final = b"\x21"
ARRAY: Final = b"\x2a"
MAP: Final = b"\x32"
BYTES: Final = b"\x3a"
"""Tags of the fields of ``AnyValue``."""


def varint(number: int) -> bytes:
    """``number``, of 0 to 2^64 - 1, in groups of seven bits."""
    if number < 128:  # noqa: PLR2004 - seven bits
        return _BYTE[number]
    if number < _TWO_BYTES:
        return bytes((number & 127 | 128, number >> 7))
    groups = bytearray()
    while number > 127:  # noqa: PLR2004 - as above
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def field(tag: bytes, content: bytes) -> bytes:
    """A field that tells its length: a message, a text or bytes."""
    return tag + varint(len(content)) + content


def text(value: str) -> bytes:
    """UTF-8, with a question mark for a lone surrogate, which no message may hold."""
    return value.encode("utf-8", "replace")


def any_value(value: Any) -> bytes:  # noqa: PLR0911 - one line a type
    """The ``AnyValue`` of an attribute's value; a whole number beyond 64 bits is told as text."""
    if isinstance(value, str):
        return field(STRING, text(value))
    if isinstance(value, bool):
        return BOOL + _BYTE[value]
    if isinstance(value, int):
        return INT + varint(value & _UNSIGNED) if value in _INT64 else field(STRING, str(value).encode())
    if isinstance(value, float):
        return DOUBLE + _DOUBLE(value)
    if isinstance(value, (bytes, bytearray)):
        return field(BYTES, bytes(value))
    if isinstance(value, Mapping):
        return field(MAP, attributes(b"\x0a", value))
    if isinstance(value, Sequence):
        return field(ARRAY, b"".join([field(b"\x0a", any_value(item)) for item in value]))
    return b""


def attribute(tag: bytes, key: str, value: Any) -> bytes:
    """One ``KeyValue`` as the field ``tag``."""
    return field(tag, field(b"\x0a", text(key)) + field(b"\x12", any_value(value)))


def attributes(tag: bytes, values: Mapping[str, Any]) -> bytes:
    """A ``KeyValue`` as the field ``tag`` for each attribute."""
    return b"".join([attribute(tag, str(key), value) for key, value in values.items()])


def writer(tag: bytes, key: str, kind: type) -> Callable[[Any], bytes]:
    """What `attribute` does, for values of one type: the bytes before the value are made here, once."""
    name = field(b"\x0a", text(key))
    if kind is float:
        before = field(tag, name + b"\x12\x09" + DOUBLE + bytes(8))[:-8]
        return lambda value: before + _DOUBLE(value)
    if kind is int:
        by_size = [field(tag, name + field(b"\x12", INT + bytes(size)))[: -size or None] for size in range(11)]

        def write(value: int) -> bytes:
            number = varint(value & _UNSIGNED)
            return by_size[len(number)] + number

        return write
    if kind is str:

        def write_text(value: str) -> bytes:
            return field(tag, name + field(b"\x12", field(STRING, text(value))))

        return write_text
    return lambda value: attribute(tag, key, value)
