"""A loopback server that answers in each provider's format, well or badly as the first part of the path says."""

import json
import socket
import struct
import threading
import time

import h2.config
import h2.connection
import h2.events

from conformance import bodies
from conformance.bodies import FIRST_TOKEN, RETRY_AFTER
from parts.ports import wait_until_read

HELD = 60.0
"""Longest that a connection is kept waiting for its client to leave [s]."""

_FORMATS = (
    ("/chat/completions", "chat"),
    ("/responses", "responses"),
    ("/messages", "messages"),
    ("/v1/embeddings", "embeddings"),
    (":generateContent", "gemini"),
    (":streamGenerateContent", "gemini"),
    (":embedContent", "gemini-embeddings"),
    (":batchEmbedContents", "gemini-embeddings"),
    ("/api/chat", "ollama"),
    ("/api/embed", "ollama-embeddings"),
    ("/v2/chat", "cohere"),
    ("/v2/embed", "cohere-embeddings"),
)
_VARIANTS = ("tools", "refusal", "empty")
_BROKEN = ("hang", "reset", "cut")


class Answer:
    """What one request is answered with.

    Attributes:
        behaviour: The first part of the path.
    """

    def __init__(self, path, body):
        path = path.partition("?")[0]
        asked = json.loads(body) if body else {}
        self.behaviour = path.split("/")[1]
        self.known = next((known for ending, known in _FORMATS if path.endswith(ending)), None)
        default = self.known == "ollama"
        self.streamed = path.endswith(":streamGenerateContent") or bool(asked.get("stream", default))
        self._variant = self.behaviour if self.behaviour in _VARIANTS else "plain"
        self._choices = asked.get("n") or (asked.get("generationConfig") or {}).get("candidateCount") or 1
        told = bool((asked.get("stream_options") or {}).get("include_usage"))
        self._usage = "first" if self.behaviour == "usage-first" else "last" if told else "absent"

    @property
    def content_type(self):
        if not self.streamed:
            return "application/json"
        return "application/x-ndjson" if self.known == "ollama" else "text/event-stream"

    def whole(self):
        return bodies.whole(self.known, self._variant, self._choices)

    def pieces(self):
        """The pieces of a stream with the wait before each [s]; a broken one stops behind two tokens."""
        late = FIRST_TOKEN
        seen = 0
        for data, carries in bodies.stream(self.known, self._variant, self._choices, usage=self._usage):
            yield from self._cut(data, late if carries else 0.0)
            if carries:
                late = 0.0
                seen += 1
                if self.behaviour in _BROKEN and seen > 1:
                    return

    def _cut(self, data, wait):
        if self.behaviour == "keep-alive":
            yield b": still here\n\n", wait
        elif self.behaviour == "crlf":
            data = data.replace(b"\n", b"\r\n")
        if self.behaviour == "split":
            for number, byte in enumerate(data):
                yield bytes([byte]), wait if number == 0 else 0.0
        else:
            yield data, wait if self.behaviour != "keep-alive" else 0.0


class Server:
    """Listens until `close`, on HTTP/1.1 and HTTP/2 (prior knowledge); has a full and a closed port too."""

    def __init__(self):
        self._http1 = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._http2 = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self._full, *self._waiting = _full_port()
        self._seen = {}
        for listener, serve in ((self._http1, self._serve), (self._http2, _serve_http2)):
            threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    @property
    def addresses(self):
        """``host:port`` of each port, by what it does."""
        ports = {"http1": self._http1, "http2": self._http2, "refused": self._refusing, "full": self._full}
        return {name: f"127.0.0.1:{one.getsockname()[1]}" for name, one in ports.items()}

    def close(self):
        for one in (self._http1, self._http2, self._refusing, self._full, *self._waiting):
            one.close()

    def _accept(self, listener, serve):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_guarded, args=(serve, connection), daemon=True).start()

    def _serve(self, connection):
        with connection.makefile("rb") as stream:
            while request := _read_request(stream):
                if not self._answer(connection, *request):
                    return

    def _answer(self, connection, path, body):
        """Answer one request; whether the connection goes on."""
        self._seen[path] = attempt = self._seen.get(path, 0) + 1
        answer = Answer(path, body)
        if answer.behaviour in ("silent", "hold"):
            if answer.behaviour == "hold":
                _send_head(connection, 200, "text/plain", "transfer-encoding: chunked")
            return _wait_until_left(connection)
        if answer.behaviour == "failed":
            return _send_error(connection, 500, "internal")
        if answer.behaviour == "busy" and attempt == 1:
            waits = (f"retry-after: {RETRY_AFTER}", f"retry-after-ms: {RETRY_AFTER * 1e3:.0f}")
            return _send_error(connection, 429, "busy", *waits)
        time.sleep(0 if answer.streamed else FIRST_TOKEN)
        if not answer.streamed:
            return _send_whole(connection, 200, answer.whole())
        return _send_stream(connection, answer)


def _guarded(serve, connection):
    try:
        with connection:
            serve(connection)
    except OSError:
        pass  # the client left, as many shapes do


def _full_port():
    """A port whose queue is full, so that connecting to it takes for ever; and what fills it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        one = socket.socket()
        one.settimeout(0)
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    return listener, *waiting


def _read_request(stream):
    line = stream.readline().decode()
    if not line:
        return None
    headers = {}
    while field := stream.readline().decode().strip():
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    return line.split()[1], body


def _send_head(connection, status, kind, *fields):
    lines = (f"HTTP/1.1 {status} Said", f"content-type: {kind}", *fields, "", "")
    connection.sendall("\r\n".join(lines).encode())


def _send_whole(connection, status, body, *fields):
    _send_head(connection, status, "application/json", f"content-length: {len(body)}", *fields)
    connection.sendall(body)
    return True


def _send_error(connection, status, code, *fields):
    error = {"message": "not now", "type": code, "code": code, "status": code.upper()}
    return _send_whole(connection, status, json.dumps({"type": "error", "error": error}).encode(), *fields)


def _send_stream(connection, answer):
    _send_head(connection, 200, answer.content_type, "transfer-encoding: chunked")
    for data, wait in answer.pieces():
        time.sleep(wait)
        connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
    if answer.behaviour == "hang":
        return _wait_until_left(connection)
    if answer.behaviour == "reset":
        wait_until_read(connection)  # a reset overtakes what the client has not read yet
        time.sleep(FIRST_TOKEN)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return False
    connection.sendall(b"0\r\n\r\n")
    return True


def _wait_until_left(connection):
    connection.settimeout(HELD)
    while connection.recv(1000):
        pass
    return False


def _serve_http2(connection):
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    wire.initiate_connection()
    asked = {}
    connection.sendall(wire.data_to_send())
    while data := connection.recv(65_536):
        for event in wire.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                asked[event.stream_id] = [dict(event.headers)[b":path"].decode(), b""]
            elif isinstance(event, h2.events.DataReceived):
                asked[event.stream_id][1] += event.data
            elif isinstance(event, h2.events.StreamEnded):
                _answer_http2(connection, wire, event.stream_id, Answer(*asked[event.stream_id]))
        connection.sendall(wire.data_to_send())


def _answer_http2(connection, wire, stream, answer):
    wire.send_headers(stream, [(":status", "200"), ("content-type", answer.content_type)])
    for data, wait in answer.pieces():
        time.sleep(wait)
        wire.send_data(stream, data)
        connection.sendall(wire.data_to_send())
    wire.end_stream(stream)
