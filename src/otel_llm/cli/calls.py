"""``otel-llm calls``: list inference calls, or show one with its timeline. Cli storey; reads the store only."""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from otel_llm import semconv
from otel_llm.calls import Call
from otel_llm.cli import detail, options, output
from otel_llm.cli.cells import Attempt, Wanted
from otel_llm.cli.table import Column, print_table
from otel_llm.store.query import Filter, NotFoundError, Reader, StoredSpan, StoreError

_COLUMNS: Final = (
    Column(title="TIME"),
    Column(title="MODEL", shrink=14),
    Column(title="OPERATION", rank=8, usual=semconv.OPERATION_CHAT),
    Column(title="PROVIDER", rank=7),
    Column(title="STATUS", shrink=9),
    Column(title="IN", right=True),
    Column(title="CACHED", right=True, rank=4),
    Column(title="OUT", right=True),
    Column(title="REASON", right=True, rank=6),
    Column(title="TTFT", right=True, rank=1),
    Column(title="TPOT", right=True, rank=2),
    Column(title="E2E", right=True),
    Column(title="RETRY", right=True, rank=3),
    Column(title="FINISH", rank=5, shrink=10),
    Column(title="SPAN"),
)


class _ListUnlessNamed(click.Group):
    """``calls --json`` means ``calls list --json``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def wanted_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds ``wanted: Wanted`` from ``--errors`` and ``--slow``."""

    @click.option("--errors", is_flag=True, help="Only calls that failed.")
    @click.option("--slow", type=options.Span(), help="Only calls that took at least so long: 500ms, 2s.")
    @functools.wraps(function)
    def collect(*, errors: bool, slow: float | None, **given: Any) -> None:
        function(wanted=Wanted(errors=errors, slow=slow), **given)

    return collect


@click.group(cls=_ListUnlessNamed)
def command() -> None:
    """List inference calls (the default), or show one with its timeline.

    One row per HTTP attempt: a call that was retried has several.
    """


@command.command("list", cls=options.Command)
@options.filter_options(limit=50)
@wanted_options
@options.db_option
@options.json_option
def list_(*, selection: Filter, wanted: Wanted, db: Path | None, as_json: bool) -> None:
    """List calls, newest first.

    IN, CACHED, OUT and REASON count tokens; ~ marks an estimate from a stream's chunks. TTFT is the time to the first
    token, TPOT the time per output token after it, E2E the whole, RETRY how many attempts went before.
    """
    try:
        with options.reader(db) as store:
            attempts = find(store, selection, wanted)
    except options.NoData:
        if as_json:
            output.print_json([])
        raise
    if as_json:
        output.print_json([attempt.span.as_json() for attempt in attempts])
    else:
        _print(attempts)


@command.command(cls=options.Command)
@click.argument("identifier", metavar="ID")
@options.db_option
@options.json_option
def show(*, identifier: str, db: Path | None, as_json: bool) -> None:
    """Show one call: its facts, its attempts and where its time went.

    ID is a span id, or a trace id that holds one call; the beginning is enough where only one call has it.
    """
    with options.reader(db) as store:
        span = _named(store, identifier)
        if as_json:
            output.print_json(span.as_json(detail=True))
        else:
            attempt = Attempt.of(span)
            detail.print_call(output.console(), attempt, detail.attempts_of(store, attempt))


def _named(store: Reader, identifier: str) -> StoredSpan:
    """The one inference span that ``identifier`` names."""
    try:
        span = store.show(identifier)
    except NotFoundError as error:
        raise options.NoData(str(error)) from error
    except StoreError as error:
        if error.where == identifier:
            raise click.UsageError(str(error)) from error
        raise
    if Call.from_attributes(span.attributes) is None:
        message = f"{identifier}: expected an inference call, found the span {output.clean(span.name)!r}"
        raise options.NoData(message)
    return span


def find(store: Reader, selection: Filter, wanted: Wanted) -> list[Attempt]:
    """The newest attempts that match, newest first, as many as ``selection.limit`` allows.

    Raises:
        NoData: There is none.
    """
    limit = None if wanted else selection.limit
    every = map(Attempt.of, store.calls(msgspec.structs.replace(selection, limit=limit)))
    found = list(itertools.islice(filter(wanted.fits, every), selection.limit))
    if not found:
        raise options.NoData(options.nothing_yet("No call matches."))
    return found


def _print(attempts: list[Attempt]) -> None:
    console = output.console()
    dated = output.unwrapped(console) or any(
        output.date(attempt.span.start_time_unix_nano) != output.today() for attempt in attempts
    )
    print_table(console, _COLUMNS, [_row(attempt, dated=dated) for attempt in attempts])


def _row(attempt: Attempt, *, dated: bool) -> list[str | Text]:
    call, started = attempt.call, attempt.span.start_time_unix_nano
    return [
        f"{output.date(started)} {output.clock(started)}" if dated else output.clock(started),
        attempt.model,
        output.clean(call.operation),
        attempt.provider,
        attempt.status,
        attempt.tokens(call.input_tokens),
        attempt.tokens(call.cache_read_input_tokens),
        attempt.tokens(call.output_tokens),
        attempt.tokens(call.reasoning_output_tokens),
        output.duration(call.time_to_first_token),
        output.duration(call.time_per_output_token),
        output.duration(attempt.span.duration),
        attempt.retry,
        attempt.finish,
        attempt.span.span_id[:8],
    ]
