"""What a reading tells of an answer, wherever its body was cut, and how little of it is held."""

import json
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.record import framing, reading
from otel_llm.record.providers import anthropic, openai
from otel_llm.record.reading import HELD, Reading

SSE = "text/event-stream"


class Clock:
    """Time stands still until it is moved [s]."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def chunk(content=None, *, index=0, finish=None, **more):
    delta = {"content": content} if content is not None else {}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice], **more}


ROLE = {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
USAGE = {"id": "c1", "model": "m-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def sse(*messages, end="\n", done=True):
    body = "".join(f"data: {json.dumps(message)}{end}{end}" for message in messages)
    return (body + (f"data: [DONE]{end}{end}" if done else "")).encode()


CHAT = (ROLE, chunk("a"), chunk("b"), chunk("c"), chunk(finish="stop"), USAGE)


def read(pieces, *, kind=openai, content_type=SSE, inflater=None, choices=1, gaps=()):
    """A finished reading of ``pieces``; before each the clock moves by its gap, or one second."""
    clock = Clock()
    one = Reading(kind, clock, content_type, inflater)
    for number, piece in enumerate(pieces):
        clock.now += gaps[number] if number < len(gaps) else 1.0
        one.feed(piece)
        assert held(one) <= HELD
    one.finish(choices)
    return one


def held(one):
    """Bytes that a reading holds."""
    return len(one._buffer) + sum(map(len, one._pieces)) + len(one._head)


def cut(body, size):
    return [body[start : start + size] for start in range(0, len(body), size)]


def report(one):
    """Everything but times."""
    return (one.facts, one.is_stream, one.complete, one.chunks, one.output_chunks, one.truncated)


def test_the_first_chunk_is_whatever_comes_first_and_the_first_token_what_carries_output():
    one = read([sse(message, done=False) for message in CHAT])
    assert (one.first_chunk_at, one.first_token_at) == (101.0, 102.0)


def test_a_message_counts_when_it_is_complete():
    one = read([b'data: {"choices": [{"delta": {"content"', b': "a"}}]}\n', b"\n"])
    assert (one.first_chunk_at, one.first_token_at) == (103.0, 103.0)


def test_comments_are_no_chunks():
    one = read([b": ping\n\n", sse(ROLE, done=False)])
    assert one.first_chunk_at == 102.0


def test_the_longest_wait_between_two_pieces_is_told():
    one = read([sse(message, done=False) for message in CHAT], gaps=[9, 1, 0.5, 4, 1])
    assert one.max_gap == 4


def test_one_piece_has_no_gap():
    assert read([sse(*CHAT)]).max_gap is None


def test_a_stream_tells_its_chunks_facts_and_end():
    one = read([sse(*CHAT)])
    assert (one.is_stream, one.complete, one.chunks, one.output_chunks) == (True, True, 6, 3)
    assert (one.facts.input_tokens, one.facts.output_tokens, one.facts.finish) == (7, 3, {0: "stop"})


def test_a_whole_body_has_no_chunks_and_no_first_ones():
    body = {"id": "c1", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
    one = read([json.dumps(body).encode()], content_type="application/json")
    assert (one.is_stream, one.chunks, one.output_chunks, one.first_chunk_at, one.first_token_at) == (
        False,
        *[None] * 4,
    )
    assert one.complete


@pytest.mark.parametrize(
    ("before", "tokens", "after"),
    [
        ([ROLE], 1, [chunk(finish="stop")]),
        ([ROLE], 50, [chunk(finish="stop"), USAGE]),
        ([], 3, []),
        ([ROLE, chunk("")], 40, [chunk(""), chunk(finish="length")]),
        ([ROLE] * 5, 13, [chunk(finish="stop")] * 3),
        ([ROLE], 300, [chunk(finish="stop")]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("size", [33, 10**7])
def test_the_number_of_output_chunks_is_the_true_one(before, tokens, after, end, done, size):
    one = read(cut(sse(*before, *[chunk("a")] * tokens, *after, end=end, done=done), size))
    assert (one.output_chunks, one.chunks) == (tokens, len(before) + tokens + len(after))


def test_a_stream_that_is_left_early_counts_what_came():
    body = sse(ROLE, *[chunk("a")] * 20, done=False)
    one = read([body, b'data: {"choices": [{"del'])
    assert (one.output_chunks, one.complete) == (20, False)


def test_a_stream_without_output_has_no_output_chunks():
    one = read([sse(ROLE, chunk(finish="stop"))])
    assert (one.first_chunk_at, one.first_token_at, one.output_chunks) == (101.0, None, None)


@pytest.mark.parametrize("size", [100, 4096, 65_536, 10**7])
def test_a_long_stream_is_held_in_part_and_told_in_full(size):
    body = sse(ROLE, *[chunk("word " * 10)] * 2000, chunk(finish="stop"), USAGE)
    one = read(cut(body, size))
    assert len(body) > 4 * HELD
    assert (one.facts.input_tokens, one.facts.finish, one.complete) == (7, {0: "stop"}, True)
    assert (one.chunks, one.output_chunks) == (2003, 2000)
    assert not one.truncated


@pytest.mark.parametrize("size", [4096, 65_536, 10**7])
def test_a_long_stream_of_lines_is_counted_right(size):
    line = {"model": "m-1", "choices": [{"delta": {"content": "word " * 10}}]}
    body = b"".join(json.dumps(message).encode() + b"\n" for message in [line] * 1500 + [chunk(finish="stop")])
    one = read(cut(body, size), content_type="application/x-ndjson")
    assert (one.chunks, one.output_chunks, one.facts.finish) == (1501, 1500, {0: "stop"})


def responses(completed):
    created = {"type": "response.created", "sequence_number": 0, "response": {"id": "r1", "status": "in_progress"}}
    delta = {"type": "response.output_text.delta", "sequence_number": 1, "delta": "a"}
    return [created, *[delta] * 30, {"type": "response.completed", "sequence_number": 2, "response": completed}]


def large_response(size, status="completed"):
    tools = [{"name": "f", "parameters": {"properties": {"error": {"type": "string"}, "usage": {"type": "string"}}}}]
    return {
        "id": "r1",
        "object": "response",
        "status": status,
        "model": "m-2",
        "output": [{"type": "message", "status": "completed", "content": [{"text": "x" * size}]}],
        "tools": tools,
        "usage": {"input_tokens": 5, "output_tokens": 900, "output_tokens_details": {"reasoning_tokens": 12}},
        "metadata": {},
    }


@pytest.mark.parametrize("size", [1000, 65_536, 10**7])
@pytest.mark.parametrize("length", [10, 40_000, 200_000])
def test_a_last_event_that_outgrows_what_is_held_still_tells_its_usage(size, length):
    events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in responses(large_response(length))]
    one = read(cut("".join(events).encode(), size))
    facts = one.facts
    assert (facts.input_tokens, facts.output_tokens, facts.reasoning_output_tokens) == (5, 900, 12)
    assert (one.complete, facts.failed, facts.finish) == (True, False, {0: "completed"})
    assert one.chunks == 32


@pytest.mark.parametrize("size", [999, 1000, 1001, 65_536, 10**7])
def test_an_item_that_is_complete_and_too_large_to_be_held_completes_no_answer(size):
    item = {"id": "i", "type": "message", "content": [{"text": "x" * 200_000}], "status": "completed"}
    done = {"type": "response.output_item.done", "sequence_number": 2, "item": item}
    one = read(cut(sse(*responses({})[:-1], done, done=False), size))
    assert (one.facts.finish, one.complete, one.facts.promised) == ({}, False, True)


@pytest.mark.parametrize("size", [1000, 65_536, 10**7])
def test_a_first_event_that_outgrows_what_is_held_does_not_hide_the_first_token(size):
    events = responses(large_response(10))
    events[0]["response"]["instructions"] = "x" * 200_000
    body = sse(*events, done=False)
    one = read(cut(body, size))
    assert one.first_chunk_at is not None
    assert one.first_token_at is not None
    assert (one.facts.output_tokens, one.chunks, one.complete) == (900, 32, True)


@pytest.mark.parametrize("size", [1000, 10**7])
def test_a_large_whole_body_still_tells_its_usage(size):
    body = {
        "object": "list",
        "model": "embed",
        "data": [{"embedding": [0.123456789] * 20_000}],
        "usage": {"prompt_tokens": 8},
    }
    one = read(cut(json.dumps(body).encode(), size), content_type="application/json")
    assert (one.facts.response_model, one.facts.input_tokens, one.truncated) == ("embed", 8, True)


def test_a_large_anthropic_stream_tells_its_usage():
    start = {"type": "message_start", "message": {"id": "a1", "model": "c", "usage": {"input_tokens": 3}}}
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word " * 20}}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 55}}
    body = sse(start, *[delta] * 2000, stop, {"type": "message_stop"}, done=False)
    one = read(cut(body, 5000), kind=anthropic)
    assert (one.facts.input_tokens, one.facts.output_tokens, one.complete) == (3, 55, True)


@pytest.mark.parametrize("size", [17, 10**7])
def test_every_alternative_tells_how_it_ended(size):
    ends = [chunk(index=0, finish="stop"), *[chunk("b", index=1)] * 30, chunk(index=1, finish="length")]
    one = read(cut(sse(ROLE, chunk("a"), *ends), size), choices=2)
    assert one.facts.finish == {0: "stop", 1: "length"}


def test_an_odd_ending_is_looked_for_in_all_that_is_held():
    noise = [{"id": "c1", "choices": []}] * 40
    one = read([sse(ROLE, chunk("a"), chunk(finish="stop"), *noise)])
    assert (one.facts.finish, one.output_chunks) == ({0: "stop"}, 1)


def test_lines_under_a_content_type_that_does_not_say_so_are_read():
    body = "\n".join(json.dumps(message) for message in (chunk("a"), chunk(finish="stop")))
    assert read([body.encode()], content_type="application/json").facts.finish == {0: "stop"}


@pytest.mark.parametrize("body", [b"", b" \n ", b"<html>no</html>", b"{", b"null", b"[]", b"[1]", b'"x"', b"\xff\xfe"])
def test_a_body_that_says_nothing_tells_nothing(body):
    one = read([body], content_type="application/json")
    assert (one.facts, one.is_stream, one.output_chunks) == (type(one.facts)(), False, None)


def test_a_body_of_blanks_is_not_held():
    one = read([b" " * 1000] * 1000, content_type="application/json")
    assert not one.complete


def test_pieces_without_bytes_do_not_add_up():
    one = Reading(openai, Clock(), SSE, None)
    one.feed(sse(*CHAT, done=False))
    for _ in range(3 * HELD):
        one.feed(b"")
    assert len(one._pieces) <= HELD
    one.finish(1)
    assert (one.facts.output_tokens, one.chunks) == (3, 6)


@pytest.mark.parametrize("size", [1, 10, 10**7])
def test_a_compressed_stream_is_read(size):
    squeeze = zlib.compressobj(wbits=31)
    body = squeeze.compress(sse(*CHAT)) + squeeze.flush()
    one = read(cut(body, size), inflater=framing.inflater("gzip", reading.INFLATED, sys.modules))
    assert (one.facts.output_tokens, one.output_chunks, one.truncated) == (3, 3, False)


def test_a_bomb_is_left_alone_and_said_to_be_truncated():
    squeeze = zlib.compressobj(wbits=31)
    body = squeeze.compress(bytes(30_000_000)) + squeeze.flush()
    one = read([body], inflater=framing.inflater("gzip", 1_000_000, sys.modules))
    assert one.truncated


MESSAGES = st.sampled_from(
    [
        ROLE,
        chunk("a"),
        chunk("b" * 300),
        chunk(finish="stop"),
        chunk("x", index=1, finish="length"),
        USAGE,
        {"error": {"message": "no", "code": "busy"}},
        {"id": "c1", "choices": []},
    ]
)


@given(
    st.lists(MESSAGES, max_size=40),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.lists(st.integers(min_value=0, max_value=20_000), max_size=10),
    st.sampled_from([SSE, "application/json", "text/plain", ""]),
    st.integers(min_value=0, max_value=60),
)
def test_all_that_is_told_but_times_is_the_same_wherever_the_body_is_cut(messages, end, done, places, kind, lost):
    body = sse(*messages, end=end, done=done)
    body = body[: len(body) - lost] if lost < len(body) else body
    places = sorted({place % (len(body) + 1) for place in places})
    pieces = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    assert report(read(pieces, content_type=kind)) == report(read([body], content_type=kind))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [SSE, "application/json", ""])
def test_a_stream_is_known_by_its_first_bytes_however_few_come_at_once(size, kind):
    assert report(read(cut(sse(*CHAT), size), content_type=kind)) == report(read([sse(*CHAT)]))


@given(st.binary(max_size=300), st.sampled_from([SSE, "application/json", "application/x-ndjson"]), st.booleans())
def test_any_bytes_are_read_without_an_error(body, kind, claude):
    read(cut(body, 7), content_type=kind, kind=anthropic if claude else openai)


def test_a_stream_that_never_carries_output_is_not_read_to_its_end_but_counted(monkeypatch):
    monkeypatch.setattr(reading, "_MOST_SILENT", 10)
    read_of = []

    class Format:
        @staticmethod
        def read(body, facts):
            read_of.append(body)
            return openai.read(body, facts)

    silent = [{"x": number} for number in range(1000)]
    one = read([sse(*silent, done=False), sse(chunk("a"), chunk(finish="stop"), USAGE)], kind=Format)
    assert len(read_of) < 30
    assert one.chunks == 1003
    assert (one.first_token_at, one.output_chunks) == (None, None)
    assert (one.facts.output_tokens, one.facts.done) == (3, True)
