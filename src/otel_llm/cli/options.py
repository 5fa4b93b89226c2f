"""The options that commands share, and the door to the store. Cli storey: here words become a `Filter`.

A command takes ``@db_option``, ``@json_option`` and ``@filter_options(limit=50)`` as it needs, says ``cls=Command``,
and reads inside ``with reader(db) as store:``. What goes wrong there ends as a text on stderr and the contract's exit
code.
"""

import functools
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from otel_llm import config
from otel_llm.quantity import Duration
from otel_llm.store.database import default_path
from otel_llm.store.query import Filter, Reader, StoreError

ERROR: Final = 1
USAGE: Final = 2
NO_DATA: Final = 3
INTERRUPTED: Final = 130

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = 2**63 - 1
"""[ns] The largest integer that the store can compare with, in the year 2262."""

_F = TypeVar("_F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """Ends the command with a text on stderr and ``exit_code``; no ``Error:`` before it, no usage after it."""

    exit_code = ERROR

    def show(self, file: Any = None) -> None:
        """Print the text."""
        click.echo(self.format_message(), file=file or sys.stderr)


class NoData(Failure):
    """There is nothing to show; the text says what to do next."""

    exit_code = NO_DATA


class Command(click.Command):
    """A command that ends quietly when its reader had enough (``| head``) and with 130 at Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The interpreter flushes stdout once more when it exits; that must not fail aloud either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        return result


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in late versions only
    """A point in time [ns since 1970]: ``15m`` (ago), ``now``, or ISO 8601, local unless it names its zone."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The moment [ns since 1970]."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        try:
            moment = _moment(text)
        except (ValueError, OverflowError):
            self.fail(
                f"expected a time such as 15m, 2h, 1d (ago), now, 2026-12-31 or 2026-12-31T12:30, found {text!r}",
                param,
                ctx,
            )
        return max(0, min(moment, _LAST_MOMENT))


class Span(click.ParamType):  # type: ignore[type-arg]  # as above
    """A length of time [s] such as ``500ms`` or ``2s``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Duration:
        """The duration [s]."""
        try:
            return Duration.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


db_option = click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="The store to read.  [default: the configured one]",
)
"""Adds ``db: Path | None``, for `reader`."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""Adds ``as_json: bool``."""


def filter_options(*, limit: int | None = None) -> Callable[[_F], _F]:
    """Adds ``selection: Filter`` from ``--since --until --model --service --provider``, and ``--limit`` if given."""
    added = [
        click.option(
            "--since", "--last", type=Moment(), help="From then on: 15m, 1h, 2d (ago) or 2026-12-31T12:30 (local time)."
        ),
        click.option("--until", type=Moment(), help="Before then; written like --since."),
        click.option("--model", metavar="NAME", help="Only calls of this model."),
        click.option("--service", metavar="NAME", help="Only calls of this service (service.name)."),
        click.option("--provider", metavar="NAME", help="Only calls to this provider."),
    ]
    if limit is not None:
        added.append(
            click.option(
                "--limit", type=click.IntRange(min=1), default=limit, show_default=True, help="At most so many."
            )
        )

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def collect(**given: Any) -> Any:
            names = ("since", "until", "model", "service", "provider", "limit")
            selection = Filter(**{name: given.pop(name, None) for name in names})
            if selection.since is not None and selection.until is not None and selection.since >= selection.until:
                message = "--since: expected a time before --until, found one at or after it"
                raise click.UsageError(message)
            return function(selection=selection, **given)

        wrapped: Any = collect
        for option in reversed(added):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate


def store_path(db: Path | None) -> Path:
    """``db``, else the configured store; what is wrong with the configuration is said on stderr."""
    if db is not None:
        return db
    loaded = config.load()
    for fault in loaded.faults:
        click.echo(fault, err=True)
    configured = loaded.settings.store.path
    return Path(configured).expanduser() if configured else default_path()


@contextmanager
def reader(db: Path | None) -> Iterator[Reader]:
    """The open store.

    Raises:
        NoData: There is no store yet.
        Failure: The store cannot be read; the text is the store's own.
    """
    path = store_path(db)
    if not path.exists():
        raise NoData(nothing_yet(f"No store at {path} yet."))
    try:
        with Reader(path) as opened:
            yield opened
    except StoreError as error:
        raise Failure(str(error)) from error
    except sqlite3.Error as error:
        message = f"{path}: expected a readable store, found: {error}"
        raise Failure(message) from error


def nothing_yet(what: str) -> str:
    """``what``, and what to do about it."""
    return f"{what}\nRecord calls:      opentelemetry-instrument python app.py\nStill nothing?     otel-llm doctor"


def _moment(text: str) -> int:
    if text == "now":
        return time.time_ns()
    try:
        return time.time_ns() - int(Duration.parse(text) * 1e9)
    except ValueError:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        # At the calendar's edges the local zone leaves it.
        with suppress(ValueError, OverflowError):
            moment = moment.astimezone()
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
