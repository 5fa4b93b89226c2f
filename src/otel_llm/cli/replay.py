"""``otel-llm replay``: send what the store holds to an OTLP backend. Cli storey; the sending is `store.replay`'s."""

import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from otel_llm.cli import options, output
from otel_llm.store.delivered import FOREVER
from otel_llm.store.destinations import headers as headers_of
from otel_llm.store.errors import InUseError, StoreError
from otel_llm.store.replay import GaveUpError, Replay, Wish
from otel_llm.store.sender import GRPC, HTTP, SIGNALS, Destination

_LOOK_EVERY: Final = 0.5
"""[s] Between two looks for new rows."""

_PATIENT: Final = 5.0
"""[s] Until somebody else who sends the same is in the way."""


class _Header(click.ParamType):  # type: ignore[type-arg]  # generic in late versions only
    """``name=value``."""

    name = "header"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Name and value."""
        name, separator, content = value.partition("=")
        name, content = name.strip(), content.strip()
        sound = name.isascii() and name.replace("-", "").replace("_", "").isalnum() and content.isprintable()
        if not separator or not sound or not content.isascii():
            self.fail("expected NAME=VALUE, found something else (not shown: it may hold a key)", param, ctx)
        return name, content


@click.command(cls=options.Command)
@click.option(
    "--to",
    "url",
    envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
    metavar="URL",
    required=True,
    help="The backend: http://localhost:4318.  [default: OTEL_EXPORTER_OTLP_ENDPOINT]",
)
@click.option("--since", "--last", type=options.Moment(), help="From then on: 15m, 1h, 2d (ago) or 2026-12-31T12:30.")
@click.option("--until", type=options.Moment(), help="Before then; written like --since.")
@click.option("--follow", "-f", is_flag=True, help="Go on sending what is recorded, until Ctrl-C.")
@click.option("--signal", "signals", type=click.Choice(SIGNALS), multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--protocol",
    type=click.Choice([HTTP, GRPC]),
    envvar="OTEL_EXPORTER_OTLP_PROTOCOL",
    default=HTTP,
    show_default=True,
    help="How the backend is spoken to.",
)
@click.option("--header", "headers", type=_Header(), multiple=True, help="NAME=VALUE, sent along; may be repeated.")
@click.option("--compression", type=click.Choice(["none", "gzip"]), default="none", show_default=True)
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file with the authorities to trust.  [default: the system's]",
)
@click.option("--timeout", type=options.Span(), default="10s", show_default=True, help="For one request.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="At most N items a second.")
@click.option(
    "--patience", type=options.Span(), default="5m", show_default=True, help="How long to try a backend that fails."
)
@click.option("--again", is_flag=True, help="Send what was sent before, too.")
@options.db_option
@click.pass_context
def command(  # noqa: PLR0913, PLR0917 - one argument an option
    context: click.Context,
    url: str,
    since: int | None,
    until: int | None,
    follow: bool,  # noqa: FBT001 - as above
    signals: tuple[str, ...],
    protocol: str,
    headers: Iterable[tuple[str, str]],
    compression: str,
    certificate: Path | None,
    timeout: float,
    rate: float | None,
    patience: float,
    again: bool,  # noqa: FBT001 - as above
    db: Path | None,
) -> None:
    """Send what the store holds to an OTLP backend, as it was recorded: ids, times, resource and scope.

    Spans, logs and metrics go. How far each backend has been served is kept in the store, so the same command goes on
    where it ended, however it ended; the batch of 512 that was under way when it was killed may be sent twice. With
    --follow it also waits for a backend that is away.
    """
    path = options.store_path(db)
    if not path.exists():
        raise options.NoData(options.nothing_yet(f"No store at {path} yet."))
    if since is not None and until is not None and since >= until:
        message = "--since: expected a time before --until, found one at or after it"
        raise click.UsageError(message)
    if context.get_parameter_source("url") is click.core.ParameterSource.ENVIRONMENT:
        headers = (*headers_of(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")).items(), *headers)
    destination = Destination(
        url=url,
        protocol=protocol,
        headers=dict(headers),
        compressed=compression == "gzip",
        certificate=certificate,
        timeout=timeout,
    )
    wish = Wish(
        since=since or 0,
        until=FOREVER if until is None else until,
        signals=signals or SIGNALS,
        rate=rate,
        patience=float("inf") if follow else patience,
        again=again,
    )
    try:
        replay = _open(path, destination, wish)
    except (ValueError, OSError) as error:
        message = f"--to: {error}"
        raise click.UsageError(message) from error
    except StoreError as error:
        raise options.Failure(str(error)) from error
    with replay:
        _send_and_tell(replay, destination.identity, follow=follow)


def _open(path: Path, destination: Destination, wish: Wish) -> Replay:
    """The replay; forwarding to the same backend is given a while to come to an end of what it has."""
    deadline = time.monotonic() + _PATIENT
    while True:
        try:
            return Replay(path, destination, wish)
        except InUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_EVERY / 2)


def _send_and_tell(replay: Replay, place: str, *, follow: bool) -> None:
    """Send, and say how far it came, however it ended.

    Raises:
        options.Failure: It ended before its time.
    """
    try:
        _send(replay, follow=follow)
    except GaveUpError as error:
        end = "The same command goes on where this one ended."
        message = f"{_told(replay)}\n{place}: {output.clean(error)}\n{end}"
        raise options.Failure(message) from error
    except (StoreError, sqlite3.Error) as error:
        message = f"{_told(replay)}\n{error}"
        raise options.Failure(message) from error
    except KeyboardInterrupt:
        click.echo(_told(replay), err=True)
        raise
    click.echo(_told(replay), err=True)


def _send(replay: Replay, *, follow: bool) -> None:
    """Send all there is, behind a progress bar where stderr is a terminal; with ``follow`` without end."""
    console = output.console(stderr=True)
    columns = (
        TextColumn("Sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[trouble]}", style="yellow"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=replay.waiting(), trouble="")
        while True:
            for count in replay.run():
                bar.update(task, advance=count, trouble=output.clean(replay.tally.trouble))
            if not follow:
                return
            time.sleep(_LOOK_EVERY)
            bar.update(task, total=bar.tasks[0].completed + replay.waiting())


def _told(replay: Replay) -> str:
    """``Sent 5,000 spans, 12 logs.`` and what was not."""
    tally = replay.tally
    parts = [f"{output.count(count)} {signal}" for signal, count in tally.sent.items() if count]
    lines = [f"Sent {', '.join(parts)}." if parts else "Nothing new to send."]
    if tally.refused:
        lines.append(f"The backend refused {output.count(tally.refused)}: {output.clean(tally.trouble)}")
    if tally.left_out:
        lines.append(f"The backend takes no {' and no '.join(sorted(tally.left_out))}.")
    return "\n".join(lines)
