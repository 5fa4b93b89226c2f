"""Every rule by which an outcome is told, and nothing told that nobody measured."""

import pytest

from otel_llm import semconv
from otel_llm.record.account import Attempt, End, draw_up
from otel_llm.record.exchange import Facts, Opening
from otel_llm.record.head import Head

OPENING = Opening(operation="chat", provider="openai", model="m", request={"temperature": 0.5})
ATTEMPT = Attempt(host="10.0.0.1", port=8000, started_at=100.0)
OK = Head(status=200)


class Read:
    """What a reading tells; as little as possible unless said otherwise."""

    def __init__(self, facts=None, **told):
        self.facts = facts or Facts()
        self.is_stream = told.get("is_stream", True)
        self.complete = told.get("complete", False)
        self.chunks = told.get("chunks")
        self.output_chunks = told.get("output_chunks")
        self.max_gap = told.get("max_gap")
        self.first_chunk_at = told.get("first_chunk_at")
        self.first_token_at = told.get("first_token_at")
        self.timed = told.get("timed", True)
        self.truncated = told.get("truncated", False)


def account(  # noqa: PLR0913 - what an account is drawn up from
    end="completed", *, head=OK, reading=None, error=None, opening=OPENING, attempt=ATTEMPT, at=110.0
):
    return draw_up(opening, attempt, head, reading, End(outcome=end, at=at, error_type=error))


@pytest.mark.parametrize(
    ("end", "error", "head", "reading", "outcome", "error_type"),
    [
        ("completed", None, OK, Read(complete=True), "completed", None),
        ("completed", None, OK, Read(), "completed", None),
        ("completed", None, OK, None, "completed", None),
        ("completed", None, Head(status=307, location="/x"), Read(), "completed", None),
        ("completed", None, Head(status=429), Read(), "error", "429"),
        ("abandoned", None, Head(status=500), Read(), "error", "500"),
        ("cancelled", None, Head(status=503), Read(), "error", "503"),
        ("completed", None, Head(status=404), None, "error", "404"),
        ("error", "httpx.ReadError", Head(status=500), Read(), "error", "httpx.ReadError"),
        ("error", "httpx.ConnectError", None, None, "error", "httpx.ConnectError"),
        ("error", None, None, None, "error", "_OTHER"),
        ("abandoned", None, OK, Read(), "abandoned", None),
        ("abandoned", None, OK, Read(complete=True), "completed", None),
        ("abandoned", None, OK, None, "abandoned", None),
        ("cancelled", None, None, None, "cancelled", None),
        ("cancelled", None, OK, Read(), "cancelled", None),
        ("cancelled", None, OK, Read(complete=True), "cancelled", None),
        ("completed", None, OK, Read(Facts(failed=True, error_code="busy")), "error", "busy"),
        ("completed", None, OK, Read(Facts(failed=True)), "error", "_OTHER"),
        ("abandoned", None, OK, Read(Facts(failed=True, error_code="busy"), complete=True), "error", "busy"),
        ("completed", None, OK, Read(Facts(promised=True)), "error", "incomplete_stream"),
        ("completed", None, OK, Read(Facts(promised=True), complete=True), "completed", None),
        ("completed", None, OK, Read(Facts(promised=True), is_stream=False), "completed", None),
        ("abandoned", None, OK, Read(Facts(promised=True)), "abandoned", None),
    ],
)
def test_the_outcome_is_told_by_rule(end, error, head, reading, outcome, error_type):
    call = account(end, head=head, reading=reading, error=error)
    assert (call.outcome, call.error_type) == (outcome, error_type)


def test_what_was_asked_and_where_stands_in_the_call():
    call = account()
    assert (call.operation, call.provider, call.request_model, call.temperature) == ("chat", "openai", "m", 0.5)
    assert (call.server_address, call.server_port, call.status_code) == ("10.0.0.1", 8000, 200)


def test_what_nobody_said_is_absent():
    said = set(account(reading=Read(is_stream=False)).attributes())
    assert said == {
        semconv.OPERATION_NAME,
        semconv.PROVIDER_NAME,
        semconv.REQUEST_MODEL,
        semconv.REQUEST_TEMPERATURE,
        semconv.SERVER_ADDRESS,
        semconv.SERVER_PORT,
        semconv.HTTP_RESPONSE_STATUS_CODE,
        semconv.OUTCOME,
    }


