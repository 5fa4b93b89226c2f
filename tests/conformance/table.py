"""Write ``docs/conformance.md`` from a run: ``python tests/conformance/table.py``."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from conformance import shapes  # noqa: E402 - a script finds its neighbours first
from conformance.judge import FIRST_CHUNK  # noqa: E402
from conformance.matrix import Matrix, run_aside  # noqa: E402

PAGE = TESTS.parent / "docs/conformance.md"

_HEAD = """\
# Conformance

Each cell is a small program in a client's own words against a server that knows the truth: how many tokens, when the
first one, how it ended. A cell says what is missing or wrong in the finished span; `ok` is nothing. Beside ours stands
the official OpenTelemetry instrumentation of that client, where there is one. Written by
`python tests/conformance/table.py`; a test runs it all again and fails when this page says otherwise.

How to read it:

- *ok*: one span, with attempts, operation, model, outcome, tokens (cached and reasoning ones where told), wait for the
  first token, finish reason, status and error type; as far as the shape has them.
- *told as ...*: the outcome. Where a span has no word for it, what its status means to whoever counts errors.
- *first chunk, not token*: the first message of most streams is empty; that is not when the model began to speak. The
  conventions have no name for the first token, so no instrumentation but ours can say it.
- *no tokens*, where the server told none: not even an estimate that says so.
- *-*: no official instrumentation takes this version of the client. Shapes that a client has not are listed at the end.
"""


def render(matrix: Matrix) -> str:
    """The page."""
    parts = [_HEAD, _totals(matrix)]
    parts += [_section(client, matrix) for client in shapes.CLIENTS]
    parts += [_lacks(), _versions(matrix)]
    return "\n".join(parts)


def _totals(matrix: Matrix) -> str:
    """How many cells are ok; and how many would be, were the first chunk as good as the first token."""
    lines = [
        "| instrumentation | cells | ok | ok, taking the first chunk for the first token |",
        "| --- | --- | --- | --- |",
    ]
    for one in shapes.INSTRUMENTATIONS:
        words = [verdict.word for verdict in matrix.verdicts[one].values()]
        lenient = words.count("ok") + words.count(FIRST_CHUNK)
        lines.append(f"| {one} | {len(words)} | {words.count('ok')} | {lenient} |")
    return "\n".join([*lines, ""])


def _section(client: shapes.Client, matrix: Matrix) -> str:
    """One table: a row for each shape and mode; both modes in one row where they say the same."""
    official = client.official or "none that takes this version"
    lines = [f"## {client.name}", "", f"Official: {official}.", "", "| shape | mode | otel-llm | official |"]
    lines.append("| --- | --- | --- | --- |")
    cells = shapes.cells(client)
    for shape in shapes.SHAPES:
        said = {cell.mode: _said(matrix, cell) for cell in cells if cell.shape is shape}
        for words in dict.fromkeys(said.values()):
            modes = ", ".join(mode for mode, one in said.items() if one == words)
            lines.append(f"| {shape.title} | {modes} | {words[0]} | {words[1]} |")
    return "\n".join([*lines, ""])


def _said(matrix: Matrix, cell: shapes.Cell) -> tuple[str, ...]:
    return tuple(_word(matrix, one, cell) for one in shapes.INSTRUMENTATIONS)


def _word(matrix: Matrix, instrumentation: str, cell: shapes.Cell) -> str:
    verdict = matrix.verdicts[instrumentation].get(cell.key)
    return verdict.word or "-" if verdict is not None else "-"


def _lacks() -> str:
    """What each client has not, one line for each reason."""
    titles = {shape.name: shape.title for shape in shapes.SHAPES}
    lines = ["## What a client has not", "", "| client | shapes | why |", "| --- | --- | --- |"]
    for client in shapes.CLIENTS:
        for reason in dict.fromkeys(client.lacks.values()):
            names = [name for name, why in client.lacks.items() if why == reason]
            listed = ", ".join(_titled(name, titles) for name in names)
            lines.append(f"| {client.name} | {listed} | {reason} |")
    return "\n".join([*lines, ""])


def _titled(name: str, titles: dict[str, str]) -> str:
    mode, separator, bare = name.rpartition(": ")
    return f"{titles[bare]} ({mode})" if separator else titles[name]


def _versions(matrix: Matrix) -> str:
    lines = ["## Versions", "", "| environment | distributions |", "| --- | --- |"]
    for name, held in matrix.versions.items():
        lines.append(f"| {name} | {', '.join(f'{one} {version}' for one, version in held.items())} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(render(run_aside()))
