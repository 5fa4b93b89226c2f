"""Where a body is cut makes no difference; damage and bombs stop the reading, never more."""

import gzip
import json
import sys
import time
import zlib

import brotli
import msgspec
import pytest
import zstandard
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.record import framing
from otel_llm.record.framing import Framing, Inflater

END = st.sampled_from(["\n", "\r\n", "\r"])
VALUES = st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(), max_size=3)


@st.composite
def events(draw, *, plain=False):
    """A body of server-sent events and the messages in it; ``plain`` holds what `framing.count` promises to count."""
    end = draw(END)
    body = "" if plain else draw(st.sampled_from(["", "\ufeff"]))
    messages = []
    for value in draw(st.lists(VALUES, max_size=8)):
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        kinds = ["", ": comment", "event: x", "id: 7", "retry: 5"]
        for line in draw(st.lists(st.sampled_from(kinds[1:]), max_size=2)):
            body += line + end
        data = text if plain or not draw(st.booleans()) else text.replace(", ", "," + end + "data: ")
        messages.append(data.replace(end + "data: ", "\n").encode() if data != text else text.encode())
        body += f"data:{draw(st.sampled_from([' ', '']))}{data}{end}{end}"
        body += draw(st.sampled_from(["", f": ping{end}{end}", end]))
    if draw(st.booleans()):
        body += f"data: [DONE]{end}{end}"
        messages.append(framing.DONE)
    return body.encode(), messages


@st.composite
def lines(draw):
    end = draw(st.sampled_from(["\n", "\r\n"]))
    values = [json.dumps(value).encode() for value in draw(st.lists(VALUES, max_size=8))]
    blank = draw(st.sampled_from(["", end]))
    return b"".join(value + (end + blank).encode() for value in values), values


def cut(body, places):
    """``body`` in pieces."""
    places = sorted({place % (len(body) + 1) for place in places})
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def read(kind, pieces):
    """All messages of a body that comes in ``pieces``."""
    found, rest = [], b""
    for piece in pieces:
        messages, rest = framing.split(kind, rest + piece)
        found += messages
    return found + framing.finish(kind, rest)


PLACES = st.lists(st.integers(min_value=0, max_value=10_000), max_size=12)


@given(events(), PLACES)
def test_events_are_the_same_wherever_they_are_cut(body, places):
    data, messages = body
    assert read(Framing.EVENTS, cut(data, places)) == messages


@given(lines(), PLACES)
def test_lines_are_the_same_wherever_they_are_cut(body, places):
    data, messages = body
    assert read(Framing.LINES, cut(data, places)) == messages


@given(events())
def test_events_are_the_same_byte_by_byte(body):
    data, messages = body
    assert read(Framing.EVENTS, [data[n : n + 1] for n in range(len(data))]) == messages


@given(events())
def test_an_event_that_the_end_completes_is_a_message(body):
    data, messages = body
    assert read(Framing.EVENTS, [data.rstrip(b"\r\n")]) == messages


@given(st.binary(), PLACES, st.sampled_from([Framing.EVENTS, Framing.LINES]))
def test_any_bytes_give_the_same_wherever_they_are_cut(data, places, kind):
    assert read(kind, cut(data, places)) == read(kind, [data])


def counted(kind, pieces):
    """The messages of a body that comes in ``pieces``, counted as a reading does."""
    total, before = 0, b""
    for piece in pieces:
        total += framing.count(kind, piece, before=before)
        before = (before + piece)[-framing.OVERLAP :]
    return total


@given(events(plain=True), PLACES)
def test_counting_events_counts_the_messages_wherever_they_are_cut(body, places):
    data, messages = body
    if data.isascii():
        assert counted(Framing.EVENTS, cut(data, places)) == len([m for m in messages if m != framing.DONE])


@given(lines(), PLACES)
def test_counting_lines_counts_the_messages_wherever_they_are_cut(body, places):
    data, messages = body
    assert counted(Framing.LINES, cut(data, places)) == len(messages)


def test_an_end_mark_without_a_space_is_no_message():
    assert framing.count(Framing.EVENTS, b"data:{}\n\ndata:[DONE]\n\n", before=b"") == 1