def test_a_call_without_an_answer_has_no_status_code():
    assert account("error", head=None, error="E").status_code is None


def streamed(tokens, *, first=102.0, end="completed", estimated=None, at=110.0, **facts):
    reading = Read(
        Facts(output_tokens=tokens, **facts), complete=True, first_chunk_at=101.0, first_token_at=first, chunks=9
    )
    reading.output_chunks = estimated
    return account(end, reading=reading, at=at)


def test_times_are_counted_from_the_start():
    call = streamed(5)
    assert (call.time_to_first_chunk, call.time_to_first_token, call.stream_chunks) == (1.0, 2.0, 9)


def test_time_per_token_is_of_the_tokens_after_the_first():
    assert streamed(5).time_per_output_token == 2.0


@pytest.mark.parametrize(
    "call",
    [
        streamed(1),
        streamed(0),
        streamed(None),
        streamed(None, estimated=50),
        streamed(5, first=None),
        streamed(5, end="cancelled"),
        streamed(5, first=110.0),
        streamed(5, failed=True),
    ],
    ids=["one", "zero", "unsaid", "estimated", "no first token", "cancelled", "no time", "failed"],
)
def test_time_per_token_is_absent_where_it_was_not_measured(call):
    assert call.time_per_output_token is None


def test_a_whole_answer_has_no_stream_times():
    reading = Read(Facts(output_tokens=5), is_stream=False, first_chunk_at=101.0, first_token_at=101.0)
    call = account(reading=reading)
    assert {call.time_to_first_chunk, call.time_to_first_token, call.time_per_output_token} == {None}
    assert (call.stream_chunks, call.stream_max_gap) == (None, None)


def test_reported_tokens_are_the_providers():
    assert (streamed(5, input_tokens=3).usage_source, streamed(None, input_tokens=3).usage_source) == ("provider",) * 2


def test_a_reported_zero_is_reported():
    assert (streamed(0).output_tokens, streamed(0).usage_source) == (0, "provider")


def test_counted_chunks_are_an_estimate():
    call = streamed(None, estimated=50)
    assert (call.output_tokens, call.usage_source, call.input_tokens) == (50, "estimated", None)


def test_reported_tokens_leave_no_room_for_an_estimate():
    call = streamed(None, estimated=50, input_tokens=3)
    assert (call.output_tokens, call.usage_source) == (None, "provider")


def test_a_call_that_failed_is_not_estimated():
    call = streamed(None, estimated=50, failed=True)
    assert (call.output_tokens, call.usage_source) == (None, None)


def test_finish_reasons_stand_in_the_order_of_the_alternatives():
    assert account(reading=Read(Facts(finish={1: "length", 0: "stop"}))).finish_reasons == ("stop", "length")


def test_the_wait_for_a_connection_is_up_to_the_sending():
    end = End(outcome="completed", at=110.0, sent_at=100.25)
    assert draw_up(OPENING, ATTEMPT, OK, None, end).connection_wait == 0.25
    assert account().connection_wait is None


@pytest.mark.parametrize(
    ("opened", "host", "head", "body", "told"),
    [
        ("openai", "10.0.0.1", None, None, "openai"),
        ("openai", "10.0.0.1", "llama_cpp", None, "llama_cpp"),
        ("openai", "10.0.0.1", None, "vllm", "vllm"),
        ("openai", "api.openai.com", "vllm", "vllm", "openai"),
        ("mine", "10.0.0.1", "vllm", "vllm", "mine"),
        ("groq", "api.groq.com", None, "vllm", "groq"),
    ],
)
def test_a_better_word_for_the_provider_wins_over_the_formats_default_only(opened, host, head, body, told):
    call = account(
        opening=Opening(operation="chat", provider=opened, model="m"),
        attempt=Attempt(host=host, port=443, started_at=0.0),
        head=Head(status=200, provider=head),
        reading=Read(Facts(provider=body)),
    )
    assert call.provider == told


def test_what_the_head_says_stands_in_the_call():
    call = account(head=Head(status=429, remaining_tokens=0, limit_tokens=9, retry_after=1.5, server_queue_time=0.1))
    assert (call.remaining_tokens, call.limit_tokens, call.retry_after, call.server_queue_time) == (0, 9, 1.5, 0.1)


def test_truncation_is_said_only_where_it_happened():
    assert (account(reading=Read(truncated=True)).truncated, account(reading=Read()).truncated) == (True, None)
