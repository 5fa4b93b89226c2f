"""A server on the loopback that does to its clients what servers do not do; each behaviour has a name.

A behaviour writes bytes: nothing stands between it and the socket. `BEHAVIOURS` is the list of them all, by name.
"""

import contextlib
import functools
import gzip
import json
import socket
import struct
import threading
import zlib

import brotli
from backports import zstd

KIND = "application/json"
EVENTS = "text/event-stream"
MIB = 1024 * 1024
MOST_HELD = 64 * 1024
SETTLED = b"SETTLED\n"
LONGEST = 60
"""Most time that a connection waits for its client, and its client for it [s]."""

CHUNK = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
FIRST = CHUNK.replace(b'"content":"x"', b'"role":"assistant","content":""')
LAST = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}\n\n'
END = b"data: [DONE]\n\n"
STREAM = FIRST + CHUNK * 5 + LAST + USAGE + END
ANSWER = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}'
)
PADDING = b"\n" * 64 * 1024
"""More than any client reads ahead: what comes in single bytes and is left early is not by chance read to its end."""

BEHAVIOURS = {}
LARGE = set()
"""Behaviours that send tens of megabytes and more: not for every client."""


def behaviour(function=None, *, large=False):
    """A behaviour's name is its function's; its first line says what it does."""
    if function is None:
        return functools.partial(behaviour, large=large)
    BEHAVIOURS[function.__name__] = function
    if large:
        LARGE.add(function.__name__)
    return function


class Server:
    """Listens until `close`.

    Who connects and sends `SETTLED` is answered with the number of connections so far, once no behaviour has anything
    left to say: what comes next at a client hangs on no race against what came before.
    """

    def __init__(self):
        self.connections = 0
        self._speaking = set()
        self._changed = threading.Condition()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._socket.close()

    def hush(self, connection):
        """Nothing more is said on ``connection``, unless the client asks again."""
        with self._changed:
            self._speaking.discard(connection)
            self._changed.notify_all()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
                connection.settimeout(LONGEST)
                while (wire := self._read(connection, stream)) is not None:
                    self._speaking.add(connection)
                    act = BEHAVIOURS.get(wire.path.split("/")[1], sound)
                    goes_on = act(wire) is not False
                    wire.flush()
                    if not goes_on:
                        break
                    self.hush(connection)
        finally:
            self.hush(connection)  # now that it is closed

    def _read(self, connection, stream):
        line = stream.readline()
        if line == SETTLED:
            self._settle(connection)
            return None
        if not line:
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        if "/early_answer/" in path:
            return Wire(self, connection, method, path)
        length, chunked = 0, False
        while (field := stream.readline().strip()) != b"":
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            chunked |= name.lower() == b"transfer-encoding"
        while chunked and (size := int(stream.readline(), 16)) > 0:
            stream.read(size + 2)
        if chunked:
            stream.readline()
        stream.read(length)
        return Wire(self, connection, method, path)

    def _settle(self, connection):
        """Answer what is no call; connections are taken in the order they came in, so all before it are counted."""
        self.connections -= 1
        with self._changed:
            self._changed.wait_for(lambda: not self._speaking, LONGEST)
        connection.sendall(b"%d\n" % self.connections)


class Wire:
    """One request, and the socket to answer it on.

    What is sent goes out together where a behaviour does not flush in between: that a client has read it when the end
    comes is then no race. (Linux hands over what arrived before a reset, then tells of that.)
    """

    def __init__(self, server, connection, method, path):
        self.server = server
        self.method = method
        self.path = path
        self._connection = connection
        self._held = b""

    def send(self, data):
        self._held += data
        if len(self._held) > MOST_HELD:
            self.flush()

    def flush(self):
        held, self._held = self._held, b""
        self._connection.sendall(held)

    def head(self, *fields, status="200 OK", version="1.1"):
        self.send("\r\n".join([f"HTTP/{version} {status}", *fields, "", ""]).encode("latin-1"))

    def whole(self, body=ANSWER, *fields, kind=KIND, status="200 OK"):
        self.head(f"content-type: {kind}", f"content-length: {len(body)}", *fields, status=status)
        self.send(body)

    def begin(self, *fields, kind=EVENTS):
        self.head(f"content-type: {kind}", "transfer-encoding: chunked", *fields)

    def piece(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self):
        self.send(b"0\r\n\r\n")

    def stream(self, body=STREAM, *fields, kind=EVENTS):
        self.begin(*fields, kind=kind)
        self.piece(body)
        self.end()

    def reset(self):
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def until_left(self):
        """Say nothing more, and keep the connection for as long as the client does."""
        self.flush()
        self.server.hush(self._connection)
        with contextlib.suppress(OSError):
            while self._connection.recv(1000):
                pass
        return False


