"""Durations and sizes as people write them: ``500ms``, ``10s``, ``5m``, ``4h``, ``14d``; ``64KB``, ``256MB``."""

import re
from typing import Final, Self

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES: Final = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?i?B)", re.IGNORECASE)


class Duration(float):
    """A duration [s] that remembers how it was written."""

    text: str

    def __new__(cls, seconds: float, text: str | None = None) -> Self:
        """``seconds`` [s], written as ``text``."""
        self = super().__new__(cls, seconds)
        self.text = text or f"{seconds:g}s"
        return self

    @classmethod
    def parse(cls, text: object) -> Self:
        """The duration that ``text`` says.

        Raises:
            ValueError: ``text`` is no duration; the message says what was expected and found.
        """
        written = str(text).strip()
        if written == "0":
            return cls(0.0, "0s")
        parts = _DURATION.findall(written)
        if not parts or "".join(_DURATION.sub("", written).split()):
            message = f"expected a duration such as 500ms, 10s, 5m, 4h or 14d, found {text!r}"
            raise ValueError(message)
        return cls(sum(float(number) * _SECONDS[unit] for number, unit in parts), written)


class Size(int):
    """A size [byte] that remembers how it was written."""

    text: str

    def __new__(cls, size: int, text: str | None = None) -> Self:
        """``size`` bytes, written as ``text``."""
        self = super().__new__(cls, size)
        self.text = text or f"{size}B"
        return self

    @classmethod
    def parse(cls, text: object) -> Self:
        """The size that ``text`` says; a bare whole number is bytes.

        Raises:
            ValueError: ``text`` is no size; the message says what was expected and found.
        """
        written = str(text).strip()
        if written.isdecimal():
            return cls(int(written), f"{written}B")
        match = _SIZE.fullmatch(written)
        if match is None:
            message = f"expected a size such as 64KB, 256MB or 1GB, found {text!r}"
            raise ValueError(message)
        return cls(int(float(match[1]) * _BYTES[match[2].upper()]), written)
