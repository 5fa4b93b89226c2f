"""How values look on a terminal and as JSON. Cli storey; knows no store and no option.

Durations come in seconds and are printed in the unit that people say them in. ``None`` is printed as `ABSENT`.
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any, Final

import click
from rich.console import Console

ABSENT: Final = "–"  # noqa: RUF001 - a dash that no one reads as minus

_UNSAFE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # a CSI sequence: colours, cursor moves
    r"|\x1b\].*?(?:\x07|\x1b\\)"  # an OSC sequence: titles, links
    r"|[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]",  # C0, C1, line separators, bidi overrides
    re.DOTALL,
)
_UNWRAPPED: Final = 100_000
"""Console width that no line reaches."""


def console(*, stderr: bool = False) -> Console:
    """A console that wraps on a terminal only, and obeys ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM=dumb``."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        # A locale without the dash prints a question mark; it must not end the command.
        stream.reconfigure(errors="replace")
    width = None if stream.isatty() else _UNWRAPPED
    plain = bool(os.environ.get("NO_COLOR"))  # rich would leave bold and dim
    return Console(
        file=stream, width=width, highlight=False, markup=False, emoji=False, color_system=None if plain else "auto"
    )


def unwrapped(console: Console) -> bool:
    """Whether ``console`` writes to a file or pipe, where nothing needs to fit."""
    return console.width >= _UNWRAPPED


def print_json(document: Any, *, lines: bool = False) -> None:
    """``document`` on stdout, indented; with ``lines`` on one line, flushed. ASCII, so safe on every terminal."""
    indent, separators = (None, (",", ":")) if lines else (2, None)
    try:
        text = json.dumps(document, indent=indent, separators=separators, allow_nan=False)
    except ValueError:
        # JSON knows no NaN or infinity; like OTLP we write them as strings.
        sound = json.loads(json.dumps(document), parse_constant=str)
        text = json.dumps(sound, indent=indent, separators=separators)
    click.echo(text)


def clean(value: object) -> str:
    """``value`` as text that cannot move the cursor, colour the terminal or break the line."""
    return _UNSAFE.sub(" ", str(value)).strip()


def clean_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(_UNSAFE.sub(" ", line).rstrip() for line in text.split("\n"))


def rfc3339(seconds: float | None) -> str | None:
    """``2026-12-31T12:31:07.412Z``: a moment (wall clock) [s] for machines."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float | None) -> str:
    """``0.52ms``, ``14.1ms``, ``311ms``, ``1.64s``, ``12.3s``, ``2m05s``, ``1h02m``."""
    if seconds is None:
        return ABSENT
    milliseconds = seconds * 1000
    steps: Iterable[tuple[float, float, str]] = (
        (0.995, milliseconds, "{:.2f}ms"),
        (99.95, milliseconds, "{:.1f}ms"),
        (999.5, milliseconds, "{:.0f}ms"),
        (9_995, seconds, "{:.2f}s"),
        (99_500, seconds, "{:.1f}s"),
    )
    for limit, value, form in steps:
        if milliseconds < limit:
            return form.format(value)
    whole = round(seconds)
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def step(seconds: int) -> str:
    """``5s``, ``2m``, ``1h``, ``7d``: a whole length of time in the largest unit that divides it."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def tick(seconds: float, step: float, total: float) -> str:
    """``seconds`` on an axis of ``total`` [s], with the decimals that a ``step`` [s] needs: ``250ms``, ``1.5s``."""
    if seconds == 0:
        return "0"
    scale, unit = (1, "s") if total >= 1 else (1000, "ms")
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    return f"{seconds * scale:.{decimals}f}{unit}"


def short(number: float | None) -> str:
    """``902``, ``96k``, ``1.1M``: a count for reading, not for adding up."""
    if number is None:
        return ABSENT
    for limit, divisor, unit in ((999.5, 1, ""), (999_500, 1e3, "k"), (999_500_000, 1e6, "M")):
        if number < limit:
            return _two_digits(number / divisor) + unit
    return _two_digits(number / 1e9) + "G"


def count(number: int | None) -> str:
    """``1,284``: every digit."""
    return ABSENT if number is None else f"{number:,}"


def percent(ratio: float | None) -> str:
    """``0.7 %`` of a ratio of 0.007; 0 and 100 have no decimals, and what is not nothing never prints as 0."""
    if ratio is None:
        return ABSENT
    if ratio in (0, 1):
        return f"{ratio * 100:.0f} %"
    if 0 < ratio < 0.0005:  # noqa: PLR2004 - what would round to 0.0 %
        return "<0.1 %"
    return f"{ratio * 100:.1f} %"


def clock(nanoseconds: int) -> str:
    """``12:31:07.412``, local time."""
    return _local(nanoseconds).strftime("%H:%M:%S.") + f"{nanoseconds // 1_000_000 % 1000:03}"


def date(nanoseconds: int) -> str:
    """``2026-12-31``, local time."""
    return _local(nanoseconds).strftime("%Y-%m-%d")


def today() -> str:
    """``2026-12-31``, local time."""
    return datetime.now().astimezone().strftime("%Y-%m-%d")


def _local(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000).astimezone()


def _two_digits(value: float) -> str:
    """Two significant digits below ten, whole above; whole numbers stay whole."""
    return f"{value:.1f}" if value < 9.95 and value != int(value) else f"{value:.0f}"  # noqa: PLR2004 - rounds to 10