def chat(**fields):
    """One event of a stream with these fields as they stand."""
    inner = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return b"data: {" + inner.encode("utf-8", "surrogatepass") + b"}\n\n"


@behaviour
def sound(wire):
    """Answers as it should: what the others are measured against."""
    wire.stream()


@behaviour
def sound_whole(wire):
    """Answers with one JSON body as it should."""
    wire.whole()


# --- size ----------------------------------------------------------------------------------------------------------


@behaviour(large=True)
def unbounded_line(wire):
    """One line of 64 MB without an end."""
    wire.begin()
    wire.piece(b'data: {"choices":[{"delta":{"content":"')
    for _ in range(64):
        wire.piece(b"x" * MIB)
    wire.end()


@behaviour(large=True)
def unbounded_body(wire):
    """One JSON string of 64 MB."""
    wire.begin(kind=KIND)
    wire.piece(b'{"model":"m","choices":[{"message":{"content":"')
    for _ in range(64):
        wire.piece(b"x" * MIB)
    wire.piece(b'"},"finish_reason":"stop"}]}')
    wire.end()


@behaviour(large=True)
def endless_stream(wire):
    """Events for as long as the client reads, 200 MB at most."""
    wire.begin()
    block = CHUNK * (MIB // len(CHUNK))
    for _ in range(200):
        wire.piece(block)
    wire.end()


@behaviour(large=True)
def a_million_events(wire):
    """A million small events."""
    wire.begin()
    block = b'data: {"x":1}\n\n' * 10_000
    for _ in range(100):
        wire.piece(block)
    wire.end()


@behaviour(large=True)
def endless_whitespace(wire):
    """Blank lines, 32 MB of them, and then an answer."""
    wire.begin(kind=KIND)
    for _ in range(32):
        wire.piece(b" \n" * (MIB // 2))
    wire.piece(ANSWER)
    wire.end()


def _bomb(wire, name, squeezed):
    wire.whole(squeezed, f"content-encoding: {name}")


@functools.cache
def _zeros():
    return b'{"x":"' + b"0" * (100 * MIB) + b'"}'


@functools.cache
def _squeezed(name):
    squeeze = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}.get(name)
    return squeeze(_zeros()) if squeeze else brotli.compress(_zeros(), quality=1)


@behaviour(large=True)
def gzip_bomb(wire):
    """100 MB of zeros in 100 kB of gzip."""
    _bomb(wire, "gzip", _squeezed("gzip"))


@behaviour(large=True)
def deflate_bomb(wire):
    """100 MB of zeros in 100 kB of deflate."""
    _bomb(wire, "deflate", _squeezed("deflate"))


@behaviour(large=True)
def brotli_bomb(wire):
    """100 MB of zeros in a few bytes of brotli."""
    _bomb(wire, "br", _squeezed("br"))


@behaviour(large=True)
def zstd_bomb(wire):
    """100 MB of zeros in a few kB of zstd."""
    _bomb(wire, "zstd", _squeezed("zstd"))


@behaviour
def nested_encodings(wire):
    """gzip in gzip."""
    wire.whole(gzip.compress(gzip.compress(ANSWER, mtime=0), mtime=0), "content-encoding: gzip, gzip")


@behaviour
def encoding_lie(wire):
    """Says gzip, sends plain JSON."""
    wire.whole(ANSWER, "content-encoding: gzip")


@behaviour
def encoding_unknown(wire):
    """Says an encoding that nobody knows."""
    wire.whole(ANSWER, "content-encoding: rot13")


@behaviour
def encoding_cut(wire):
    """gzip that ends in the middle."""
    body = gzip.compress(STREAM * 50, mtime=0)
    wire.whole(body[: len(body) // 2], "content-encoding: gzip", kind=EVENTS)


# --- content -------------------------------------------------------------------------------------------------------


@behaviour
def invalid_utf8(wire):
    """Bytes that are no UTF-8."""
    wire.stream(FIRST + CHUNK.replace(b"x", b"\xff\xfe\xc3\x28") + LAST + END)


@behaviour
def lone_surrogates(wire):
    """Half a surrogate pair in model, id and text."""
    wire.stream(chat(model='"m\\ud800"', id='"\\udfff"', choices='[{"delta":{"content":"\\ud83d"}}]') + LAST + END)


@behaviour
def nul_bytes(wire):
    """NUL, raw and escaped."""
    wire.stream(b"\0" + chat(model='"m\\u0000"', choices='[{"delta":{"content":"\\u0000"}}]') + b"\0\n\n" + LAST + END)


@behaviour
def not_a_number(wire):
    """NaN and Infinity where numbers stand."""
    wire.stream(CHUNK + chat(usage='{"prompt_tokens":NaN,"completion_tokens":Infinity}', choices="[]") + END)


@behaviour
def huge_integer(wire):
    """A token count of 100,000 digits."""
    digits = "9" * 100_000
    wire.stream(CHUNK + chat(usage=f'{{"prompt_tokens":{digits},"completion_tokens":-1}}', choices="[]") + END)


@behaviour
def deep_nesting(wire):
    """100,000 brackets, one in the other."""
    wire.stream(CHUNK + b'data: {"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n" + END)


@behaviour
def deep_nesting_whole(wire):
    """A body of 100,000 brackets."""
    wire.whole(b"[" * 100_000 + b"]" * 100_000)


@behaviour
def wrong_types(wire):
    """Every field of another type than it should be."""
    wire.stream(chat(id="1", model="[]", choices='{"0":1}', usage='"many"') + chat(choices="[1,null,[]]") + END)


@behaviour
def wrong_content_type(wire):
    """Events under the type of an image."""
    wire.stream(kind="image/png")


@behaviour
def wrong_charset(wire):
    """A charset that does not exist."""
    wire.whole(ANSWER, kind="application/json; charset=klingon")


@behaviour
def duplicate_usage(wire):
    """Usage in three events, each another."""
    wire.stream(FIRST + USAGE + CHUNK + USAGE.replace(b"7", b"8") + LAST + USAGE.replace(b"7", b"9") + END)


@behaviour
def byte_order_mark(wire):
    """A byte-order mark before the first event."""
    wire.stream(b"\xef\xbb\xbf" + STREAM)


@behaviour
def mixed_line_ends(wire):
    """All three line ends in one stream."""
    wire.stream(
        FIRST.replace(b"\n", b"\r\n") + CHUNK.replace(b"\n", b"\r") + CHUNK + LAST.replace(b"\n", b"\r\n") + END
    )


@behaviour
def empty_body(wire):
    """A length of zero."""
    wire.whole(b"")


@behaviour
def no_content(wire):
    """204, which has no body."""
    wire.head(status="204 No Content")


@behaviour
def not_http(wire):
    """Garbage in place of HTTP."""
    wire.send(b"\x16\x03\x01 SSH-2.0-hello\r\n\r\n")
    return False


@behaviour
def html_error(wire):
    """500 with a page for people."""
    wire.whole(b"<html><h1>Bad gateway</h1></html>", kind="text/html", status="500 Oops")


# --- heads ---------------------------------------------------------------------------------------------------------


@behaviour
def header_flood(wire):
    """5,000 header fields."""
    wire.whole(ANSWER, *(f"x-flood-{number}: y" for number in range(5000)))


@behaviour
def huge_header(wire):
    """One header field of 1 MB."""
    wire.whole(ANSWER, "x-huge: " + "y" * MIB)


@behaviour
def odd_headers(wire):
    """Limits and waits that are no numbers, twice and in Latin-1."""
    wire.whole(
        ANSWER,
        *("x-ratelimit-remaining-tokens: \xb2\xb3", "x-ratelimit-remaining-tokens: " + "9" * 5000),
        *("retry-after: Thu, 99 Foo 9999 99:99:99 GMT", "retry-after-ms: 1e999", "server: \xff\xfe"),
    )


@behaviour
def continues(wire):
    """100 before the answer."""
    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.flush()
    wire.whole()


@behaviour
def early_hints(wire):
    """103, five times, before the answer."""
    for _ in range(5):
        wire.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    wire.whole()


@behaviour
def trailers(wire):
    """Header fields behind the body."""
    wire.begin("trailer: x-checksum")
    wire.piece(STREAM)
    wire.send(b"0\r\nx-checksum: 1\r\nx-other: 2\r\n\r\n")


@behaviour
def http_1_0(wire):
    """HTTP/1.0, its end the connection's."""
    wire.head(f"content-type: {EVENTS}", version="1.0")
    wire.send(STREAM)
    return False


@behaviour
def bad_status(wire):
    """A status that is no number."""
    wire.head(status="abc Wrong")
    return False


@behaviour
def odd_status(wire):
    """Status 799."""
    wire.whole(status="799 Odd")


# --- ends ----------------------------------------------------------------------------------------------------------


@behaviour
def length_too_long(wire):
    """Says 100 bytes more than it sends."""
    wire.head(f"content-type: {KIND}", f"content-length: {len(ANSWER) + 100}")
    wire.send(ANSWER)
    return False


@behaviour
def length_too_short(wire):
    """Says 10 bytes fewer than it sends."""
    wire.head(f"content-type: {KIND}", f"content-length: {len(ANSWER) - 10}")
    wire.send(ANSWER)
    return False


@behaviour
def bad_chunk_size(wire):
    """A chunk whose size is no number."""
    wire.begin()
    wire.piece(FIRST)
    wire.send(b"zz\r\nxx\r\n")
    return False


@behaviour
def early_answer(wire):
    """Answers before the request is read."""
    wire.whole(ANSWER, "connection: close")
    return wire.until_left()


@behaviour
def closed_at_once(wire):
    """Closes before any status."""
    return False


@behaviour
def closed_in_head(wire):
    """Closes within the header fields."""
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-str")
    return False


@behaviour
def closed_in_body(wire):
    """Closes within a chunk."""
    wire.begin()
    wire.piece(FIRST + CHUNK)
    wire.send(b"ff\r\ndata: {")
    return False


@behaviour
def reset_in_body(wire):
    """Resets the connection within the body."""
    wire.begin()
    wire.piece(FIRST + CHUNK)
    return wire.reset()


@behaviour
def reset_in_head(wire):
    """Resets the connection within the header fields."""
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-")
    return wire.reset()


@behaviour
def drips(wire):
    """A stream byte by byte."""
    wire.begin()
    for byte in FIRST + CHUNK:
        wire.piece(bytes([byte]))
        wire.flush()
    wire.piece(LAST + PADDING + END)
    wire.end()


@behaviour
def drips_in_head(wire):
    """Head and body byte by byte, without chunks."""
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(ANSWER + PADDING) + ANSWER:
        wire.send(bytes([byte]))
        wire.flush()
    wire.send(PADDING)


@behaviour
def silent(wire):
    """Never says anything."""
    return wire.until_left()


@behaviour
def stalls(wire):
    """Stops within the body and keeps the connection."""
    wire.begin()
    wire.piece(FIRST + CHUNK)
    return wire.until_left()


@behaviour
def open_after_the_end(wire):
    """Keeps the body open behind its end mark."""
    wire.begin()
    wire.piece(STREAM)
    return wire.until_left()


@behaviour
def talks_on(wire):
    """Sends a second answer that nobody asked for."""
    wire.whole()
    wire.whole(b"{}")
    return False


# --- elsewhere -----------------------------------------------------------------------------------------------------


def _redirect(wire, status, target):
    wire.head(f"location: {target}", "content-length: 0", status=status)


@behaviour
def redirect_same_host(wire):
    """307 to a path of its own."""
    _redirect(wire, "307 Go", wire.path.replace("redirect_same_host", "sound", 1))


@behaviour
def redirect_other_host(wire):
    """307 to another name of the same machine."""
    _redirect(wire, "307 Go", f"http://localhost:{wire.server.port}/sound/v1/chat/completions")


@behaviour
def redirect_loop(wire):
    """307 to itself."""
    _redirect(wire, "307 Go", wire.path)


@behaviour
def redirect_get(wire):
    """303, which makes a GET of it."""
    _redirect(wire, "303 See", "/sound/v1/models")


@behaviour
def redirect_nowhere(wire):
    """307 to what is no address."""
    _redirect(wire, "307 Go", "http://[::bad/\xff")


@behaviour
def too_many_requests(wire):
    """429 with a wait of an hour."""
    wire.whole(json.dumps({"error": {"message": "later"}}).encode(), "retry-after: 3600", status="429 Busy")
