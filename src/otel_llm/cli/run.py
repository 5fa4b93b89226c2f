"""``otel-llm run``: a command under ``opentelemetry-instrument``, with this distribution chosen. Cli storey.

The process becomes the command, so signals, exit code and terminal are the command's own.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import click

from otel_llm.cli import options

DISTRO: Final = "otel_llm"
CHOICE: Final = ("OTEL_PYTHON_DISTRO", "OTEL_PYTHON_CONFIGURATOR")
"""Unset, the first distribution found wins, and it need not be this one."""


@click.command(
    cls=options.Command,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("cmd", metavar="CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(*, cmd: tuple[str, ...]) -> None:
    """Run CMD with its calls recorded; nothing in it needs to change.

    Like opentelemetry-instrument CMD, but sure to be otel-llm where other distributions are installed. Options for
    CMD come after it: otel-llm run -- python app.py --fast
    """
    if shutil.which(cmd[0]) is None:
        raise click.UsageError(_not_found(cmd[0]))
    instrument = find_instrument()
    environ = os.environ | dict.fromkeys(CHOICE, DISTRO)
    os.execve(instrument, [instrument, *cmd], environ)  # noqa: S606 - the user asked for this very command


def find_instrument() -> str:
    """Path of ``opentelemetry-instrument``: this interpreter's own, else the one on ``PATH``.

    Raises:
        Failure: There is none.
    """
    beside = Path(sys.executable).with_name("opentelemetry-instrument")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(beside.name)
    if found is None:
        message = (
            f"opentelemetry-instrument: expected it beside {sys.executable} or on PATH, found none "
            "(pip install opentelemetry-instrumentation)"
        )
        raise options.Failure(message)
    return found


def _not_found(name: str) -> str:
    hint = f" (did you mean python {name}?)" if name.endswith(".py") and Path(name).is_file() else ""
    return f"CMD: expected a command on PATH, found {name!r}{hint}"
