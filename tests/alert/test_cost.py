"""What alerts cost, as far as it can be counted: functions that run, bytes that are held. `bench` has the times."""

import gc
import random
import sys
import tracemalloc

import pytest
from host_by_hand import START
from opentelemetry.sdk.trace import TracerProvider

from otel_llm import semconv
from otel_llm.alert.board import Board
from otel_llm.alert.processor import AlertProcessor
from otel_llm.alert.signal import attempt
from parts.rules import interpret

CHAT = {
    semconv.OPERATION_NAME: "chat",
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "m",
    semconv.OUTCOME: "completed",
    semconv.TIME_TO_FIRST_TOKEN: 0.4,
    semconv.TIME_PER_OUTPUT_TOKEN: 0.02,
    semconv.USAGE_INPUT_TOKENS: 100,
    semconv.USAGE_OUTPUT_TOKENS: 50,
}


def calls_made(function):
    """How many functions run, Python's own among them: the same on any machine."""
    made = []
    function()  # what happens once has happened
    gc.disable()  # a collection runs what others left behind
    sys.setprofile(lambda _frame, event, _what: made.append(event) if event in {"call", "c_call"} else None)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return len(made) - 2  # the function itself, and setprofile


@pytest.fixture
def end():
    processor = AlertProcessor(lambda: None)
    processor.intake.served = True
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")

    def make(**attributes):
        span = tracer.start_span("x", attributes=attributes)
        span.end()
        return lambda: processor.on_end(span)

    return make


def several(count):
    one = "\n  - {{alert: A{0}, signal: duration, window: 5m, by: [gen_ai.request.model], threshold: {1}}}"
    return interpret("groups:\n- name: g\n  rules:" + "".join(one.format(n, n + 1) for n in range(count))).rules


def test_any_other_span_is_looked_at_and_left(end):
    assert calls_made(end(**{"http.request.method": "GET"})) <= 1


def test_the_end_of_a_call_is_handed_on_and_no_more(end):
    assert calls_made(end(**CHAT)) <= 10  # to count it takes eighty


def test_counting_a_call_takes_as_much_for_fifty_rules_of_a_signal_as_for_one():
    def fold(board):
        return lambda: board.fold(attempt(CHAT, 1.5, failed=False, at=START))

    assert calls_made(fold(Board(several(50)))) == calls_made(fold(Board(several(1))))


def filled(rules, names, *, key, slots=180, times=5):
    source, board = random.Random(3), Board(rules)  # noqa: S311 - figures, no secrets
    for slot in range(slots):
        for name in names:
            for _ in range(times):
                said = {**CHAT, key: name, semconv.TIME_TO_FIRST_TOKEN: source.lognormvariate(-1, 1)}
                board.fold(attempt(said, source.lognormvariate(0, 1), failed=False, at=START + slot * 5))
    return board


@pytest.mark.slow
@pytest.mark.parametrize(("series", "most"), [(20, 3e6), (500, 50e6)])
def test_series_take_little_memory(series, most):
    """Of five minutes, with a call a second each."""
    rule = "{alert: A, signal: duration, stat: p95, window: 5m, by: [model], threshold: 1, max_instances: 600}"
    rules = interpret(f"groups: [{{name: g, rules: [{rule}]}}]").rules
    gc.collect()
    tracemalloc.start()
    board = filled(rules, [f"model-{number}" for number in range(series)], key="model", slots=70)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert board.count() == series
    assert held < most
