"""Room store: which store something was sent from, so that it does not take in again what it holds."""

import contextlib
import os
import socket
from hashlib import sha256
from pathlib import Path
from typing import Final

HEADER: Final = "otel-llm-store"
"""Of an OTLP request that was made from what a store holds."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def origin(path: Path) -> str:
    """What tells the store at ``path`` from others: a hash of machine, host name and place, which says none of them."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = _BOOT.read_text()
    return sha256(f"{boot}\0{socket.gethostname()}\0{os.path.realpath(path)}".encode()).hexdigest()[:16]
