"""Ask the formats and read their answers without a wire: what tests of a single format need."""

import itertools
import json
import struct
import zlib

from otel_llm.record.exchange import Request
from otel_llm.record.reading import Reading
from otel_llm.record.registry import Registry
from otel_llm.record.settings import Config

REGISTRY = Registry.load(Config())


def opened(path, body=None, host="10.0.0.7", port=8000, registry=REGISTRY):
    """The format that takes a request and what it asks, or None."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return registry.open(Request(host=host, port=port, path=path, headers={}, body=raw))


def asked(path, body=None, host="10.0.0.7", port=8000):
    """What a request asks; it must be an inference."""
    found = opened(path, body, host, port)
    assert found is not None, f"{host}{path} is taken for no inference"
    return found[1]


def begun(known, content_type="application/json", *, array=False):
    """An answer of a format, before its first piece; the clock shows one second more at each."""
    return Reading(known, itertools.count().__next__, content_type, None, array=array)


def told(known, *pieces, content_type="application/json", array=False):
    """An answer of a format that came in pieces, read to its end."""
    reading = begun(known, content_type, array=array)
    for piece in pieces:
        reading.feed(piece if isinstance(piece, bytes) else json.dumps(piece).encode())
    reading.finish(1)
    return reading


def lines(*messages):
    return [json.dumps(message).encode() + b"\n" for message in messages]


def events(*messages):
    return [b"data: " + json.dumps(message).encode() + b"\n\n" for message in messages]


def frame(payload, **headers):
    """One frame of an AWS event stream; names of headers without their colon, hyphens as underscores."""
    head = b"".join(
        bytes([len(name) + 1])
        + f":{name.replace('_', '-')}".encode()
        + b"\x07"
        + len(value).to_bytes(2, "big")
        + value.encode()
        for name, value in headers.items()
    )
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    prelude = struct.pack(">II", 12 + len(head) + len(body) + 4, len(head))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + body
    return whole + struct.pack(">I", zlib.crc32(whole))
