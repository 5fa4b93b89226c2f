"""Real receivers of notifications on the loopback interface: an HTTP server that may misbehave, and a mail server."""

import email
import email.message
import email.policy
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from parts.ports import free_ports

HANGS_FOR = 60.0
STARTS_WITHIN = 150.0


@dataclass(slots=True)
class Answer:
    """What the HTTP receiver does with a request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    closes: bool = False
    hangs: bool = False
    drips: bool = False


@dataclass(slots=True)
class Request:
    path: str
    headers: dict[str, str]
    content: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Hook:
    """An HTTP server that remembers what it was told. ``answer`` says what it does; it may be replaced at any time."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer()
        self.ended = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, dict(self.headers), content, time.monotonic())
                hook.requests.append(request)
                hook._reply(self, hook.answer(request))

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'http' if context is None else 'https'}://localhost:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _reply(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.hangs:
            self.ended.wait(HANGS_FOR)
            return
        if answer.closes:
            handler.connection.close()
            return
        if answer.drips:
            while not self.ended.wait(0.05):
                handler.wfile.write(b"H")
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def alerts(self, status: str | None = None) -> list[dict[str, Any]]:
        """Every alert that was told in Alertmanager's shape and accepted or not, in order."""
        told = [alert for request in self.requests for alert in request.json["alerts"]]
        return [alert for alert in told if status is None or alert["status"] == status]

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


@dataclass(slots=True)
class Mailbox:
    """What a mail server took, and what it is to say."""

    port: int = 0
    mails: list[email.message.EmailMessage] = field(default_factory=list)
    envelopes: list[Any] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        self.secured.append(session.ssl is not None)
        if self.replies:
            return self.replies.pop(0)
        self.envelopes.append(envelope)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 taken"

    def authenticate(self, _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A certificate authority of one's own, and what it issued for ``localhost``."""

    ca_file: Path
    server: ssl.SSLContext


@contextmanager
def mail_server(trust: Trust, *, tls: str = "starttls", login: bool = False) -> Iterator[Mailbox]:
    box = Mailbox()
    options: dict[str, Any] = {}
    if tls == "starttls":
        options = {"tls_context": trust.server, "require_starttls": True}
    elif tls == "implicit":
        options = {"ssl_context": trust.server}
    if login:
        options |= {"authenticator": box.authenticate, "auth_required": True, "auth_require_tls": tls == "starttls"}
    (box.port,) = free_ports(1)
    controller = Controller(box, hostname="127.0.0.1", port=box.port, ready_timeout=STARTS_WITHIN, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Trust(ca_file=ca_file, server=context)


@pytest.fixture
def hook() -> Iterator[Hook]:
    one = Hook()
    yield one
    one.close()


@pytest.fixture
def secure_hook(trust: Trust) -> Iterator[Hook]:
    one = Hook(trust.server)
    yield one
    one.close()
