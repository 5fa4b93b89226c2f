"""What alerts cost, three times the bound allowed for a machine with other work, told in turns of a fixed loop.

The loop, twenty entries of a dictionary, takes 1.1 us where the bounds were measured; ``bench/alerts.py`` says more.
"""

import gc
import math
import random
import sys
import time
import tracemalloc

import pytest
from host_by_hand import START, interpret
from opentelemetry.sdk.trace import TracerProvider

from otel_llm import semconv
from otel_llm.alert import schema
from otel_llm.alert.board import Board
from otel_llm.alert.judge import Judge
from otel_llm.alert.processor import AlertProcessor
from otel_llm.alert.signal import attempt

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
ALLOWANCE = 3.0


def scale():
    entries = {}
    for number in range(20):
        entries[number] = number * 2


def turns(function, rounds=40, times=200):
    """How many turns of the loop ``function`` takes: least CPU time of both, by turns."""
    least = dict.fromkeys((function, scale, int), math.inf)
    tracer = sys.gettrace()
    sys.settrace(None)  # who measures coverage would be measured
    try:
        for _ in range(rounds):
            for one in least:
                began = time.thread_time()
                for _ in range(times):
                    one()
                least[one] = min(least[one], time.thread_time() - began)
    finally:
        sys.settrace(tracer)
    return (least[function] - least[int]) / (least[scale] - least[int])


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


def fifty():
    one = "\n  - {{alert: A{0}, signal: duration, window: 5m, by: [gen_ai.request.model], threshold: {1}}}"
    return interpret("groups:\n- name: g\n  rules:" + "".join(one.format(n, n + 1) for n in range(50))).rules


def test_the_end_of_a_call_is_hardly_dearer(end):
    assert turns(end(**CHAT)) < ALLOWANCE * 1.0


def test_the_end_of_any_other_span_costs_nothing_to_speak_of(end):
    assert turns(end(**{"http.request.method": "GET"})) < ALLOWANCE * 0.1


@pytest.mark.parametrize("rules", [schema.load(None).rules, fifty()], ids=["shipped", "fifty"])
def test_counting_a_call_costs_the_same_however_many_rules_read_it(rules):
    board = Board(rules)
    assert turns(lambda: board.fold(attempt(CHAT, 1.5, failed=False, at=START))) < ALLOWANCE * 5.0


def filled(rules, names, *, key, slots=180, times=5):
    source, board = random.Random(3), Board(rules)  # noqa: S311 - figures, no secrets
    for slot in range(slots):
        for name in names:
            for _ in range(times):
                said = {**CHAT, key: name, semconv.TIME_TO_FIRST_TOKEN: source.lognormvariate(-1, 1)}
                board.fold(attempt(said, source.lognormvariate(0, 1), failed=False, at=START + slot * 5))
    return board


def test_judging_the_shipped_rules_for_ten_models_takes_less_than_fifty_milliseconds():
    rules = schema.load(None).rules
    board = filled(rules, [f"model-{number}" for number in range(10)], key=semconv.REQUEST_MODEL, times=1)
    judge = Judge(rules, board)
    taken = []
    for number in range(3):
        now = START + 900 + 30 * number
        began = time.thread_time()
        judge.tick(now, now)
        taken.append(time.thread_time() - began)
    assert min(taken) < 0.050


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
