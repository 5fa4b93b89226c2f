"""Room store: attribute values as JSON text and back, without loss. No I/O, no clock.

JSON knows no bytes, no NaN, no whole number beyond 64 bits everyone agrees on and no lone surrogate. Such a value is
written as an object with one key that starts with ``$``; every other object is an attribute map. OpenTelemetry has one
kind of sequence, so an array reads back as a tuple.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

_INT63: Final = 2**63
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def pack(attributes: Mapping[str, Any]) -> str:
    """JSON text of an attribute map."""
    if _plain(attributes):
        try:
            return _encode(attributes).decode()
        except (UnicodeEncodeError, OverflowError, TypeError):
            pass  # a lone surrogate or another rarity: the slow way knows it
    return json.dumps(_map(attributes), ensure_ascii=True, separators=(",", ":"))


def unpack(text: str | None) -> dict[str, Any]:
    """The attribute map that `pack` wrote; empty for ``None``."""
    if not text:
        return {}
    content = _decode(text)
    if '"$' not in text:
        return {key: _tupled(value) if type(value) is list else value for key, value in content.items()}
    return _unmap(content)


def pack_value(value: object) -> str | None:
    """JSON text of one value; ``None`` for ``None``."""
    return None if value is None else json.dumps(_tagged(value), ensure_ascii=True, separators=(",", ":"))


def unpack_value(text: str | None) -> Any:
    """The value that `pack_value` wrote."""
    return None if text is None else _untagged(_decode(text))


def tagged(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """An attribute map as plain JSON without loss; what JSON cannot hold stands as an object with a ``$`` key."""
    return _map(attributes)


def untagged(content: Mapping[str, Any]) -> dict[str, Any]:
    """The attribute map that `tagged` made.

    Raises:
        ValueError: It did not make this.
    """
    try:
        return _unmap(dict(content))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = "attributes: expected plain values, found an object that is none"
        raise ValueError(message) from error


def is_clean(text: str) -> bool:
    """Whether SQLite keeps ``text`` whole in a text column, for its own functions too."""
    if "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def presentable(value: object) -> Any:
    """``value`` as plain JSON for people: bytes as base64, NaN and infinities as texts, as OTLP/JSON has them."""
    if isinstance(value, str):
        return value if is_clean(value) else value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {presentable(str(key)): presentable(item) for key, item in value.items() if item is not None}
    if isinstance(value, Sequence):
        return [presentable(item) for item in value]
    return value


def shorten(value: Any, longest: int) -> Any:
    """``value`` with texts, bytes and sequences cut to ``longest``, and the same inside."""
    if isinstance(value, (str, bytes)):
        return value[:longest]
    if isinstance(value, Mapping):
        return {key[:longest]: shorten(item, longest) for key, item in islice(value.items(), longest)}
    if isinstance(value, Sequence):
        return tuple(shorten(item, longest) for item in value[:longest])
    return value


def _plain(attributes: Mapping[str, Any]) -> bool:
    """Whether every value is one that JSON keeps; what the encoder itself refuses is not looked for."""
    for key, value in attributes.items():
        kind = type(value)
        if kind is str or kind is int or kind is bool:
            pass
        elif kind is float:
            if not math.isfinite(value):
                return False
        elif not (kind is tuple and all(type(item) is str for item in value)):
            return False
        if key[:1] == "$":
            return False
    return True


def _map(attributes: Mapping[str, Any]) -> dict[str, Any]:
    if all(key[:1] != "$" and is_clean(key) for key in attributes):
        return {key: _tagged(value) for key, value in attributes.items()}
    return {"$pairs": [[_tagged(key), _tagged(value)] for key, value in attributes.items()]}


def _tagged(value: object) -> Any:  # noqa: PLR0911 - one line a type
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _tagged_text(str.__str__(value))
    if isinstance(value, int):
        # No `range`: it looks for an `IntEnum` one by one, which takes for ever and lets no other thread run.
        return int(value) if -_INT63 <= value < _INT63 else {"$int": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {"$map": _map(value)}
    if isinstance(value, Sequence):
        return [_tagged(item) for item in value]
    return str(value)


def _tagged_text(text: str) -> Any:
    if is_clean(text.replace("\0", "")):
        return text
    return {"$utf8": base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()}


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_untagged(item) for item in value)
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    return _UNTAG[tag](content)


def _unmap(content: dict[str, Any]) -> dict[str, Any]:
    if "$pairs" in content:
        return {_untagged(key): _untagged(value) for key, value in content["$pairs"]}
    return {key: _untagged(value) for key, value in content.items()}


_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    "$utf8": lambda content: base64.b64decode(content).decode("utf-8", "surrogatepass"),
    "$int": lambda content: int(content, 16),
    "$float": float,
    "$bytes": base64.b64decode,
    "$map": _unmap,
}


def _tupled(items: list[Any]) -> tuple[Any, ...]:
    return tuple(_tupled(item) if type(item) is list else item for item in items)
