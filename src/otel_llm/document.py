"""Read a YAML file the user wrote: plain values, and the line on which each key stands. Pure but for reading the file.

Every mistake becomes a `Fault` that says where it is, what was expected and what was found; nothing raises, because a
file with a mistake must not stop the application that we ride along with. The file may be hostile: its size, depth and
expansion are bounded, only plain values are made, and the parser is the one in Python, whose recursion Python stops.
"""

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

MAX_BYTES: Final = 256_000
MAX_DEPTH: Final = 24
MAX_VALUES: Final = 20_000

_TAG: Final = "tag:yaml.org,2002:"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake of the user's, told so that it can be put right.

    Attributes:
        where: ``FILE:LINE``, or ``environment NAME``, or ``argument NAME``.
        key: Dotted path of the key, ``None`` where the place says it already.
        hint: What may have been meant, or what to do.
    """

    where: str
    key: str | None = None
    expected: str
    found: str
    hint: str | None = None

    @property
    def position(self) -> tuple[str, int]:
        """File and line, to sort by; what stands in no file is its own place, on line 0."""
        file, _, line = self.where.rpartition(":")
        return (file, int(line)) if line.isdecimal() else (self.where, 0)

    def __str__(self) -> str:
        place = f"{self.where}: {self.key}" if self.key else self.where
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: expected {self.expected}, found {self.found}{hint}"


class Document(msgspec.Struct, kw_only=True):
    """What a file says.

    Attributes:
        name: The file as faults name it.
        values: Mappings, lists, texts, numbers, booleans and ``None``; empty when the file cannot be read.
        lines: Line of each key, by its dotted path; items of a list are ``key[0]``. The first line is 1.
    """

    name: str
    values: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    lines: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    faults: list[Fault] = msgspec.field(default_factory=list[Fault])

    def where(self, key: str) -> str:
        """``FILE:LINE`` of ``key`` or of the nearest mapping around it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.name}:{self.lines.get(key, 1)}"

    def unknown(self, key: str, known: Iterable[str]) -> Fault:
        """The fault for a ``key`` that is none of the ``known`` ones beside it."""
        *_, word = key.rpartition(".")
        return Fault(
            where=self.where(key), key=key, expected="a known key", found=quote(word), hint=did_you_mean(word, known)
        )


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """``did you mean X?`` for the known word nearest to ``word``, ``None`` where none is near."""
    import difflib  # noqa: PLC0415 - only who mistyped a name pays for it

    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def quote(value: object) -> str:
    """``value`` as a fault shows it: one line, bounded, ``nothing`` for an empty one."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004 - a line of a terminal


def read(path: Path, name: str | None = None) -> Document:
    """What the file at ``path`` says; a file that cannot be read is a fault."""
    document = Document(name=name or str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            document.faults.append(Fault(where=document.name, expected="a file", found="a folder, pipe or device"))
            return document
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        found = f"none ({getattr(error, 'strerror', None) or error})"
        document.faults.append(Fault(where=document.name, expected="a readable file", found=found))
        return document
    if len(data) > MAX_BYTES:
        found = f"more than {MAX_BYTES:,} bytes"
        document.faults.append(Fault(where=document.name, expected="a small YAML file", found=found))
        return document
    parse(data, document)
    return document


def parse(data: bytes, document: Document) -> None:
    """Fill ``document`` with what ``data`` says."""
    import yaml  # noqa: PLC0415 - most processes have no file, and this costs 10 ms

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{data[error.start]:02x}"
        document.faults.append(Fault(where=f"{document.name}:{line}", expected="text in UTF-8", found=found))
        return
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"the character {error.character!r}" if isinstance(error.character, str) else f"U+{error.character:04X}"
        document.faults.append(Fault(where=f"{document.name}:{line}", expected="printable text", found=found))
    except yaml.MarkedYAMLError as error:
        document.faults.append(_syntax(error, document.name))
    except RecursionError:
        document.faults.append(_too_deep(f"{document.name}:1"))
    else:
        if root is None:
            return
        values = _Walk(document).value(root, "", 0)
        if isinstance(values, dict):
            document.values = values
        elif not document.faults:
            where = f"{document.name}:{root.start_mark.line + 1}"
            document.faults.append(Fault(where=where, expected="keys with values", found=quote(values)))


def _syntax(error: Any, name: str) -> Fault:
    """The fault for a file that is no YAML; tabs and a second document get words of their own."""
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}" if mark else name
    problem = str(error.problem or error.context)
    if "'\\t'" in problem:
        return Fault(where=where, expected="spaces for indentation", found="a tab")
    if "another document" in problem:
        return Fault(where=where, expected="one YAML document", found="another one")
    return Fault(where=where, expected="valid YAML", found=problem)


def _too_deep(where: str, key: str | None = None) -> Fault:
    return Fault(where=where, key=key, expected=f"at most {MAX_DEPTH} levels", found="more")


class _Walk:
    """One pass over the nodes of a document: makes plain values, remembers lines, counts what it made."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.made = 0

    def fault(self, node: Any, key: str, expected: str, found: str) -> None:
        where = f"{self.document.name}:{node.start_mark.line + 1}"
        self.document.faults.append(Fault(where=where, key=key or None, expected=expected, found=found))

    def value(self, node: Any, key: str, depth: int) -> Any:
        """The plain value of ``node``, ``None`` once a bound is passed."""
        self.made += 1
        if self.made > MAX_VALUES:  # aliases of aliases, each counted where it is used
            if self.made == MAX_VALUES + 1:
                self.fault(node, key, f"at most {MAX_VALUES:,} values", "more")
            return None
        if depth > MAX_DEPTH:  # an alias inside its own anchor, too
            self.document.faults.append(_too_deep(f"{self.document.name}:{node.start_mark.line + 1}", key))
            self.made = MAX_VALUES + 1
            return None
        if node.id == "mapping":
            return self.mapping(node, key, depth)
        if node.id == "sequence":
            return [self.item(item, f"{key}[{index}]", depth) for index, item in enumerate(node.value)]
        return self.scalar(node, key)

    def item(self, node: Any, key: str, depth: int) -> Any:
        self.document.lines[key] = node.start_mark.line + 1
        return self.value(node, key, depth + 1)

    def mapping(self, node: Any, key: str, depth: int) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name, child in node.value:
            if name.id != "scalar":
                self.fault(name, key, "a plain word as key", f"a {name.id}")
                continue
            path = f"{key}.{name.value}" if key else str(name.value)
            if name.value in said:
                first = self.document.lines.get(path, 0)
                self.fault(name, path, "each key once", f"it again, first on line {first}")
                continue
            self.document.lines[path] = name.start_mark.line + 1
            said[name.value] = self.value(child, path, depth + 1)
        return said

    def scalar(self, node: Any, key: str) -> Any:
        """A boolean, a number, ``None``, or the text as it stands: ``1:30`` and ``2026-01-01`` stay text."""
        tag = node.tag.removeprefix(_TAG)
        if tag == "null":
            return None
        if tag == "bool":
            return node.value.lower() in {"true", "yes", "on"}
        if tag in {"int", "float"}:
            return _number(node.value)
        if tag in {"str", "timestamp", "merge", "value"}:
            return node.value
        self.fault(node, key, "a plain value", f"the tag {node.tag}")
        return None


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
