"""``otel-llm import``: spans of an export, or of a Collector's file, into the store. Cli storey."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import click

from otel_llm.cli import options, output
from otel_llm.store.errors import StoreError
from otel_llm.store.importer import import_spans
from otel_llm.store.incoming import Incoming, Owners, from_line, from_otlp_json

_LONGEST_LINE: Final = 32 * 1024 * 1024
"""[byte] A request of OTLP/JSON is one line; a document over several lines may be so long as a whole."""
_MOST_FAULTS: Final = 10


@click.command(cls=options.Command)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@options.db_option
def command(*, file: Path, db: Path | None) -> None:
    """Read spans from FILE, or from stdin for -, into the store.

    FILE is what `otel-llm export` wrote as jsonl or otlp-json, or any OTLP/JSON, such as the Collector's file exporter
    writes. A span that the store has already is left as it is, so that importing twice does no harm. What is older than
    the store keeps is deleted again by the next process that records. Exit code 1 when something was faulty.
    """
    faults = _Faults(str(file))
    path = options.store_path(db)
    try:
        if str(file) == "-":
            done = import_spans(path, _spans(sys.stdin.buffer, faults))
        else:
            with file.open("rb") as opened:
                done = import_spans(path, _spans(opened, faults))
    except OSError as error:
        message = f"FILE: expected a file that can be read, found {output.clean(file)}: {error.strerror}"
        raise click.UsageError(message) from error
    except StoreError as error:
        raise options.Failure(str(error)) from error
    faults.end()
    faulty = faults.count + done.faulty
    told = f"{output.count(done.new)} new, {output.count(done.doubled)} there already, {output.count(faulty)} faulty."
    click.echo(f"Imported into {path}: {told}", err=True)
    if faulty:
        click.get_current_context().exit(options.ERROR)


class _Faults:
    """Tells the first faults with their lines, and counts all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def tell(self, number: int, fault: object) -> None:
        """Line ``number`` is faulty."""
        self.count += 1
        if self.count <= _MOST_FAULTS:
            click.echo(f"{self.name}:{number}: {output.clean(fault)}", err=True)

    def end(self) -> None:
        """Say how many were not told."""
        if self.count > _MOST_FAULTS:
            click.echo(f"... and {output.count(self.count - _MOST_FAULTS)} faulty ones more", err=True)


def _spans(file: IO[bytes], faults: _Faults) -> Iterator[Incoming]:
    owners = Owners()
    for number, text in _lines(file, faults):
        try:
            yield from _of_line(json.loads(text), owners)
        except (ValueError, RecursionError) as error:
            faults.tell(number, _reason(error))


def _lines(file: IO[bytes], faults: _Faults) -> Iterator[tuple[int, bytes]]:
    """Each line that holds something, with its number; a document over several lines counts as its first."""
    first = file.readline(_LONGEST_LINE)
    if first.strip() in (b"{", b"[") or (first.strip() and not _is_document(first)):
        rest = file.read(_LONGEST_LINE - len(first))
        if _is_document(first + rest):
            yield 1, first + rest
            return
        lines: Iterator[bytes] = iter((first + rest).splitlines(keepends=True))
    else:
        lines = iter((first,))
    number = 0
    for number, text in enumerate(lines, start=1):
        if text.strip():
            yield number, text
    while text := file.readline(_LONGEST_LINE):
        number += 1
        if len(text) == _LONGEST_LINE:
            faults.tell(number, f"expected at most {_LONGEST_LINE} bytes, found a longer line")
            while text and not text.endswith(b"\n"):
                text = file.readline(_LONGEST_LINE)
        elif text.strip():
            yield number, text


def _is_document(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _of_line(document: Any, owners: Owners) -> Iterator[Incoming]:
    for said in document if isinstance(document, list) else (document,):
        if isinstance(said, dict) and "resourceSpans" in said:
            yield from from_otlp_json(said, owners)
        elif isinstance(said, dict) and "span_id" in said and "start_time_unix_nano" in said:
            yield from_line(said, owners)
        else:
            message = "expected a span of an export or OTLP/JSON with resourceSpans, found something else"
            raise ValueError(message)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"expected JSON, found: {error.msg} at column {error.colno}"
    return str(error) or type(error).__name__
