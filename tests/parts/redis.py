"""The real redis-server of Debian's package, on a port and in a folder of its own, and what may befall it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from parts.ports import free_ports

STARTS_WITHIN = 150.0


@dataclass(slots=True)
class RedisServer:
    """A redis-server.

    Attributes:
        folder: Its data and log are in there.
        options: Of its command line.
        ready: Says whether it answers, where that takes more than a PING.
        command: The command line, where it is another one altogether.
    """

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    password: str | None = None
    ready: Callable[["RedisServer"], bool] | None = None
    command: list[str] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **settings: Any) -> "redis.Redis":
        return redis.Redis(port=self.port, password=self.password, socket_timeout=30, **settings)

    def start(self, *options: str) -> None:
        """Start it, with the data that are in its folder."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes", *self.options, *options]
        command = self.command or command
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"redis-server did not get ready:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        if self.ready is not None:
            return self.ready(self)
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def empty(self) -> None:
        """Lose all data; while it does not run."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def hang(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.go_on()
            self.kill()


@pytest.fixture
def redis_servers(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """``redis_servers(*options)`` gives one that is not started yet."""
    if shutil.which("redis-server") is None:
        pytest.fail("no redis-server: apt-get install redis-server")
    made: list[RedisServer] = []

    def make(*options: str, **settings: Any) -> RedisServer:
        (port,) = free_ports(1)
        folder = tmp_path / f"redis-{len(made)}"
        folder.mkdir()
        made.append(RedisServer(folder, port, options, **settings))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def redis_server(redis_servers: Callable[..., RedisServer]) -> RedisServer:
    server = redis_servers()
    server.start()
    return server
