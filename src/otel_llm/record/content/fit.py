"""Make content fit to be kept: without keys, within bounds, cut where it is too long. Pure.

Bounds hold for work as well as for size: what is not kept is not looked at.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from otel_llm.record.content.shape import cut
from otel_llm.redaction import MASK, encodable, mask, names_secret

_NODES: Final = 5_000
"""Most values of one message or definition."""

_DEPTH: Final = 24
_NAMES: Final = frozenset({"type", "role", "modality", "mime_type", "finish_reason", "id", "name"})
_LONGEST_NAME: Final = 128
_LEAST: Final = -(2**63)
_MOST: Final = 2**64
"""What JSON numbers of content may be: no `range`, which looks for an `IntEnum` one by one, for ever."""


def fit(items: Sequence[Mapping[str, Any]], limit: int, *, newest: bool = False) -> tuple[list[Any], bool]:
    """Those of ``items`` that fit into ``limit`` bytes of JSON, and whether anything was left out or cut.

    Args:
        items: Messages, parts or definitions; they stay as they are.
        limit: [byte]
        newest: Where not all fit, keep the last ones, not the first.
    """
    kept: list[Any] = []
    left = limit - 2
    truncated = False
    for item in reversed(items) if newest else items:
        made, size, whole = _fit_one(item, left)
        truncated |= not whole
        if made is None:
            break
        kept.append(made)
        left -= size + 1
    return (kept[::-1] if newest else kept), truncated


def _fit_one(item: Mapping[str, Any], limit: int) -> tuple[Any, int, bool]:
    """``item`` cleaned, its size [byte] and whether it is whole; ``None`` where even its beginning does not fit."""
    for longest in (limit, limit // 3, limit // 12, limit // 48):
        if longest <= 0:
            break
        cleaner = _Cleaner(longest)
        made = cleaner.clean(item)
        size = len(msgspec.json.encode(made))
        if size <= limit:
            return made, size, cleaner.whole
    return None, 0, False


class _Cleaner:
    def __init__(self, longest: int) -> None:
        self.whole = True
        self._longest = longest
        self._nodes = _NODES

    def clean(self, value: Any, key: str = "", depth: int = 0) -> Any:
        """``value`` without keys, as JSON has it."""
        self._nodes -= 1
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, (dict, list)):
            if depth >= _DEPTH or self._nodes <= 0:
                self.whole = False
                return None
            if isinstance(value, list):
                return [self.clean(item, "", depth + 1) for item in self._some(value)]
            pairs = self._some(list(value.items()))
            return {mask(str(name)[:1024]): self.clean(item, str(name), depth + 1) for name, item in pairs}
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return value if not isinstance(value, int) or _LEAST <= value < _MOST else None

    def _some(self, items: list[Any]) -> list[Any]:
        if len(items) > self._nodes:
            self.whole = False
            return items[: max(0, self._nodes)]
        return items

    def _text(self, text: str, key: str) -> str:
        if key in _NAMES and len(text) <= _LONGEST_NAME:
            return encodable(text)  # a tool call and its answer are paired by an id that may look like a key
        if names_secret(key):
            return MASK
        if text.startswith("data:") and ";base64," in text[:128]:
            return f"[{text[5:].partition(';')[0]}, {len(text.partition(',')[2]) * 3 // 4} bytes]"
        if len(text) > self._longest:
            self.whole = False
            text = cut(text, self._longest) + "…"
        return mask(text)
