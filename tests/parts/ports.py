"""Ports of the loopback interface."""

import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. All are held while they are chosen, so that no two are the same.

    The system gives none of them to whoever asks for any: nobody has it before the test's own server does.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            with suppress(OSError):
                held.append(socket.create_server(("127.0.0.1", random.SystemRandom().randrange(*_ASKED_FOR))))
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ASKED_FOR = (10_000, int(_GIVEN.read_text().split()[0]) if _GIVEN.exists() else 32_768)
"""Ports that are had by their number alone: below those that the system gives away."""


def is_open(port: int) -> bool:
    """Whether somebody accepts connections on ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


READ_WITHIN = 30.0


def wait_until_read(connection: socket.socket) -> None:
    """Wait until the program at the other end, on this host, has read all that was sent: a reset throws the rest away.

    Where it never reads, the wait ends after a while all the same.
    """
    theirs, ours = (_written(name) for name in (connection.getpeername(), connection.getsockname()))
    deadline = time.monotonic() + READ_WITHIN
    while time.monotonic() < deadline:
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        waiting = {tuple(words[1:3]): words[4].split(":") for words in lines}
        _, unread = waiting.get((theirs, ours), ("0", "0"))
        unsent, _ = waiting.get((ours, theirs), ("0", "0"))
        if not int(unread, 16) and not int(unsent, 16):
            return
        time.sleep(0.01)


def _written(name: tuple[str, int]) -> str:
    """An address and port as ``/proc/net/tcp`` writes them."""
    return f"{int.from_bytes(socket.inet_aton(name[0]), sys.byteorder):08X}:{name[1]:04X}"


@pytest.fixture
def free_port() -> Callable[[], int]:
    return lambda: free_ports(1)[0]


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that is held and that nobody listens on: nobody else gets it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
