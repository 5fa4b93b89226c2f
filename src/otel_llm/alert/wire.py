"""Room alert: one HTTP request to where one may go. The standard library's client, without proxies and redirects.

A name is resolved once, every address it has is checked, and the connection goes to a checked one: a name that
changes its mind in between gains nothing. Runs on delivery threads alone.
"""

import contextlib
import email.utils
import http.client
import socket
import time
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from otel_llm.alert import carriage

MOST_BODY: Final = 65_536
"""Of an answer no more than this is read [byte]."""

_NAT64: Final = IPv6Network("64:ff9b::/96")


class ForbiddenError(OSError):
    """The address is none that may be asked."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said.

    Attributes:
        status: Of HTTP.
        retry_after: Its wish [s].
    """

    status: int
    retry_after: float | None = None


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool = False, ca_file: str | None = None
) -> Answer:
    """Send ``body`` to ``url``.

    Raises:
        ForbiddenError: It leads to where one may not go.
        OSError: No connection, no trust, or no answer in time.
        http.client.HTTPException: What answers is no HTTP server.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    sockets: list[socket.socket] = []
    with carriage.deadline(lambda: sockets[-1] if sockets else None, carriage.TOTAL):
        raw = _connect(resolve(host, port, allow_private=allow_private, tls=tls), port)
        sockets.append(raw)
        try:
            if tls:
                context = carriage.trust(ca_file)
                sockets.append(context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False))
                sockets[-1].settimeout(carriage.CONNECT)
                sockets[-1].do_handshake()  # type: ignore[attr-defined]
            sockets[-1].settimeout(carriage.TOTAL)
            return _ask(sockets[-1], parts.netloc.rpartition("@")[2], _path(parts.path, parts.query), body, headers)
        finally:
            for one in reversed(sockets):
                one.close()


def resolve(host: str, port: int, *, allow_private: bool, tls: bool) -> list[str]:
    """The addresses of ``host``, each of which may be asked.

    Raises:
        ForbiddenError: One of them may not.
        OSError: There are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        check(address, allow_private=allow_private, tls=tls)
    return addresses


def check(address: str, *, allow_private: bool, tls: bool) -> None:
    """Refuse an address that a notification has no business with.

    Args:
        address: As the resolver gave it.
        allow_private: Whether private networks and this machine are fine.
        tls: Whether the connection is encrypted.

    Raises:
        ForbiddenError: It may not be asked.
    """
    ip = _inner(ip_address(address.partition("%")[0]))
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        message = "the host's address is link-local, multicast or none, and never asked"
    elif ip.is_global and not tls:
        message = "the host's address is public: it is asked with https alone"
    elif not ip.is_global and not allow_private:
        message = "the host's address is private: allow_private: true permits that"
    else:
        return
    raise ForbiddenError(message)


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one, where that is where packets go."""
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            return IPv4Address(ip.packed[-4:])
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _connect(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first address that takes one."""
    failed: OSError = OSError("the host has no address")
    until = time.monotonic() + carriage.CONNECT
    for address in addresses:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return socket.create_connection((address, port), timeout=left)
        except OSError as error:
            failed = error
    raise failed


def _ask(sock: socket.socket, authority: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection(authority)
    connection.sock = sock  # the checked one; it never connects by itself
    connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": authority, **headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    with contextlib.suppress(OSError, http.client.HTTPException):  # what it says besides is of no consequence
        response.read(MOST_BODY)
    return Answer(status=response.status, retry_after=seconds_of(response.headers.get("Retry-After"), time.time()))


def seconds_of(text: str | None, wall: float) -> float | None:
    """What ``Retry-After`` asks for [s]: a number of seconds or a date."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - wall)
    return None


def _path(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")
