"""Room alert: the texts of annotations. No I/O, no clock, and no language: a name, and one of three ways to print it.

``{{ value }}``, ``{{ value | pct }}``, ``{{ value | dur }}``, ``{{ value | round }}``, ``{{ labels.NAME }}``.
"""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Final

_FIELD: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_CONTENT: Final = re.compile(r"\s*(?:(value|threshold)|labels\.([A-Za-z_][A-Za-z0-9_]*))\s*(?:\|\s*(\w+)\s*)?")
_MINUTE: Final = 60
_HOUR: Final = 3600


def pct(value: float) -> str:
    """A share as percent: 0.3966 is 39.66%."""
    return f"{value * 100:.4g}%"


def dur(value: float) -> str:
    """Seconds as people say them: 250ms, 2.5s, 10m 5s, 2h 3m."""
    if not isfinite(value):
        return str(value)
    if abs(value) < 1:
        return f"{value * 1000:.3g}ms"
    if abs(value) < _MINUTE:
        return f"{value:.4g}s"
    if abs(value) < _HOUR:
        return f"{int(value // _MINUTE)}m {int(value % _MINUTE)}s"
    return f"{int(value // _HOUR)}h {int(value % _HOUR // _MINUTE)}m"


def plain(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


FILTERS: Final[Mapping[str, Callable[[float], str]]] = {"pct": pct, "dur": dur, "round": lambda value: f"{value:.0f}"}


def fault(text: str) -> tuple[str, str] | None:
    """What is wrong with a template: what was expected and what was found; ``None`` for nothing."""
    for match in _FIELD.finditer(text):
        content = _CONTENT.fullmatch(match[1])
        if content is None:
            return "{{ value }}, {{ threshold }} or {{ labels.NAME }}", match[0]
        if content[3] is not None and (content[3] not in FILTERS or content[2]):
            return f"a number and one of the filters {', '.join(sorted(FILTERS))}", match[0]
    return None


def labels(text: str) -> set[str]:
    """The labels that a template names."""
    return {content[2] for match in _FIELD.finditer(text) if (content := _CONTENT.fullmatch(match[1])) and content[2]}


def replace(text: str, fill: Callable[[str | None, str | None, str | None], str]) -> str:
    """``text`` with its fields as ``fill`` says them: of a number's name, or a label's, and a filter's."""

    def one(match: re.Match[str]) -> str:
        content = _CONTENT.fullmatch(match[1])
        return match[0] if content is None else fill(*content.groups())

    return _FIELD.sub(one, text)


def render(text: str, labels: Mapping[str, str], numbers: Mapping[str, float | None]) -> str:
    """``text`` with its fields filled; what is not known is told as a dash.

    Args:
        text: One that `fault` has no word against.
        labels: The alert's.
        numbers: ``value`` and ``threshold``.
    """

    def fill(number: str | None, label: str | None, way: str | None) -> str:
        if label:
            return labels.get(label, "-")
        value = numbers.get(number or "")
        return "-" if value is None else FILTERS.get(way or "", plain)(value)

    return replace(text, fill)
