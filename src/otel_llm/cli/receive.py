"""``otel-llm receive``: OTLP of other programs into the store. Cli storey; the server is `store.otlp_server`'s."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from otel_llm import config
from otel_llm.cli import options, output
from otel_llm.record.content.capture import places
from otel_llm.store.database import Database
from otel_llm.store.destinations import NAMES
from otel_llm.store.forwarding import Forwarder, forwarders
from otel_llm.store.origin import origin
from otel_llm.store.otlp_server import Server
from otel_llm.store.reception import Reception

_LEAVE_WITHIN: Final = 2.0
"""[s] For requests that are under way at the end."""


@click.command(cls=options.Command)
@click.option("--host", help="Address to listen on.  [default: receive.host, 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 is any that is free.  [default: receive.port, 4318]"
)
@options.db_option
def command(*, host: str | None, port: int | None, db: Path | None) -> None:
    """Take OTLP over HTTP from other programs into the store, until Ctrl-C.

    Spans, logs and metrics, as protobuf or JSON, with or without gzip: set OTEL_EXPORTER_OTLP_ENDPOINT to the address,
    and OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, for any program with an OpenTelemetry SDK, or for a model server.
    What was taken is on disk before the sender is told so. Content is dropped unless
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT asks for it. Only this machine is listened to, unless
    receive.token is set. With forward on, what is taken is sent on to where this command's own OTEL_EXPORTER_OTLP_*
    say.
    """
    loaded = config.load()
    for fault in loaded.faults:
        click.echo(fault, err=True)
    settings = loaded.settings.receive
    path = (db or loaded.store_path).absolute()
    database = Database(path, loaded.settings.store)
    reception = Reception(database, content=any(places(os.environ)))
    host, port = host or settings.host, settings.port if port is None else port
    try:
        server = Server(reception, host, port, token=settings.token, origin=origin(path))
    except ValueError as error:
        message = f"--host: {error} (set OTEL_LLM_RECEIVE_TOKEN)"
        raise click.UsageError(message) from error
    except OSError as error:
        reason = f"{error.strerror or error} (a Collector, perhaps; --port chooses another)"
        message = f"{host}:{port}: expected an address to listen on, found: {reason}"
        raise options.Failure(message) from error
    place = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
    sending = _forwarders(loaded, path)
    for forwarder in sending:
        forwarder.start()
    click.echo(f"Listening on http://{place}:{server.server_port}, writing to {path}.", err=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    finally:
        _leave(server, database)
        for forwarder in sending:
            forwarder.stop(_LEAVE_WITHIN)
    click.echo(_told(server.taken), err=True)


def _forwarders(loaded: config.Loaded, path: Path) -> list[Forwarder]:
    """What sends on what is received, where forwarding is on."""
    if not loaded.settings.forward:
        return []
    made, faults = forwarders(path, os.environ, NAMES, since=time.time_ns())
    for fault in faults:
        click.echo(f"forward: {fault}; nothing is sent there", err=True)
    return made


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _leave(server: Server, database: Database) -> None:
    """Let requests under way come to their end; a second Ctrl-C does not wait."""
    server.close()
    deadline = time.monotonic() + _LEAVE_WITHIN
    while server.watch.busy() and time.monotonic() < deadline:
        time.sleep(0.02)
    database.close(_LEAVE_WITHIN)


def _told(taken: Any) -> str:
    parts = [f"{output.count(taken[name])} {name}" for name in ("spans", "logs", "metrics") if taken[name]]
    refused = f" Of {output.count(taken['rejected'])} items no row could be made." if taken["rejected"] else ""
    return f"Received {', '.join(parts) or 'nothing'}.{refused}"
