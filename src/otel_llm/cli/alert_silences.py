"""``otel-llm alerts silence``: alerts that nobody is to be told of for a while. Cli storey; the store keeps them."""

import dataclasses
import getpass
import time
from pathlib import Path
from typing import Final

import click

from otel_llm.cli import options, output
from otel_llm.cli.table import Column, print_table
from otel_llm.quantity import Duration
from otel_llm.store import alerts
from otel_llm.store.alerts import AlertReader
from otel_llm.store.query import StoreError

_COLUMNS: Final = (
    Column(title="ID", right=True),
    Column(title="MATCHERS", shrink=20),
    Column(title="ENDS"),
    Column(title="AUTHOR", rank=1),
    Column(title="COMMENT", rank=2),
)


@click.group()
def silence() -> None:
    """Have nobody told of some alerts for a while; they are judged and shown all the same."""


@silence.command(cls=options.Command)
@click.argument("matchers", metavar="LABEL=VALUE...", nargs=-1, required=True)
@click.option("--for", "duration", type=options.Span(), required=True, help="How long: 30m, 2h, 1d.")
@click.option("--comment", default="", help="Why.")
@options.db_option
def add(*, matchers: tuple[str, ...], duration: Duration, comment: str, db: Path | None) -> None:
    """Silence alerts whose labels have all these values, and print the silence's number.

    otel-llm alerts silence add alertname=LLMRateLimited gen_ai_provider_name=openai --for 2h
    """
    wanted: dict[str, str] = {}
    for matcher in matchers:
        name, equals, value = matcher.partition("=")
        if not equals or not name.isidentifier():
            message = f"LABEL=VALUE: expected a label's name, = and its value, found {matcher!r}"
            raise click.UsageError(message)
        wanted[name] = value
    if duration <= 0:
        message = "--for: expected more than 0s"
        raise click.UsageError(message)
    path = options.store_path(db)
    try:
        number = alerts.silence(path, wanted, seconds=duration, author=_author(), comment=comment)
    except StoreError as error:
        raise options.Failure(str(error)) from error
    click.echo(number)


@silence.command("list", cls=options.Command)
@click.option("--expired", is_flag=True, help="Those that have ended, too.")
@options.db_option
@options.json_option
def list_(*, expired: bool, db: Path | None, as_json: bool) -> None:
    """List the silences in force, newest first."""
    path = options.store_path(db)
    if not path.exists():
        raise options.NoData(options.nothing_yet(f"No store at {path} yet."))
    try:
        with AlertReader(path) as store:
            found = store.silences()
    except StoreError as error:
        raise options.Failure(str(error)) from error
    found = [one for one in found if expired or one.ends > time.time()]
    if as_json:
        output.print_json(
            [
                {**dataclasses.asdict(one), "starts": output.rfc3339(one.starts), "ends": output.rfc3339(one.ends)}
                for one in found
            ]
        )
        return
    if not found:
        click.echo("No silence is in force.", err=True)
        return
    rows = [
        [
            str(one.id),
            output.clean(", ".join(f"{name}={value}" for name, value in one.matchers.items())),
            f"{output.date(round(one.ends * 1e9))} {output.clock(round(one.ends * 1e9))[:8]}",
            output.clean(one.author),
            output.clean(one.comment),
        ]
        for one in found
    ]
    print_table(output.console(), _COLUMNS, rows)


@silence.command(cls=options.Command)
@click.argument("number", metavar="ID", type=int)
@options.db_option
def expire(*, number: int, db: Path | None) -> None:
    """End a silence now."""
    try:
        alerts.expire(options.store_path(db), number)
    except StoreError as error:
        raise options.Failure(str(error)) from error


COMMANDS: Final = (silence,)


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
