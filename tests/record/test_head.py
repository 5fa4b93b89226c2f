"""What the head of an answer says, and what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.record.head import read_head


def head(status=200, **lines):
    return read_head(status, [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()])


def test_an_empty_head_says_nothing():
    one = head()
    assert one.tell({}) == {"status_code": 200}
    assert (one.content_type, one.content_encoding, one.provider) == ("", "", None)


def test_names_are_read_in_any_case():
    one = read_head(200, [(b"Content-Type", b"text/event-stream"), (b"X-RateLimit-Limit-Requests", b"60")])
    assert (one.content_type, one.limit_requests) == ("text/event-stream", 60)


@pytest.mark.parametrize(
    "names",
    [
        (
            *("x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"),
            *("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"),
        ),
        (
            *("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-tokens-limit"),
            *("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-tokens-remaining"),
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_limits_are_read(names):
    one = read_head(200, [(name.encode(), str(value).encode()) for value, name in enumerate(names)])
    found = (one.limit_requests, one.limit_tokens, one.remaining_requests, one.remaining_tokens)
    assert found == (0, 1, 2, 3)


@pytest.mark.parametrize("value", ["", "many", "-1", "1.5", "9" * 30, "1,000", "²"])
def test_a_limit_that_is_no_number_is_not_said(value):
    assert head(x_ratelimit_limit_requests=value).limit_requests is None


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "7", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "today"}, None),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:30", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
    ],
    ids=range(13),
)
def test_the_wait_is_read_in_any_of_its_forms(lines, seconds):
    assert head(429, **lines).retry_after == seconds


def test_the_servers_own_clock_is_in_seconds():
    one = head(x_queue_time="250", x_inference_time="1500", x_compute_type="gpu+optimized", x_compute_time="1.9")
    assert (one.server_queue_time, one.server_decode_time, one.provider) == (0.25, 1.5, "tgi")


@pytest.mark.parametrize(("server", "provider"), [("llama.cpp", "llama_cpp"), ("uvicorn", None), ("vLLM/1", "vllm")])
def test_a_server_that_names_itself_is_known(server, provider):
    assert head(server=server).provider == provider


@pytest.mark.parametrize(
    ("status", "lines", "sent"),
    [
        (307, {"location": "/x"}, True),
        (307, {}, False),
        (200, {"location": "/x"}, False),
        (400, {"location": "/"}, False),
    ],
)
def test_a_redirect_has_a_place_to_go(status, lines, sent):
    assert head(status, **lines).is_redirect is sent


@pytest.mark.parametrize(("status", "failed"), [(200, False), (307, False), (399, False), (400, True), (529, True)])
def test_a_status_from_400_on_is_an_error(status, failed):
    assert head(status).is_error is failed


NAMES = [
    *(b"retry-after", b"retry-after-ms", b"date", b"server", b"x-queue-time", b"content-type", b"content-encoding"),
    *(b"x-ratelimit-limit-tokens", b"x-amzn-bedrock-input-token-count", b"location"),
]


@given(st.lists(st.tuples(st.sampled_from(NAMES) | st.binary(max_size=20), st.binary(max_size=40))))
def test_any_head_is_read(lines):
    read_head(200, lines)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *(("6m0s", 360.0), ("17ms", 0.017), ("1m30.951s", 90.951), ("2h3m", 7380.0), ("1d", 86400.0), ("0s", 0.0)),
        *(("7.66s", 7.66), ("12", 12.0), ("1.5", 1.5), (" 2s ", 2.0), ("1s500ms", 1.5)),
        *(("", None), ("soon", None), ("-1s", None), ("1795382138123", None), ("9" * 400, None), ("nan", None)),
    ],
)
def test_the_time_to_a_reset_is_read_as_it_is_written(said, seconds):
    one = head(x_ratelimit_reset_requests=said)
    assert one.reset_requests == (pytest.approx(seconds) if seconds is not None else None)
    assert not one.tells_limits


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("2026-11-22T21:00:12Z", 12.0), ("2026-11-22T20:00:00Z", 0.0), ("2026-11-22T21:00:12", None), ("later", None)],
)
def test_a_reset_that_is_a_date_is_held_against_the_answers_own(said, seconds):
    one = head(anthropic_ratelimit_tokens_reset=said, date="Sun, 22 Nov 2026 21:00:00 GMT")
    assert one.reset_tokens == seconds
    assert head(anthropic_ratelimit_tokens_reset=said).reset_tokens is None


def test_a_reset_is_no_attribute_of_a_call():
    assert head(x_ratelimit_reset_tokens="1s").tell({}) == {"status_code": 200}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ValidationException", "ValidationException"),
        ("ThrottlingException:http://internal.example/coral/", "ThrottlingException"),
        ("com.amazon.coral.service#AccessDeniedException", "AccessDeniedException"),
        ("no class at all", None),
    ],
)
def test_amazon_tells_the_class_of_an_error_in_the_head(said, code):
    assert read_head(400, [(b"x-amzn-ErrorType", said.encode())]).tell({}).get("error_code") == code


def test_a_call_that_went_well_has_no_error_code():
    assert "error_code" not in read_head(200, [(b"x-amzn-ErrorType", b"ValidationException")]).tell({})
