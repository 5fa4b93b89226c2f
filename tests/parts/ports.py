"""Ports of the loopback interface."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. All are held while they are chosen, so that no two are the same."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


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
