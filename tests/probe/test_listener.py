"""Who listens on a port of this host, and which addresses are its own."""

import os
import socket
import subprocess
import sys

import psutil
import pytest

from otel_llm.probe.listener import addresses, listeners


@pytest.fixture
def port():
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_loopback_is_an_address_of_this_host():
    assert "127.0.0.1" in addresses()


def test_the_process_that_listens_is_found(port):
    assert os.getpid() in listeners(port)


def test_processes_below_it_are_found_too(port):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in listeners(port)
        child.communicate(b"\n")


def test_nobody_listens_on_a_free_port(free_port):
    assert listeners(free_port()) == frozenset()


def test_where_connections_may_not_be_seen_nobody_is_found(port, monkeypatch):
    def refuse(_kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    assert listeners(port) == frozenset()


def test_a_listener_that_is_gone_when_it_is_asked_is_left_with_what_is_known(port, monkeypatch):
    class Gone:
        def __init__(self, pid):
            self.pid = pid

        def children(self, *, recursive):
            assert recursive
            raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil, "Process", Gone)
    assert listeners(port) == {os.getpid()}
