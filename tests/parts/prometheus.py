"""The real promtool, Prometheus and Alertmanager of Debian's packages, on ports and in folders of their own."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from parts.collector import PARTS
from parts.ports import free_ports
from parts.processes import started

PROGRAMS = PARTS / "prometheus/usr/bin"
SHARE = PARTS / "prometheus/usr/share"


def program(name: str) -> Path:
    """``promtool``, ``prometheus``, ``prometheus-alertmanager`` or ``amtool``; fetching it is not a test's work."""
    binary = PROGRAMS / name
    if not binary.exists() or not SHARE.exists():
        pytest.fail(f"no {name} at {binary}: run .ci/prometheus/fetch.sh once")
    return binary


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running Prometheus or Alertmanager.

    Attributes:
        url: Of its API, without a path.
        folder: Its configuration and log are in there.
    """

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, **query: str) -> Any:
        """What a GET of ``path`` says, as JSON."""
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own server
            return json.load(answer)


@pytest.fixture(scope="session")
def promtool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``promtool("check", "rules", file)`` runs it and gives what it said."""
    binary = program("promtool")
    return lambda *arguments, cwd=None: subprocess.run(
        [binary, *map(str, arguments)], capture_output=True, text=True, timeout=500, cwd=cwd, check=False
    )


@pytest.fixture(scope="session")
def amtool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``amtool("check-config", file)`` runs it and gives what it said."""
    binary = program("amtool")
    return lambda *arguments: subprocess.run(
        [binary, *map(str, arguments)], capture_output=True, text=True, timeout=500, check=False
    )


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Server]]:
    """``with prometheus(config, *flags) as server:`` runs one; its rule files stand beside ``prometheus.yml``."""
    binary = program("prometheus")

    def run(config: str, *flags: str, files: dict[str, str] | None = None) -> AbstractContextManager[Server]:
        folder = tmp_path_factory.mktemp("prometheus")
        for name, text in {"prometheus.yml": config, **(files or {})}.items():
            (folder / name).write_text(text)
        arguments = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}", *flags]
        return _running(binary, arguments, folder)

    return run


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Server]]:
    """``with alertmanager(config) as server:`` runs one that belongs to no cluster."""
    binary = program("prometheus-alertmanager")

    def run(config: str, *flags: str) -> AbstractContextManager[Server]:
        folder = tmp_path_factory.mktemp("alertmanager")
        (folder / "alertmanager.yml").write_text(config)
        arguments = [
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            "--cluster.listen-address=",
            *flags,
        ]
        return _running(binary, arguments, folder)

    return run


@contextmanager
def _running(binary: Path, arguments: Sequence[str], folder: Path) -> Iterator[Server]:
    (port,) = free_ports(1)
    # Alertmanager finds its template where it is started.
    command = ["env", "-C", str(SHARE), str(binary), *arguments, f"--web.listen-address=127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    with started(command, log=folder / "log.txt", ready=lambda: _is_ready(url)) as process:
        yield Server(url=url, folder=folder, process=process)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=1):  # noqa: S310 - our own server
            return True
    except OSError:
        return False
