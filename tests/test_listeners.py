"""Who listens on a port of this host, and which addresses are its own."""

import ipaddress
import os
import socket
import subprocess
import sys

import psutil
import pytest

from otel_llm import listeners


@pytest.fixture
def port():
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_loopback_is_an_address_of_this_host():
    assert "127.0.0.1" in listeners.addresses()


def test_the_process_that_listens_is_found(port):
    assert os.getpid() in listeners.processes(port)


def test_processes_below_it_are_found_too(port):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in listeners.processes(port)
        child.communicate(b"\n")


def test_nobody_listens_on_a_port_that_is_only_held(refusing_port):
    assert listeners.processes(refusing_port) == frozenset()


def test_this_process_knows_its_own_ports_and_no_others(port):
    server = (
        "import socket; one = socket.create_server(('127.0.0.1', 0)); print(one.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        theirs = int(child.stdout.readline())
        assert port in listeners.ports()
        assert theirs not in listeners.ports()
        child.communicate("\n")


def test_proc_says_what_psutil_says(port, monkeypatch):
    ours = listeners.addresses(), listeners.processes(port), listeners.ports()
    monkeypatch.setattr(listeners, "_is_linux", lambda: False)
    named, listening, own = listeners.addresses(), listeners.processes(port), listeners.ports()
    assert {one for one in named if _is_address(one)} <= ours[0]
    assert ours[1:] == (listening, own)


def _is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False  # a card's own, of the layer below
    return True


def test_where_proc_says_nothing_nobody_is_found(port, monkeypatch, tmp_path):
    monkeypatch.setattr(listeners, "PROC", tmp_path)
    assert (listeners.processes(port), listeners.ports(), listeners.addresses()) == (set(), set(), set())


def test_elsewhere_connections_that_may_not_be_seen_are_nobodys(port, monkeypatch):
    def refuse(_kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(listeners, "_is_linux", lambda: False)
    monkeypatch.setattr(psutil, "net_connections", refuse)
    assert listeners.processes(port) == frozenset()


def test_elsewhere_a_listener_that_is_gone_when_it_is_asked_is_left_with_what_is_known(port, monkeypatch):
    class Gone:
        def __init__(self, pid):
            self.pid = pid

        def children(self, *, recursive):
            assert recursive
            raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(listeners, "_is_linux", lambda: False)
    monkeypatch.setattr(psutil, "Process", Gone)
    assert listeners.processes(port) == {os.getpid()}
