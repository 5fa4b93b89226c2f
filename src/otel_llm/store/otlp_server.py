"""Room store: OTLP over HTTP, for senders on this machine. A thread for each connection, and a bound on connections.

`watch` bounds the connections and `body` what is read of each. A browser is kept out by the Host header, which a
rebound name cannot fake, and by media types that it may not send unasked. What comes goes to `reception`. Source:
opentelemetry.io/docs/specs/otlp; google.rpc.Code.
"""

import contextlib
import hmac
import ipaddress
import json
import socket
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_llm import boundary
from otel_llm.store.body import MOST_BODY, PIECE, Body, RefusedError
from otel_llm.store.origin import HEADER
from otel_llm.store.reception import BehindError, Reception, Taken
from otel_llm.store.watch import FIRST_WITHIN, MOST_HELD, Budget, Watch

READ_WITHIN: Final = 20.0
"""[s] From the first byte of a request to its last."""

IDLE: Final = 120.0
"""[s] Between two requests of a connection."""

ANSWER_WITHIN: Final = 30.0
"""[s] For the store's part and the answer."""

RETRY_AFTER: Final = 2
"""[s] What a sender is asked to wait when the store is behind."""

LINGER: Final = 2.0
"""[s] For a sender to hear why it was refused."""

_SIGNALS: Final = {"/v1/traces": "spans", "/v1/logs": "logs", "/v1/metrics": "metrics"}
_ANSWERS: Final[dict[str, tuple[Any, str]]] = {
    "spans": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
_NAMES: Final = {"spans": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 411: 3, 413: 8, 415: 3, 500: 13, 501: 12, 503: 14}
"""By status of HTTP, the code of google.rpc."""

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    % RETRY_AFTER
)


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine and nothing else."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Server(ThreadingHTTPServer):
    """Listens as soon as it is made; `serve_forever` takes requests.

    Args:
        reception: Where they go.
        host: Address to listen on.
        port: 0 is any that is free.
        token: What senders have to show.
        origin: Of the store, as `store.origin` tells it.

    Attributes:
        taken: Items on disk by signal, and ``rejected``.

    Raises:
        OSError: Nobody can listen there.
        ValueError: Others than this machine could send without a token.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, reception: Reception, host: str, port: int, *, token: str | None, origin: str) -> None:
        if not is_loopback(host) and not token:
            message = f"expected a token for an address that others reach, found none for {host}"
            raise ValueError(message)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.reception, self.token, self.origin = reception, token, origin
        self.local = is_loopback(host)
        self.taken: Counter[str] = Counter()
        super().__init__((host, port), Handler)
        self.watch = Watch()
        self.budget = Budget(MOST_HELD)

    def server_bind(self) -> None:
        """Bind, without asking what the address is called: that may take long."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, unless there are too many; then one that is idle goes."""
        if not self.watch.add(request):
            with contextlib.suppress(OSError):
                request.settimeout(0)
                request.send(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread is to be had
            self.watch.remove(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.watch.remove(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection broke; the sender knows."""

    def close(self) -> None:
        """Listen no more, and let go of connections that are idle or slow."""
        self.server_close()
        self.watch.close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # whoever makes it is one
    _first: bool
    """No request came yet."""
    _whole: bool
    """The request was read to its end."""
    _json: bool
    """It is JSON, and so is the answer."""
    _held: int
    """Of the budget [byte]."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def version_string(self) -> str:
        """The header ``Server``."""
        return "otel-llm"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's names
        """Nothing: what a sender sends is not for a terminal."""

    def handle_one_request(self) -> None:
        """Wait for a request, and from its first byte on not for ever."""
        first, self._first = self._first, False
        if (
            not self.server.watch.expect(self.connection, FIRST_WITHIN if first else IDLE, idle=True)
            or not self._peek()
        ):
            self.close_connection = True
            return
        self.server.watch.expect(self.connection, READ_WITHIN)
        self._whole = False
        super().handle_one_request()

    def setup(self) -> None:
        """Before the first request."""
        super().setup()
        self._first, self._whole, self._json = True, True, False

    def finish(self) -> None:
        """After the last request: what nobody read is thrown away, for closing on it would take the answer back."""
        if not self._whole and self.server.watch.expect(self.connection, LINGER):
            left = MOST_BODY
            with contextlib.suppress(OSError, ValueError):
                self.connection.shutdown(socket.SHUT_WR)
                while left > 0 and (piece := self.rfile.read1(PIECE)):
                    left -= len(piece)
        super().finish()

    def _peek(self) -> bool:
        try:
            return bool(self.rfile.peek(1))  # type: ignore[attr-defined]  # buffered, as socketserver makes it
        except (OSError, ValueError):
            return False

    def do_POST(self) -> None:
        """Take a request and answer."""
        self._json, self._held = False, 0
        try:
            self._receive()
        finally:
            self.server.budget.give(self._held)

    def _receive(self) -> None:
        try:
            signal = self._signal()
            self._allow()
            self._json = self._media() == _JSON
            body = self._body()
            self.server.watch.expect(self.connection, ANSWER_WITHIN)
            taken = self._take(signal, body)
        except RefusedError as refused:
            self._refuse(refused)
        else:
            self.server.taken[signal] += taken.count
            self.server.taken["rejected"] += taken.rejected
            self._answer(signal, taken)

    def _hold(self, count: int) -> None:
        """Have room for ``count`` bytes until the request is done.

        Raises:
            RefusedError: There is none.
        """
        if not self.server.budget.take(count):
            raise _later()
        self._held += count

    def _take(self, signal: str, body: bytes) -> Taken:
        known = self.headers.get(HEADER) == self.server.origin
        try:
            return self.server.reception.take(signal, body, as_json=self._json, known=known)
        except ValueError as error:
            raise RefusedError(400, str(error)) from error
        except BehindError as error:
            raise _later(str(error)) from error
        except Exception as error:
            boundary.swallow("store.receive", error)
            raise RefusedError(500, f"internal: {type(error).__name__}") from error

    def _signal(self) -> str:
        path = urlsplit(self.path).path
        if path not in _SIGNALS:
            raise RefusedError(404, f"path: expected one of {', '.join(_SIGNALS)}")
        return _SIGNALS[path]

    def _allow(self) -> None:
        """Keep out who may not send.

        Raises:
            RefusedError: This sender may not.
        """
        host = self.headers.get("Host")
        if self.server.local and not (is_loopback(_hostname(host)) if host else self.request_version == "HTTP/1.0"):
            raise RefusedError(403, "Host: expected localhost, 127.0.0.1 or [::1]")
        if self.server.token:
            shown = self.headers.get("Authorization", "").encode("latin-1", "replace")
            if not hmac.compare_digest(shown, f"Bearer {self.server.token}".encode()):
                raise RefusedError(401, "Authorization: expected the token", {"WWW-Authenticate": "Bearer"})

    def _media(self) -> str:
        media = self.headers.get_content_type() if "Content-Type" in self.headers else "none"
        if media not in {_PROTOBUF, _JSON}:
            raise RefusedError(415, f"Content-Type: expected {_PROTOBUF} or {_JSON}, found {media[:100]}")
        return media

    def _body(self) -> bytes:
        body = Body(self.headers, self.rfile, self._hold)
        try:
            return body.read()
        finally:
            self._whole = body.whole

    # --- the answer ---------------------------------------------------------------------------------------------

    def _answer(self, signal: str, taken: Taken) -> None:
        """Yes, and what was not taken."""
        if self._json:
            partial = {_NAMES[signal]: str(taken.rejected), "errorMessage": taken.reason} if taken.rejected else None
            self._write(200, json.dumps({"partialSuccess": partial} if partial else {}).encode(), {})
            return
        message, rejected = _ANSWERS[signal]
        answer = message()
        if taken.rejected:
            setattr(answer.partial_success, rejected, taken.rejected)
            answer.partial_success.error_message = taken.reason
        self._write(200, answer.SerializeToString(), {})

    def _refuse(self, refused: RefusedError) -> None:
        """No, as a ``google.rpc.Status``."""
        code, message = _CODES.get(refused.status, 2), str(refused)[:1000]
        if not self._whole:  # there may be a body that nobody read
            self.close_connection = True
        if self._json:
            body = json.dumps({"code": code, "message": message}).encode()
        else:
            body = Status(code=code, message=message).SerializeToString()
        self._write(refused.status, body, refused.headers)

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _JSON if self._json else _PROTOBUF)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, in OTLP's words."""
        self._json, self._whole, self.close_connection = False, False, True
        self._refuse(RefusedError(int(code), explain or message or "bad request"))

    def _refuse_method(self) -> None:
        self._json = False
        path = urlsplit(self.path).path
        if path in _SIGNALS:
            self._refuse(RefusedError(405, "method: expected POST", {"Allow": "POST"}))
        else:
            self._refuse(RefusedError(404, f"path: expected one of {', '.join(_SIGNALS)}"))

    do_GET = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method  # noqa: N815 - http.server's names


def _later(reason: str = "too much at once") -> RefusedError:
    return RefusedError(503, reason, {"Retry-After": str(RETRY_AFTER)})


def _hostname(host: str) -> str:
    """The name in a Host header, without a port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
