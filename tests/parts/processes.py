"""Start a program, wait until it is ready, end it by its own process id."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

READY_WITHIN = 300.0
EXIT_WITHIN = 150.0
"""Longer than a gunicorn waits for its workers."""


@contextmanager
def started(
    command: Sequence[str | Path], *, log: Path, ready: Callable[[], bool], environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs as long as the block does and writes to ``log``; fails the test when it never gets ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environ)
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not get ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(EXIT_WITHIN)