@pytest.mark.parametrize(
    ("content_type", "start", "kind"),
    [
        ("text/event-stream", b"data: {}", Framing.EVENTS),
        ("text/event-stream; charset=utf-8", b"\n", Framing.EVENTS),
        ("TEXT/EVENT-STREAM", b"event: x", Framing.EVENTS),
        ("text/event-stream", b'{"error": 1}', Framing.WHOLE),
        ("application/json", b"data: {}", Framing.EVENTS),
        ("text/plain", b": ping", Framing.EVENTS),
        ("", b"\xef\xbb\xbfdata: {}", Framing.EVENTS),
        ("application/x-ndjson", b"{", Framing.LINES),
        ("application/jsonl", b"{", Framing.LINES),
        ("application/json", b'{"data":', Framing.WHOLE),
        ("text/html", b"<html>", Framing.WHOLE),
        ("", b"idea", Framing.WHOLE),
    ],
)
def test_the_first_bytes_have_the_last_word(content_type, start, kind):
    assert framing.choose(content_type, start) is kind


@pytest.mark.parametrize("mark", [b"data:", b"event:", b"id:", b"retry:"])
def test_too_few_bytes_to_tell_wait_for_more(mark):
    for size in range(1, len(mark)):
        assert framing.choose("application/json", mark[:size]) is None


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def raw_deflate(data):
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def inflate(encoding, pieces, *, limit=10_000_000, modules=sys.modules):
    undo = framing.inflater(encoding, limit, modules)
    return b"".join(part for piece in pieces for part in undo.feed(piece)), undo


@pytest.mark.parametrize("encoding", ENCODERS)
@given(st.binary(), PLACES)
def test_a_compressed_body_is_inflated_wherever_it_is_cut(encoding, data, places):
    found, undo = inflate(encoding, cut(ENCODERS[encoding](data), places))
    assert (found, undo.broken) == (data, False)


@given(st.binary(), PLACES)
def test_a_bare_deflate_stream_is_inflated_wherever_it_is_cut(data, places):
    assert inflate("deflate", cut(raw_deflate(data), places))[0] == data


@given(st.binary(), PLACES)
def test_zstandard_serves_where_it_is_the_one_loaded(data, places):
    found, _ = inflate("zstd", cut(zstandard.compress(data), places), modules={"zstandard": zstandard})
    assert found == data


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_stream_that_is_flushed_piece_by_piece_is_read_as_it_comes(encoding):
    if encoding == "br":
        squeeze = brotli.Compressor()
        pieces = [squeeze.process(b"data: 1\n\n") + squeeze.flush(), squeeze.process(b"data: 2\n\n") + squeeze.flush()]
    elif encoding == "zstd":
        squeeze = zstd.ZstdCompressor()
        pieces = [squeeze.compress(b"data: %d\n\n" % n, squeeze.FLUSH_BLOCK) for n in (1, 2)]
    else:
        squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | (0 if encoding == "deflate" else 16))
        pieces = [squeeze.compress(b"data: %d\n\n" % n) + squeeze.flush(zlib.Z_SYNC_FLUSH) for n in (1, 2)]
    undo = framing.inflater(encoding, 1000, sys.modules)
    assert [b"".join(undo.feed(piece)) for piece in pieces] == [b"data: 1\n\n", b"data: 2\n\n"]


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_bomb_stops_the_reading(encoding):
    found, undo = inflate(encoding, [ENCODERS[encoding](bytes(20_000_000))], limit=1_000_000)
    assert len(found) <= 1_000_000
    assert undo.broken


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_inflated_parts_are_small(encoding):
    undo = framing.inflater(encoding, 10_000_000, sys.modules)
    assert max(map(len, undo.feed(ENCODERS[encoding](bytes(5_000_000))))) <= 1_000_000


@pytest.mark.parametrize("encoding", ENCODERS)
@given(st.binary(min_size=1))
def test_damage_stops_the_reading(encoding, junk):
    body = ENCODERS[encoding](bytes(range(256)) * 8)
    framing.inflater(encoding, 100_000, sys.modules)
    inflate(encoding, [body[:20] + junk + body[20:], b"more"])


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_what_was_never_compressed_is_not_read(encoding):
    found, undo = inflate(encoding, [b'{"usage": {}}', b"more"])
    assert (found, undo.broken) == (b"", True)


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "aes128gcm"])
def test_an_encoding_that_nobody_knows_is_not_read(encoding):
    found, undo = inflate(encoding, [b"abc"])
    assert (found, undo.broken) == (b"", True)


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_without_the_library_that_the_client_needs_too_nothing_is_read(encoding):
    _, undo = inflate(encoding, [ENCODERS[encoding](b"abc")], modules={})
    assert undo.broken


@pytest.mark.parametrize("encoding", ["", "identity", " Identity ,"])
def test_where_nothing_is_encoded_nothing_is_undone(encoding):
    assert framing.inflater(encoding, 1000, {}) is None


