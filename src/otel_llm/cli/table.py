"""Tables that fit: a terminal that is too narrow loses the columns that matter least, a pipe gets them all. Cli storey.

No borders, two spaces between columns: `awk`, `grep` and the eye all read that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from otel_llm.cli import output

_GAP: Final = "  "
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column is and what it is worth.

    Attributes:
        right: Numbers stand right.
        rank: 0 is never left out; of the others the highest goes first when the terminal is too narrow.
        usual: On a terminal the column is left out when every cell says this and its rank is not 0.
        shrink: The width [characters] that the column may be cut down to; 0 is never cut.
    """

    title: str
    right: bool = False
    rank: int = 0
    usual: str = output.ABSENT
    shrink: int = 0


def print_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print ``rows`` under a head of titles; afterwards name what had no room."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    wide = output.unwrapped(console)
    shown = [
        place
        for place, column in enumerate(columns)
        if wide or column.rank == 0 or any(row[place].plain != column.usual for row in cells)
    ]
    natural = [
        max(cell_len(column.title), *(cell_len(row[p].plain) for row in cells)) for p, column in enumerate(columns)
    ]
    shown, hidden = fit(columns, natural, shown, console.width)
    widths = _shrunk(columns, natural, shown, console.width)
    _print_row(console, columns, widths, [Text(column.title, style="bold") for column in columns], shown)
    for row in cells:
        _print_row(console, columns, widths, row, shown)
    if hidden:
        names = ", ".join(columns[place].title for place in sorted(hidden))
        console.print(Text(f"no room for {names}; a wider terminal, a pipe and --json have all", style="dim"))


def fit(
    columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], room: int
) -> tuple[list[int], list[int]]:
    """The places of those columns that fit into ``room`` [characters], and of those left out for it."""
    least = [min(width, column.shrink or width) for column, width in zip(columns, widths, strict=True)]
    kept, hidden = list(shown), list[int]()
    for place in sorted(shown, key=lambda place: (columns[place].rank, place), reverse=True):
        if columns[place].rank == 0 or _line(least, kept) <= room:
            break
        kept.remove(place)
        hidden.append(place)
    return kept, hidden


def pad(cell: Text, width: int, *, right: bool) -> Text:
    """``cell`` at exactly ``width`` [characters], cut with an ellipsis where it is longer."""
    size = cell_len(cell.plain)
    if size > width:
        return Text(set_cell_size(cell.plain, width - 1) + _ELLIPSIS, style=cell.style)
    filler = " " * (width - size)
    return Text.assemble(filler, cell) if right else Text.assemble(cell, filler)


def _print_row(
    console: Console, columns: Sequence[Column], widths: Sequence[int], row: Sequence[Text], shown: Sequence[int]
) -> None:
    line = Text(_GAP).join(pad(row[place], widths[place], right=columns[place].right) for place in shown)
    line.rstrip()
    console.print(line, soft_wrap=True)


def _shrunk(columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], room: int) -> list[int]:
    """``widths``, with those columns that may be cut cut as far as ``room`` demands, the first ones last."""
    result = list(widths)
    for place in reversed(shown):
        excess = _line(result, shown) - room
        if excess > 0 and columns[place].shrink:
            result[place] = max(min(result[place], columns[place].shrink), result[place] - excess)
    return result


def _line(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[place] for place in shown) + len(_GAP) * (len(shown) - 1)
