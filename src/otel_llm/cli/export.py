"""``otel-llm export``: what the store holds, as a file for other tools. Cli storey; reads the store page by page."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import click

from otel_llm.cli import options
from otel_llm.store.flat import COLUMNS, FACTS, HEAD, flat
from otel_llm.store.incoming import line, to_otlp_json
from otel_llm.store.query import Filter
from otel_llm.store.sender import SIGNALS
from otel_llm.store.stored import StoredSpan
from otel_llm.store.values import presentable

FORMATS: Final = ("jsonl", "csv", "parquet", "otlp-json", "html")
_SPANS_ONLY: Final = ("parquet", "html")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_GROUP: Final = 2000
"""Rows of a Parquet file's group."""


@click.command(cls=options.Command)
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option("--signal", type=click.Choice(SIGNALS), default="spans", show_default=True, help="What to export.")
@click.option("--calls", "calls_only", is_flag=True, help="Of spans only inference calls.")
@options.filter_options()
@click.option("--limit", type=click.IntRange(min=1), help="The newest so many.  [default: all]")
@click.option(
    "-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write this file, not stdout."
)
@options.db_option
def command(
    *,
    form: str,
    signal: str,
    calls_only: bool,
    selection: Filter,
    target: Path | None,
    db: Path | None,
) -> None:
    """Write what the store holds for other tools, oldest first.

    jsonl and otlp-json hold all that was recorded, and `otel-llm import` reads them again; csv, parquet and html are
    tables with a column for each fact of a call. --model, --provider and --calls choose among spans; every span is
    exported without them. A file appears whole or not at all, for its owner alone to read.
    """
    if signal != "spans":
        if form in _SPANS_ONLY:
            message = f"--format {form}: expected --signal spans, found {signal}"
            raise click.UsageError(message)
        if calls_only or selection.model or selection.provider:
            message = f"--model, --provider, --calls: expected --signal spans, found {signal}"
            raise click.UsageError(message)
    elif form == "otlp-json" and calls_only:
        message = "--calls: expected another format than otlp-json, which holds whole traces"
        raise click.UsageError(message)
    if form == "parquet" and target is None and sys.stdout.isatty():
        message = "--format parquet: expected -o FILE or a pipe, found a terminal"
        raise click.UsageError(message)
    with options.reader(db) as store, _opened(target) as file:
        if signal == "spans" and form != "otlp-json":
            spans = store.stream(selection, every=not (calls_only or selection.model or selection.provider))
            _first_or_none(spans, _WRITERS[form], file)
        elif form == "otlp-json":
            _first_or_none(store.requests(signal, selection), _otlp_writer(signal), file)
        else:
            _first_or_none(store.rows(signal, selection), _ROW_WRITERS[form], file)


def _first_or_none(items: Iterator[Any], write: Callable[[Iterable[Any], IO[bytes]], None], file: IO[bytes]) -> None:
    first = next(items, None)
    if first is None:
        raise options.NoData(options.nothing_yet("Nothing matches."))
    write(chain([first], items), file)


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    """stdout, or a file that takes its name once it is whole."""
    if target is None:
        yield sys.stdout.buffer
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"-o {target}: expected a file that can be written, found: {error.strerror}"
        raise options.Failure(message) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        partial.replace(target)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _write_jsonl(spans: Iterable[StoredSpan], file: IO[bytes]) -> None:
    for span in spans:
        file.write(_dumped(line(span)))


def _write_row_lines(rows: Iterable[Mapping[str, Any]], file: IO[bytes]) -> None:
    for row in rows:
        file.write(_dumped({name: presentable(value) for name, value in row.items() if value is not None}))


def _otlp_writer(signal: str) -> Callable[[Iterable[bytes], IO[bytes]], None]:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    kinds: dict[str, Any] = {
        "spans": ExportTraceServiceRequest,
        "logs": ExportLogsServiceRequest,
        "metrics": ExportMetricsServiceRequest,
    }

    def write(requests: Iterable[bytes], file: IO[bytes]) -> None:
        for request in requests:
            file.write(_dumped(to_otlp_json(kinds[signal].FromString(request))))

    return write


def _write_csv(spans: Iterable[StoredSpan], file: IO[bytes]) -> None:
    _write_table(map(flat, spans), COLUMNS, file)


def _write_row_csv(rows: Iterable[Mapping[str, Any]], file: IO[bytes]) -> None:
    items = iter(rows)
    head = next(items)
    _write_table(chain([head], items), tuple(head), file)


def _write_table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str], file: IO[bytes]) -> None:
    names = tuple(columns)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(names)
    for row in rows:
        writer.writerow([cell(row[name]) for name in names])
        file.write(buffer.getvalue().encode())
        buffer.seek(0)
        buffer.truncate()
    file.write(buffer.getvalue().encode())


def cell(value: Any) -> Any:
    """``value`` as a cell that no spreadsheet takes for a formula (OWASP, CSV injection): such texts get a quote."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = presentable(value) if isinstance(value, str) else json.dumps(presentable(value), ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode().replace("\0", " ")
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_parquet(spans: Iterable[StoredSpan], file: IO[bytes]) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra  # pyright: ignore[reportMissingImports]
        from pyarrow import parquet  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        message = "--format parquet: expected the package pyarrow, found none (pip install 'otel-llm[parquet]')"
        raise options.Failure(message) from error
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), tuple: pa.list_(pa.string())}
    fields = [(name, kinds[kind]) for name, kind in (HEAD | FACTS).items() if name != "start_time_unix_nano"]
    fields.insert(5, ("start_time", pa.timestamp("ns", tz="UTC")))
    schema = pa.schema([*fields, ("attributes", pa.string())])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for span in spans:
            row = flat(span)
            row["start_time"] = row.pop("start_time_unix_nano")
            row["attributes"] = json.dumps(presentable(row["attributes"]))
            group.append({name: presentable(value) if isinstance(value, str) else value for name, value in row.items()})
            if len(group) == _GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group.clear()
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _write_html(spans: Iterable[StoredSpan], file: IO[bytes]) -> None:
    from otel_llm.cli import page  # noqa: PLC0415 - for this format only

    for part in page.parts(spans):
        file.write(part.encode("utf-8", "replace"))


_WRITERS: Final[dict[str, Callable[[Iterable[Any], IO[bytes]], None]]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "html": _write_html,
}
_ROW_WRITERS: Final[dict[str, Callable[[Iterable[Any], IO[bytes]], None]]] = {
    "jsonl": _write_row_lines,
    "csv": _write_row_csv,
}
