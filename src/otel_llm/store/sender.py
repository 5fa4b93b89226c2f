"""Room store: one OTLP request to a backend, by HTTP or gRPC, and what its answer means.

The standard library's client and grpc itself are used, under suppression: nothing of ours and nobody's instrumentation
records this traffic. An answer is read with a cap and a deadline. Source: opentelemetry.io/docs/specs/otlp.
"""

import enum
import gzip
import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from otel_llm.store.origin import HEADER
from otel_llm.suppression import suppress_instrumentation

HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"
SIGNALS: Final = ("spans", "logs", "metrics")
MOST_READ: Final = 64 * 1024
"""[byte] How much of an answer is read."""

_PATHS: Final = {"spans": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}
_METHODS: Final = {
    "spans": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_PORTS: Final = {"http": 80, "https": 443}
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_TOO_MUCH: Final = frozenset({400, 413, 422})
_UNKNOWN: Final = frozenset({404, 405, 501})
_LONGEST_WAIT: Final = 300.0
_LONGEST_REASON: Final = 200


class Verdict(enum.Enum):
    """What becomes of a request's content."""

    DELIVERED = "delivered"
    AGAIN = "again"
    """Later, the same."""
    REFUSED = "refused"
    """This content, or so much of it, will never be taken."""
    UNKNOWN = "unknown"
    """The backend does not know this signal."""
    STOP = "stop"
    """Nothing will be taken as things are set: credentials, an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a backend said.

    Attributes:
        wait: How long it asks to wait [s].
        rejected: How many items it took none of, of a request that it took.
        reason: In its words.
    """

    verdict: Verdict
    wait: float | None = None
    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to send.

    Attributes:
        url: ``http://host:4318``; with or without the path of a signal.
        protocol: ``http/protobuf`` or ``grpc``.
        headers: Sent with each request.
        compressed: By gzip.
        certificate: File with the authorities to trust; ``None`` is the system's.
        client_certificate: File with what this side shows of itself, and its chain.
        client_key: Its key, unless the certificate's file holds it.
        timeout: For one request [s].
        whole: ``url`` is the address of one signal as it is, no path is added.
    """

    url: str
    protocol: str = HTTP
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    compressed: bool = False
    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    timeout: float = 10.0
    whole: bool = False

    @property
    def identity(self) -> str:
        """Protocol and address, without credentials and query: what the store knows a backend by."""
        parts = urlsplit(self.url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        return f"{self.protocol} {parts.scheme}://{parts.hostname}:{port}{self.base}"

    @property
    def base(self) -> str:
        """The path before that of a signal."""
        path = urlsplit(self.url).path.rstrip("/")
        for known in () if self.whole else _PATHS.values():
            path = path.removesuffix(known)
        return path

    def path(self, signal: str) -> str:
        """Where ``signal`` is posted to."""
        return urlsplit(self.url).path or "/" if self.whole else self.base + _PATHS[signal]


class Sender(Protocol):
    """Sends requests over one connection that is kept."""

    def send(self, signal: str, request: bytes) -> Answer:
        """Send ``request`` of ``signal``, one of `SIGNALS`; never raises for what a network or backend does."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def connect(destination: Destination, origin: str = "") -> Sender:
    """A sender to ``destination``; nothing is opened before its first request.

    Args:
        destination: The backend.
        origin: The store that it sends from, which is told the backend: it may be that store's own receiver.

    Raises:
        ValueError: The address cannot be one.
        OSError: The certificate cannot be read.
    """
    parts = urlsplit(destination.url)
    if parts.scheme not in _PORTS or not parts.hostname:
        message = f"expected an address such as http://localhost:4318, found {destination.url!r}"
        raise ValueError(message)
    _ = parts.port  # a bad one raises here
    if origin:
        destination = replace(destination, headers={HEADER: origin, **destination.headers})
    return GrpcSender(destination) if destination.protocol == GRPC else HttpSender(destination)


def load(protocol: str) -> None:
    """Import now what the first request would."""
    for name in ("trace.v1.trace", "logs.v1.logs", "metrics.v1.metrics"):
        import_module(f"opentelemetry.proto.collector.{name}_service_pb2")
    if protocol == GRPC:
        import_module("grpc")
        import_module("google.rpc.error_details_pb2")


class HttpSender:
    """OTLP by HTTP, protobuf."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination
        self._parts = urlsplit(destination.url)
        self._tls: ssl.SSLContext | None = None
        if self._parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=destination.certificate)
            if destination.client_certificate is not None:
                self._tls.load_cert_chain(destination.client_certificate, destination.client_key)
        self._connection: http.client.HTTPConnection | None = None
        self._headers = {"Content-Type": "application/x-protobuf", "User-Agent": "otel-llm"}
        if destination.compressed:
            self._headers["Content-Encoding"] = "gzip"
        self._headers |= destination.headers

    def send(self, signal: str, request: bytes) -> Answer:
        """Send ``request``; a kept connection that the backend has closed meanwhile is opened anew, once."""
        body = gzip.compress(request, 5) if self._to.compressed else request
        fresh = self._connection is None
        try:
            with suppress_instrumentation():
                return self._post(signal, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            if not fresh and isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                return self.send(signal, request)
            if isinstance(error, ssl.SSLCertVerificationError):
                return Answer(verdict=Verdict.STOP, reason=_short(error.verify_message))
            return Answer(verdict=Verdict.AGAIN, reason=_short(str(error) or type(error).__name__))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, signal: str, body: bytes) -> Answer:
        if self._connection is None:
            host, port = self._parts.hostname or "", self._parts.port or _PORTS[self._parts.scheme]
            self._connection = (
                http.client.HTTPSConnection(host, port, timeout=self._to.timeout, context=self._tls)
                if self._tls is not None
                else http.client.HTTPConnection(host, port, timeout=self._to.timeout)
            )
        deadline = time.monotonic() + self._to.timeout
        self._connection.request("POST", self._to.path(signal), body, self._headers)
        response = self._connection.getresponse()
        content = bytearray()
        while len(content) <= MOST_READ and (piece := response.read1(MOST_READ)):
            content += piece
            if time.monotonic() > deadline:
                break
        whole = response.isclosed() or response.length == 0
        response.close()
        if not whole:
            self.close()
        return _judge(signal, response.status, response.headers.get("Retry-After"), bytes(content[:MOST_READ]))


def _judge(signal: str, status: int, retry_after: str | None, content: bytes) -> Answer:
    reason = f"HTTP {status} {_short(content.decode('utf-8', 'replace'))}".strip()
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's range
        return taken(signal, content)
    if status in _RETRYABLE:
        return Answer(verdict=Verdict.AGAIN, wait=_seconds(retry_after), reason=reason)
    if status in _TOO_MUCH:
        return Answer(verdict=Verdict.REFUSED, reason=reason)
    return Answer(verdict=Verdict.UNKNOWN if status in _UNKNOWN else Verdict.STOP, reason=reason)


def taken(signal: str, content: bytes) -> Answer:
    """What the body of a good answer says: partial success, mostly nothing."""
    if not content:
        return Answer(verdict=Verdict.DELIVERED)
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - only where a backend says something
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse  # noqa: PLC0415

    kind, rejected = {
        "spans": (ExportTraceServiceResponse, "rejected_spans"),
        "logs": (ExportLogsServiceResponse, "rejected_log_records"),
        "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    }[signal]
    try:
        partial: Any = kind.FromString(content).partial_success  # type: ignore[attr-defined]
    except DecodeError:
        return Answer(verdict=Verdict.DELIVERED)  # a sink that answers "ok"
    count = max(0, getattr(partial, rejected))
    return Answer(verdict=Verdict.DELIVERED, rejected=count, reason=_short(partial.error_message))


class GrpcSender:
    """OTLP by gRPC."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination
        self._roots, self._shown, self._key = (
            file.read_bytes() if file else None
            for file in (
                destination.certificate,
                destination.client_certificate,
                destination.client_key or destination.client_certificate,
            )
        )
        self._channel: Any = None

    def send(self, signal: str, request: bytes) -> Answer:
        """Send ``request``."""
        import grpc  # noqa: PLC0415 - 140 ms, for those who ask for it

        with suppress_instrumentation():
            if self._channel is None:
                self._channel = self._open(grpc)
            call = self._channel.unary_unary(_METHODS[signal])
            metadata = tuple((name.lower(), value) for name, value in self._to.headers.items())
            try:
                return taken(signal, call(request, timeout=self._to.timeout, metadata=metadata))
            except grpc.RpcError as error:
                return _judge_grpc(grpc, error)

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _open(self, grpc: Any) -> Any:
        parts = urlsplit(self._to.url)
        target = f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"
        options = {
            "options": (("grpc.max_receive_message_length", MOST_READ), ("grpc.max_reconnect_backoff_ms", 5000)),
            "compression": grpc.Compression.Gzip if self._to.compressed else grpc.Compression.NoCompression,
        }
        if parts.scheme == "https":
            credentials = grpc.ssl_channel_credentials(self._roots, self._key, self._shown)
            return grpc.secure_channel(target, credentials, **options)
        return grpc.insecure_channel(target, **options)


def _judge_grpc(grpc: Any, error: Any) -> Answer:
    code, reason = error.code(), _short(f"gRPC {error.code().name} {error.details() or ''}")
    codes = grpc.StatusCode
    wait = _retry_info(error)
    if code in {codes.INVALID_ARGUMENT, codes.RESOURCE_EXHAUSTED} and wait is None:
        return Answer(verdict=Verdict.REFUSED, reason=reason)
    if code is codes.UNIMPLEMENTED:
        return Answer(verdict=Verdict.UNKNOWN, reason=reason)
    later = {codes.CANCELLED, codes.DEADLINE_EXCEEDED, codes.RESOURCE_EXHAUSTED, codes.ABORTED}
    later |= {codes.OUT_OF_RANGE, codes.UNAVAILABLE, codes.DATA_LOSS}
    return Answer(verdict=Verdict.AGAIN if code in later else Verdict.STOP, wait=wait, reason=reason)


def _retry_info(error: Any) -> float | None:
    """The delay that a gRPC status asks for [s]."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - only where a backend refuses
    from google.rpc.error_details_pb2 import RetryInfo  # noqa: PLC0415
    from google.rpc.status_pb2 import Status  # noqa: PLC0415

    said = next((value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin"), b"")
    info = RetryInfo()
    try:
        if any(detail.Unpack(info) for detail in Status.FromString(said).details):
            delay = float(info.retry_delay.ToTimedelta().total_seconds())
            return min(max(0.0, delay), _LONGEST_WAIT)
    except DecodeError:
        pass
    return None


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds [s]: a number or a date."""
    if not retry_after:
        return None
    try:
        return min(max(0.0, float(retry_after)), _LONGEST_WAIT)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _LONGEST_WAIT)


def _short(text: str) -> str:
    """``text`` on one line, printable, bounded: a backend's words go to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_REASON]).strip()
