"""Fit a plain value, from YAML, environment or code, to the type of the field that is to hold it. No I/O, no clock.

The types that a part's config class may use are the ones in this file, so that a fault can always say in the user's
words what was expected.
"""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from otel_llm.document import quote
from otel_llm.quantity import Duration, Size

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number, 0 or more",
    str: "text",
    Path: "a path",
    Size: "a size such as 64KB, 256MB or 1GB",
    Duration: "a duration such as 500ms, 10s, 5m, 4h or 14d",
}


class MisfitError(ValueError):
    """A value that does not fit.

    Attributes:
        expected: What the type asks for, in words.
        found: The value, bounded.
        item: The key inside a mapping, where that is what does not fit.
    """

    def __init__(self, expected: str, found: str, item: str | None = None) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found
        self.item = item


def convert(value: object, kind: Any) -> Any:
    """``value`` as ``kind``.

    Args:
        value: From YAML, an environment variable (see `plain`) or code.
        kind: ``bool``, ``int``, ``str``, `Path`, `Size`, `Duration`, a ``Literal`` or ``dict[str, str]``, each also
            ``| None``.

    Raises:
        MisfitError: It does not fit.
    """
    bare = _bare(kind)
    if value is None and NoneType in get_args(kind):
        return None
    if get_origin(bare) is dict:
        return _mapping(value)
    if get_origin(bare) is Literal:
        fitted = {choice.lower(): choice for choice in get_args(bare)}.get(str(value).lower())
    elif bare in {Size, Duration}:
        fitted = _quantity(value, bare)
    elif bare in {str, Path}:
        fitted = bare(value) if isinstance(value, (str, Path)) and str(value) else None
    elif bare is int:
        fitted = value if type(value) is int and 0 <= value < 1 << 63 else None
    else:
        fitted = value if type(value) is bare else None
    if fitted is None:
        raise MisfitError(expected(kind), quote(value))
    return fitted


def plain(text: str, kind: Any) -> object:
    """What an environment variable's ``text`` says: yes and no, and ``name=value`` pairs; else the text itself.

    Raises:
        MisfitError: ``kind`` is a mapping and ``text`` holds no pairs.
    """
    bare = _bare(kind)
    if bare is bool:
        word = text.strip().lower()
        return word in _TRUE if word in _TRUE | _FALSE else text
    if bare is int:
        return int(text) if text.strip().isdecimal() and len(text) < 19 else text  # noqa: PLR2004 - what fits 64 bits
    if get_origin(bare) is not dict:
        return text
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if not all(equals and name.strip() and value.strip() for name, equals, value in pairs):
        message = "pairs such as localhost:8000=vllm,10.0.0.7=tgi"
        raise MisfitError(message, quote(text))
    return {name.strip(): value.strip() for name, _, value in pairs}


def expected(kind: Any) -> str:
    """What a value of ``kind`` is, in a fault's words."""
    bare = _bare(kind)
    if get_origin(bare) is Literal:
        return f"one of {', '.join(get_args(bare))}"
    return "a mapping of texts" if get_origin(bare) is dict else _WORDS[bare]


def _quantity(value: object, bare: Any) -> Any:
    if isinstance(value, bare):
        return value
    if value is None or isinstance(value, (bool, dict, list)):
        return None
    try:
        return bare.parse(value)
    except ValueError:
        return None


def _mapping(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MisfitError(expected(dict[str, str]), quote(value))
    for name, item in value.items():
        if not isinstance(item, str) or not item:
            raise MisfitError(expected(str), quote(item), item=str(name))
    return dict(value)


def _bare(kind: Any) -> Any:
    """``kind`` without its ``None``."""
    if get_origin(kind) in {Union, UnionType}:
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    return kind
