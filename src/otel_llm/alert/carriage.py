"""Room alert: what every way of delivering has in common: secrets, deadlines and how a try went.

Runs on delivery threads alone. Errors are told in words of our own, without the address: it may hold a token.
"""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from otel_llm.alert.receiver import Secret

CONNECT: Final = 3.0
"""Most time for a connection [s]."""

TOTAL: Final = 10.0
"""Most time for a try, connection and answer included [s]."""

_MOST_SECRET: Final = 65_536


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a try went.

    Attributes:
        outcome: Taken, to be tried again, or refused for good.
        error: What was in the way.
        retry_after: The receiver's own wish [s].
    """

    outcome: Literal["sent", "again", "dead"]
    error: str | None = None
    retry_after: float | None = None


def reveal(secret: Secret) -> str:
    """The secret itself, as it is now.

    Raises:
        OSError: There is none.
    """
    if secret.file is not None:
        with Path(secret.file).expanduser().open(encoding="utf-8", errors="replace") as file:
            said = file.readline(_MOST_SECRET).rstrip("\r\n")
    else:
        said = os.environ.get(secret.variable or "", "")
    if not said:
        message = f"no secret in {secret.file or secret.variable}"
        raise OSError(message)
    return said


def trust(ca_file: str | None) -> ssl.SSLContext:
    """Certificates of the system, or of ``ca_file`` alone."""
    return ssl.create_default_context(cafile=None if ca_file is None else str(Path(ca_file).expanduser()))


@contextlib.contextmanager
def deadline(connection: Callable[[], socket.socket | None], seconds: float) -> Iterator[None]:
    """Cut what ``connection`` names after ``seconds``: a peer that drips must not hold its thread."""

    def cut() -> None:
        found = connection()
        if found is not None:
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # of the wire, past what TLS would make of it

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def explain(error: Exception) -> str:
    """``error`` in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the host's name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message})"
    reason = getattr(error, "strerror", None)
    return str(reason or (error if isinstance(error, OSError) and str(error) else type(error).__name__))
