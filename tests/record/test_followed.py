"""Framings that can only be told apart from the start: arrays of objects and frames."""

import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling import begun, frame

from otel_llm.record import framing
from otel_llm.record.followed import START
from otel_llm.record.framing import Framing
from otel_llm.record.providers import gemini

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=5)
CUTS = st.lists(st.integers(min_value=0, max_value=3000), max_size=12)


def in_pieces(kind, body, cuts):
    """The messages of a body that came cut at the given places, and what was left waiting."""
    places = sorted({0, len(body), *(place for place in cuts if place < len(body))})
    messages, rest, mark = [], b"", START
    for start, end in itertools.pairwise(places):
        assert framing.split(kind, rest + body[start:end]) == framing.follow(kind, rest + body[start:end], mark)[:2]
        found, rest, mark = framing.follow(kind, rest + body[start:end], mark)
        messages += found
    return [*messages, *framing.finish(kind, rest)], rest


@given(objects=OBJECTS, cuts=CUTS, indent=st.none() | st.integers(0, 2), ascii_only=st.booleans())
def test_an_array_cut_anywhere_gives_the_same_objects(objects, cuts, indent, ascii_only):
    body = json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    messages, rest = in_pieces(Framing.ARRAY, body, cuts)
    assert messages == framing.split(Framing.ARRAY, body)[0]
    assert [json.loads(message) for message in messages] == objects
    assert rest == b""


@given(objects=OBJECTS, cuts=CUTS)
def test_frames_cut_anywhere_give_the_same_messages(objects, cuts):
    body = b"".join(frame(value, event_type="chunk", message_type="event") for value in objects)
    messages, rest = in_pieces(Framing.FRAMES, body, cuts)
    assert [json.loads(message) for message in messages] == [{"chunk": value} for value in objects]
    assert rest == b""


@given(body=st.binary(max_size=400), cuts=CUTS, kind=st.sampled_from(framing.FOLLOWED))
def test_any_bytes_cut_anywhere_give_the_same_messages(body, cuts, kind):
    assert in_pieces(kind, body, cuts)[0] == framing.split(kind, body)[0]


@given(body=st.binary(max_size=400), kind=st.sampled_from(framing.FOLLOWED))
def test_what_waits_can_be_shortened_whatever_it_is(body, kind):
    assert len(framing.shorten(kind, body)) <= len(body)


@given(
    value=st.dictionaries(st.text(max_size=9), st.text(max_size=600) | st.integers() | st.lists(st.integers())),
    place=st.integers(0, 4000),
)
def test_an_object_that_was_shortened_in_the_middle_keeps_its_shape(value, place):
    body = json.dumps(value).encode()
    shortened = framing.shorten(Framing.ARRAY, body[:place]) + body[place:]
    messages, rest = framing.split(Framing.ARRAY, shortened)
    assert rest == b""
    assert json.loads(messages[0]).keys() == value.keys()


@pytest.mark.parametrize(
    ("content_type", "start", "array", "expected"),
    [
        ("application/vnd.amazon.eventstream", b"\x00\x00", False, Framing.FRAMES),
        ("application/json; charset=UTF-8", b"\r\n[{", True, Framing.ARRAY),
        ("application/json", b"[{", False, Framing.WHOLE),
        ("application/json", b'{"error"', True, Framing.WHOLE),
        ("application/json", b"data: {", True, Framing.EVENTS),
        ("application/stream+json", b"{", False, Framing.LINES),
    ],
)
def test_content_type_and_first_bytes_choose(content_type, start, array, expected):
    assert framing.choose(content_type, start, array=array) is expected


def test_frames_out_of_step_wait_for_ever_and_are_not_guessed_at():
    body = b"\xff" * 100
    assert framing.split(Framing.FRAMES, body) == ([], body)


@pytest.mark.parametrize(
    "inner", [b'"' + b"x" * 60_000, b"[" + b"1," * 30_000, b'["' + b'","' * 20_000, b"[" + b"{}," * 20_000]
)
def test_an_object_that_drips_in_byte_by_byte_is_looked_through_once(inner):
    body = b'[{"a":' + inner
    reading = begun(gemini, array=True)
    started = time.thread_time()
    for position in range(len(body)):
        reading.feed(body[position : position + 1])
    # Looking through it anew at each byte takes 10 s and more.
    assert time.thread_time() - started < 5


def test_headers_of_every_type_are_stepped_over():
    sizes = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
    head = b"".join(b"\x01a" + bytes([kind]) + b"\x00" * size for kind, size in sizes.items())
    head += b"\x01b\x06\x00\x02xy" + b"\x0b:event-type\x07\x00\x01e"
    total = 12 + len(head) + 2 + 4
    body = total.to_bytes(4, "big") + len(head).to_bytes(4, "big") + b"\0" * 4 + head + b"{}" + b"\0" * 4
    assert framing.split(Framing.FRAMES, body) == ([b'{"e":{}}'], b"")