def test_the_name_of_an_encoding_is_read_in_any_case():
    assert inflate(" GZip ", [gzip.compress(b"abc")])[0] == b"abc"


def test_a_limit_is_of_all_pieces_together():
    undo = Inflater(lambda piece, _most: piece, 10)
    assert [b"".join(undo.feed(b"1234")) for _ in range(4)] == [b"1234", b"1234", b"", b""]
    assert undo.broken


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": -Infinity}', {"a": float("-inf")}),
        (b'{"a": "\\ud83d"}', {"a": "\ud83d"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": ' + b"9" * 400 + b"}", {"a": int("9" * 400)}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"  {}  ", {}),
        (b"[DONE]", None),
        (b"", None),
        (b"<html>", None),
        (b'{"a": ', None),
        (b'{"a": 1} trailing', None),
        (b"{'a': 1}", None),
        (b'{"a": ' + b"9" * 5000 + b"}", None),
        (b"[" * 100_000 + b"]" * 100_000, None),
        (b'{"a":' * 100_000, None),
    ],
    ids=range(17),
)
def test_json_is_read_as_leniently_as_clients_do(message, value):
    assert framing.decode(message) == value


def test_nan_is_let_pass():
    assert str(framing.decode(b'{"a": NaN}')["a"]) == "nan"


@given(st.binary())
def test_any_message_is_decoded_or_is_none(message):
    framing.decode(message)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=10))
def test_what_json_writes_is_read(value):
    assert framing.decode(msgspec.json.encode(value)) == value if _fits(value) else True


def _fits(value):
    try:
        msgspec.json.encode(value)
    except (ValueError, OverflowError):
        return False
    return True


HEAD = b'{"object": "list", "model": "embed-3", "data": [{"embedding": [0.1, 0.2, 0.'
TAIL = b'3, 0.4]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}'


def test_what_stands_at_both_ends_of_a_large_body_is_salvaged():
    found = framing.salvage(HEAD, TAIL)
    assert (found["model"], found["usage"]["prompt_tokens"]) == ("embed-3", 8)


def test_an_error_that_only_looks_like_one_is_not_salvaged():
    tail = b'"tools":[{"parameters":{"properties":{"error":{"type":"string"}}}}],"status":"completed","usage":{}}'
    assert "error" not in framing.salvage(b"", tail)


def test_an_error_with_a_message_is_salvaged():
    assert framing.salvage(b"", b'x","error": {"message": "overloaded", "code": 529}}')["error"]["code"] == 529


PARTS = [{"id": f"part-{number}", "type": "tool", "status": "incomplete", "model": "other"} for number in range(9)]
OWN = {"id": "own", "model": "m", "type": "message", "status": "completed"}


@pytest.mark.parametrize(
    "body", [{**OWN, "content": PARTS}, {"content": PARTS, **OWN}, {"response": {**OWN, "o": PARTS}}]
)
def test_the_names_of_an_answers_parts_are_not_taken_for_its_own(body):
    raw = json.dumps(body).encode()
    found = framing.salvage(raw[:250], raw[-250:])
    assert {name: found.get(name) for name in OWN} == OWN


def test_the_names_of_parts_alone_say_nothing():
    raw = json.dumps({"content": PARTS}).encode()
    assert not framing.salvage(raw[:250], raw[-250:]).keys() & {"id", "model", "type"}


def test_text_that_quotes_keys_is_not_taken_for_them():
    tail = json.dumps({"content": 'say "usage": {"prompt_tokens": 1} and "error": {"message": "x"}'}).encode()
    assert framing.salvage(b"", tail) == {}


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_salvaging_never_fails(head, tail):
    framing.salvage(head, tail)


@pytest.mark.parametrize("piece", [b'"usage": {', b'"usage": [', b'"', b'"model": "', b'"error":{"error":'])
def test_salvaging_takes_bounded_time(piece):
    tail = piece * (32_768 // len(piece))
    started = time.thread_time()
    framing.salvage(tail[:16_384], tail)
    assert time.thread_time() - started < 2


@pytest.mark.parametrize("size", [1, 7, 20, 64, 1000])
def test_what_parts_count_is_added_up_wherever_they_are_cut(size):
    data = json.dumps([{"token_count": 10**n, "values": [0.5] * 9} for n in range(5)]).encode()
    total, before = 0, b""
    for place in range(0, len(data), size):
        piece = data[place : place + size]
        total += framing.tally(piece, before=before)
        before = (before + piece)[-framing.PART :]
    assert total == 11_111
