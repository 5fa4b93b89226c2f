"""The same over HTTP/2: many calls on one connection, each told by itself."""

import asyncio
import socket
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import httpx2
import pytest
from server import STREAM

from otel_llm import semconv

PLAIN = {"http1": False, "http2": True, "trust_env": False, "verify": False}
BODY = {"model": "m", "stream": True}


class Server:
    """Speaks HTTP/2 with prior knowledge; paths with ``hang`` never end, paths with ``reset`` are reset."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._socket.close()

    def _accept(self):
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted):
        wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        wire.initiate_connection()
        paths = {}
        accepted.sendall(wire.data_to_send())
        while data := accepted.recv(65_536):
            for event in wire.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    paths[event.stream_id] = dict(event.headers)[b":path"]
                elif isinstance(event, h2.events.StreamEnded):
                    self._answer(wire, event.stream_id, paths[event.stream_id])
            accepted.sendall(wire.data_to_send())
        accepted.close()

    @staticmethod
    def _answer(wire, stream, path):
        wire.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
        whole = b"hang" not in path and b"reset" not in path
        for data in STREAM if whole else STREAM[:3]:
            wire.send_data(stream, data)
        if whole:
            wire.end_stream(stream)
        if b"reset" in path:
            wire.reset_stream(stream, 2)


@pytest.fixture
def h2_server():
    one = Server()
    yield one
    one.close()


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request):
    return request.param


def told(span):
    return (span.attributes[semconv.OUTCOME], span.attributes.get(semconv.ERROR_TYPE))


def test_a_stream_is_told(recorded, h2_server, library):
    with library.Client(**PLAIN) as client:
        response = client.post(h2_server.base + "/v1/chat/completions", json=BODY)
    assert (response.http_version, response.content) == ("HTTP/2", b"".join(STREAM))
    (span,) = recorded.spans
    assert told(span) == ("completed", None)
    assert (span.attributes[semconv.USAGE_OUTPUT_TOKENS], span.attributes[semconv.STREAM_CHUNKS]) == (5, 8)


def test_calls_on_one_connection_are_told_apart(recorded, h2_server, library):
    async def main():
        async with library.AsyncClient(**PLAIN) as client:

            async def call(number):
                more = {**BODY, "model": f"m{number}"}
                case = ("stream", "hang", "reset")[number % 3]
                async with client.stream("POST", f"{h2_server.base}/{case}/v1/chat/completions", json=more) as response:
                    async for _ in response.aiter_raw():
                        if case == "hang":
                            break

            await asyncio.gather(*(call(number) for number in range(9)), return_exceptions=True)

    asyncio.run(main())
    expected = [("completed", None), ("abandoned", None), ("error", f"{library.__name__}.RemoteProtocolError")]
    assert {span.name: told(span) for span in recorded.wait(9)} == {
        f"chat m{number}": expected[number % 3] for number in range(9)
    }
