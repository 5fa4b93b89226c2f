"""A server on the loopback that answers as the path begins: well, badly, late, in pieces or not at all."""

import base64
import gzip
import json
import socket
import struct
import threading
import zlib

import brotli
from backports import zstd
from dialogues import DIALOGUES
from telling import frame

from parts.ports import wait_until_read

ROLE = {
    "id": "c1",
    "model": "m-1",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
}
TOKEN = {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": "wörd "}, "finish_reason": None}]}
STOP = {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"id": "c1", "model": "m-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
BUSY = {"error": {"message": "try later", "type": "server_error", "code": "busy"}}
WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "wörd"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
}
RESPONSES = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "m-1",
    "status": "completed",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12},
}
RESPONSES_EVENTS = (
    {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**RESPONSES, "status": "in_progress", "usage": None},
    },
    *(
        {
            "type": "response.output_text.delta",
            "sequence_number": 1 + number,
            "item_id": "i1",
            "output_index": 0,
            "content_index": 0,
            "delta": "hi",
            "logprobs": [],
        }
        for number in range(5)
    ),
    {"type": "response.completed", "sequence_number": 6, "response": RESPONSES},
)
CLAUDE = {
    "id": "a1",
    "type": "message",
    "role": "assistant",
    "model": "c-1",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 5},
}
CLAUDE_EVENTS = (
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)


def event(message):
    name = f"event: {message['type']}\n" if "type" in message else ""
    return f"{name}data: {json.dumps(message, ensure_ascii=False)}\n\n".encode()


CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12},
    "metrics": {"latencyMs": 1},
}
CONVERSE_EVENTS = (
    ("messageStart", {"role": "assistant"}),
    *[("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}})] * 5,
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": CONVERSE["usage"], "metrics": {"latencyMs": 1}}),
)


END = b"data: [DONE]\n\n"
STREAM = [event(message) for message in (ROLE, *[TOKEN] * 5, STOP, USAGE)] + [END]


def told(path):
    """The stream of each format's door."""
    events = {"messages": CLAUDE_EVENTS, "responses": RESPONSES_EVENTS}.get(path.rpartition("/")[2])
    return STREAM if events is None else [event(one) for one in events]


class Server:
    """Listens until `close`; `attempts` counts the requests by path."""

    def __init__(self):
        self.attempts = {}
        self.received = []
        self.go_on = threading.Event()
        self._gone = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._gone.set()
        self._socket.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                while Exchange(self, connection).answer(stream):
                    pass
        except OSError:
            pass


class Exchange:
    """One request and its answer."""

    def __init__(self, server, connection):
        self.server = server
        self.connection = connection

    def answer(self, stream):
        """Read a request and answer it; whether the connection goes on."""
        line = stream.readline().decode()
        if not line:
            return False
        path = line.split()[1]
        headers = {}
        while (field := stream.readline().decode().strip()) != "":
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        self.headers = headers
        body = self._read_body(stream, headers)
        self.server.received.append((path, headers, body))
        self.attempt = self.server.attempts[path] = self.server.attempts.get(path, 0) + 1
        return getattr(self, "do_" + path.split("/")[1].replace("-", "_"))(path) is not False

    @staticmethod
    def _read_body(stream, headers):
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while (size := int(stream.readline(), 16)) > 0:
                body += stream.read(size)
                stream.readline()
            stream.readline()
            return body
        return stream.read(int(headers.get("content-length", 0)))

    def head(self, status, *fields):
        lines = [f"HTTP/1.1 {status} Said", *fields, "", ""]
        self.connection.sendall("\r\n".join(lines).encode())

    def whole(self, status, body, *fields):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = (
            ()
            if any(field.lower().startswith("content-type") for field in fields)
            else ("content-type: application/json",)
        )
        self.head(status, f"content-length: {len(data)}", *kind, *fields)
        self.connection.sendall(data)

    def begin(self, *fields):
        self.head(200, "content-type: text/event-stream", "transfer-encoding: chunked", *fields)

    def piece(self, data):
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def stream(self, pieces, *fields):
        self.begin(*fields)
        for data in pieces:
            self.piece(data)
        self.connection.sendall(b"0\r\n\r\n")

    def wait_until_left(self):
        self.connection.settimeout(60)
        while self.connection.recv(1000):
            pass

    def do_whole(self, path):
        if path.endswith("/messages"):
            self.whole(200, CLAUDE)
        else:
            self.whole(200, RESPONSES if path.endswith("/responses") else WHOLE)

    def do_stream(self, path):
        self.stream(told(path))

    def do_plain(self, _path):
        """A stream that tells no usage and has no end marker but its finish reason."""
        self.stream(STREAM[:-2])

    def do_hang(self, path):
        self.begin()
        for data in told(path)[:3]:
            self.piece(data)
        self.wait_until_left()
        return False

    def do_held(self, path):
        """The head alone, and the rest once its reader says so."""
        self.begin()
        self.server.go_on.wait(60)
        self.server.go_on.clear()
        for data in told(path):
            self.piece(data)
        self.connection.sendall(b"0\r\n\r\n")

    def do_silent(self, _path):
        self.wait_until_left()
        return False

    def do_reset(self, _path):
        self.begin()
        for data in STREAM[:3]:
            self.piece(data)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until_read(self.connection)
        threading.Event().wait(0.05)  # an event loop passes on what it has read
        self.connection.close()
        return False

    def do_cut(self, _path):
        self.begin()
        self.piece(STREAM[0])
        self.connection.sendall(b"ff\r\ndata: {")
        return False

    def do_eof(self, _path):
        self.head(200, "content-type: text/event-stream", "connection: close")
        for data in STREAM[:4]:
            self.connection.sendall(data)
        return False

    def do_html(self, _path):
        self.whole(500, b"<html>sk-abcdefghij</html>", "content-type: text/html")

    def do_missing(self, _path):
        self.whole(
            404, {"error": {"message": "no model m", "type": "invalid_request_error", "code": "model_not_found"}}
        )

    def do_inband(self, _path):
        self.stream([*STREAM[:3], event(BUSY)])

    def do_flaky(self, path):
        if self.attempt < 3:
            self.whole(429, BUSY, "retry-after-ms: 30", "x-ratelimit-remaining-requests: 0")
        else:
            self.do_whole(path)

    def do_limited(self, _path):
        """As many tokens are left as the client says."""
        self.whole(200, WHOLE, f"x-ratelimit-remaining-tokens: {self.headers.get('x-left', 1)}")

    def do_redirect(self, path):
        self.head(307, f"location: {path.replace('redirect', 'whole', 1)}", "content-length: 0")

    def do_moved(self, _path):
        self.head(307, "location: /elsewhere/v1/chat/completions", "content-length: 0")

    def do_gzip(self, _path):
        self.encoded("gzip", lambda body: gzip.compress(body, mtime=0))

    def do_deflate(self, _path):
        self.encoded("deflate", zlib.compress)

    def do_br(self, _path):
        self.encoded("br", brotli.compress)

    def do_zstd(self, _path):
        self.encoded("zstd", zstd.compress)

    def do_bedrock(self, path):
        """Bedrock's doors; a model whose name ends with busy is too busy the first time."""
        model, _, door = path.rpartition("/")
        if model.endswith("busy") and self.attempt == 1:
            self.whole(429, {"message": "slow down"}, "x-amzn-errortype: ThrottlingException")
        elif door == "converse":
            self.whole(200, CONVERSE)
        elif door == "invoke":
            self.whole(200, CLAUDE)
        elif door == "converse-stream":
            self.frames(CONVERSE_EVENTS)
        else:
            inner = (base64.b64encode(json.dumps(one).encode()).decode() for one in CLAUDE_EVENTS)
            self.frames(("chunk", {"bytes": one}) for one in inner)

    def frames(self, events):
        self.head(200, "content-type: application/vnd.amazon.eventstream", "transfer-encoding: chunked")
        for name, payload in events:
            self.piece(frame(payload, message_type="event", event_type=name, content_type="application/json"))
        self.connection.sendall(b"0\r\n\r\n")

    def do_dialogue(self, path):
        """What `dialogues` has under the name that follows."""
        answer = DIALOGUES[path.split("/")[2]]
        self.head(200, *answer.fields, "transfer-encoding: chunked")
        for data in answer.pieces:
            self.piece(data)
        self.connection.sendall(b"0\r\n\r\n")

    def encoded(self, name, squeeze):
        body = squeeze(b"".join(STREAM))
        third = len(body) // 3
        self.stream([body[:third], body[third : 2 * third], body[2 * third :]], f"content-encoding: {name}")
