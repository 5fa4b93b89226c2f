"""Ports of the loopback interface."""

import socket
from collections.abc import Callable

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


@pytest.fixture
def free_port() -> Callable[[], int]:
    return lambda: free_ports(1)[0]
