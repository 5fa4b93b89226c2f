"""Room probe: model servers, by their ``/metrics`` page. Found where calls went, or named in the configuration.

Only servers that this process called, and that were told to be of a kind with such a page, are asked: by GET, without
credentials, redirects or proxies, for at most two seconds and four megabytes. One that has no page is asked ever more
rarely. Of a host's processes one asks each server.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from otel_llm import boundary, semconv
from otel_llm.probe.exposition import Page, parse, tell
from otel_llm.probe.reading import Reading
from otel_llm.probe.reporter import Reporter
from otel_llm.probe.sightings import MOST_SERVERS, Sightings

TIMEOUT: Final = 2.0
"""Most time that one page may take [s]."""

MOST_BYTES: Final = 4_000_000
_PIECE: Final = 65_536
_OK: Final = 200
_RAREST: Final = 600.0
"""A server without a page is asked at least this often [s]."""


class _Server(msgspec.Struct):
    """What is known of one server."""

    url: str
    address: str
    port: int
    seat: Reporter
    page: Page | None = None
    at: float = 0.0
    failures: int = 0
    next_at: float = float("-inf")
    told: str | None = None


class Servers:
    """The source of every server that was seen or named.

    Args:
        sightings: Where calls went.
        named: Pages by a name of the user's, e.g. ``{"llm": "http://10.0.0.7:8000/metrics"}``.
        fetch: Gets a page's text.
    """

    name = "server"

    def __init__(
        self, sightings: Sightings, named: Mapping[str, str], fetch: Callable[[str], str] | None = None
    ) -> None:
        self._sightings = sightings
        self._fetch = fetch or fetch_page
        self._servers: dict[tuple[str, int], _Server] = {}
        for url in named.values():
            parts = urlsplit(url if "//" in url else f"http://{url}")
            if parts.hostname:
                port = parts.port or (443 if parts.scheme == "https" else 80)
                path = parts.path if parts.path not in {"", "/"} else "/metrics"
                self._add(parts.hostname, port, f"{parts.scheme}://{parts.hostname}:{port}{path}")

    def read(self, now: float) -> Sequence[Reading]:
        """What each server's page says now."""
        for address, port in tuple(self._sightings.servers):
            if (address, port) not in self._servers:
                scheme = "https" if port == 443 else "http"  # noqa: PLR2004 - the port of https
                host = f"[{address}]" if ":" in address else address
                self._add(address, port, f"{scheme}://{host}:{port}/metrics")
        found: list[Reading] = []
        for server in self._servers.values():
            if now >= server.next_at and server.seat.holds():
                found += self._look(server, now)
        return found

    def close(self) -> None:
        """Leave every server to other processes."""
        for server in self._servers.values():
            server.seat.release()

    def _add(self, address: str, port: int, url: str) -> None:
        if len(self._servers) < MOST_SERVERS:
            seat = Reporter(f"server {url}")
            self._servers[address, port] = _Server(url=url, address=address, port=port, seat=seat)

    def _look(self, server: _Server, now: float) -> list[Reading]:
        before, server.page = server.page, None
        try:
            text = self._fetch(server.url)
            server.page = parse(text)
            problem = None if server.page else "no page of a server that is known"
        except (OSError, ValueError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        if server.page is None:
            server.failures += 1
            server.next_at = now + min(_RAREST, 10.0 * 2.0**server.failures)
            if server.told != problem:
                server.told = problem
                boundary.logger.info("%s says nothing of the server: %s", server.url, problem)
            return []
        server.failures, server.told = 0, None
        attributes: dict[str, str | int] = {
            semconv.SERVER_ADDRESS: server.address,
            semconv.SERVER_PORT: server.port,
            semconv.PROVIDER_NAME: server.page.engine,
        }
        seconds, server.at = now - server.at, now
        return [Reading(name, value, attributes) for name, value in tell(server.page, before, seconds)]


def fetch_page(url: str) -> str:
    """The text at ``url``.

    Raises:
        OSError: It cannot be reached, in time.
        ValueError: It is no text, too long, or not there.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path, headers={"Accept": "text/plain", "Accept-Encoding": "identity"})
        return _text(connection.getresponse())
    finally:
        connection.close()


def _text(response: http.client.HTTPResponse) -> str:
    if response.status != _OK:
        message = f"expected a page, found status {response.status}"
        raise ValueError(message)
    deadline = time.monotonic() + TIMEOUT
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(_PIECE):
        size += len(piece)
        pieces.append(piece)
        if size > MOST_BYTES:
            message = f"expected at most {MOST_BYTES:,} bytes, found more"
            raise ValueError(message)
        if time.monotonic() > deadline:
            message = f"expected a page within {TIMEOUT:g} s, found one that drips"
            raise ValueError(message)
    return b"".join(pieces).decode("utf-8", "replace")
