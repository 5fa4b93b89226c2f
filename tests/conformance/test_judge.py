"""The judge itself: what it lets pass and what it calls by name."""

from dataclasses import replace

import pytest

from conformance.judge import judge
from conformance.shapes import Truth
from otel_llm import semconv

TRUE = Truth(tokens=(11, 7), cached=4, first_token=0.03, finish=("stop",), lasts=0.03)
SAID = {
    semconv.OPERATION_NAME: "chat",
    semconv.REQUEST_MODEL: "m-1",
    semconv.OUTCOME: "completed",
    semconv.USAGE_INPUT_TOKENS: 11,
    semconv.USAGE_OUTPUT_TOKENS: 7,
    semconv.USAGE_CACHE_READ_INPUT_TOKENS: 4,
    semconv.TIME_TO_FIRST_TOKEN: 0.035,
    semconv.RESPONSE_FINISH_REASONS: ["stop"],
}


def span(status="UNSET", duration=0.05, **changed):
    said = {**SAID, **{getattr(semconv, name): value for name, value in changed.items()}}
    kept = {name: value for name, value in said.items() if value is not None}
    return {"status": status, "duration": duration, "attributes": kept}


def test_a_span_that_says_all_is_ok():
    assert judge([span()], TRUE) == "ok"


def test_spans_that_are_no_inference_count_for_nothing():
    assert (
        judge([{"status": "UNSET", "duration": 1.0, "attributes": {"http.request.method": "POST"}}], TRUE) == "no span"
    )


def test_two_spans_for_one_attempt_are_too_many():
    assert judge([span(), span()], TRUE) == "2 spans for 1 attempt"


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"USAGE_INPUT_TOKENS": None, "USAGE_OUTPUT_TOKENS": None}, "no tokens"),
        ({"USAGE_OUTPUT_TOKENS": 16}, "tokens 11/16 for 11/7"),
        ({"USAGE_CACHE_READ_INPUT_TOKENS": None}, "no cached tokens"),
        ({"TIME_TO_FIRST_TOKEN": None}, "no first token"),
        ({"TIME_TO_FIRST_TOKEN": None, "RESPONSE_TIME_TO_FIRST_CHUNK": 0.001}, "first chunk, not token"),
        ({"TIME_TO_FIRST_TOKEN": 0.001}, "wrong first token"),
        ({"RESPONSE_FINISH_REASONS": None}, "no finish reason"),
        ({"RESPONSE_FINISH_REASONS": ["error"]}, "finish reason `error` for `stop`"),
        ({"OUTCOME": "abandoned"}, "told as abandoned"),
        ({"status": "ERROR"}, "status ERROR"),
        ({"status": "ERROR", "OUTCOME": None}, "told as error"),
        ({"duration": 0.001, "TIME_TO_FIRST_TOKEN": 0.03}, "ends before the answer, wrong first token"),
        ({"REQUEST_MODEL": None}, "no model"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changed, word):
    assert judge([span(**changed)], TRUE) == word


def test_a_resend_count_tells_the_attempts_of_a_single_span():
    twice = replace(TRUE, attempts=2)
    assert judge([span()], twice) == "1 of 2 attempts"
    assert judge([span(HTTP_REQUEST_RESEND_COUNT=1)], twice) == "ok"


def test_tokens_that_nobody_counted_have_to_say_so():
    untold = replace(TRUE, tokens=None, cached=None, countable=True)
    guess = {"USAGE_INPUT_TOKENS": None, "USAGE_CACHE_READ_INPUT_TOKENS": None}
    assert judge([span(**guess)], untold) == "output tokens that nobody counted"
    assert judge([span(**guess, USAGE_SOURCE="estimated")], untold) == "ok"
    assert judge([span(**guess, USAGE_OUTPUT_TOKENS=None)], untold) == "no tokens"


def test_an_error_has_a_type_and_where_it_was_told_a_status():
    failed = Truth(outcome="error", status=500)
    bare = {"attributes": {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "m-1"}, "duration": 1.0}
    assert judge([{**bare, "status": "ERROR"}], failed) == "no error type, no status code"
