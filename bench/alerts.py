"""What alerts cost: at a span's end, for the thread behind it, at a tick, in memory; and how far percentiles are off.

    python bench/alerts.py            every figure of docs/benchmarks.md's section on alerts

CPU time of this thread, the median of several rounds; other work on the machine moves it little.
"""

import argparse
import gc
import math
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

from opentelemetry.sdk.trace import TracerProvider

from otel_llm import semconv
from otel_llm.alert import schema
from otel_llm.alert.board import Board
from otel_llm.alert.judge import Judge
from otel_llm.alert.processor import AlertProcessor
from otel_llm.alert.rule import Rule
from otel_llm.alert.signal import attempt
from otel_llm.alert.window import Measure
from otel_llm.document import Document, parse

ROUNDS: Final = 7
MODELS: Final = 10
_START: Final = 1_000_000.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    span_end()
    folding()
    ticks()
    memory()
    percentiles()


def span_end() -> None:
    """What the processor adds to a span's start and end; rules are not looked at there, be they one or fifty."""
    processor = AlertProcessor(lambda: None)
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("bench")
    said = {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "openai",
        semconv.REQUEST_MODEL: "gpt-4o",
        semconv.OUTCOME: "completed",
        semconv.USAGE_OUTPUT_TOKENS: 100,
    }
    plain = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    whole: Callable[[], None] = lambda: plain.start_span("x", attributes=said).end()  # noqa: E731
    print(f"the SDK's own span, for scale: {cost(whole, 2_000) * 1e6:.1f} us")
    for name, attributes in (("inference", said), ("other", {"http.request.method": "GET"})):
        span = tracer.start_span("x", attributes=attributes)
        span.end()
        ended: Callable[[], None] = lambda span=span: processor.on_end(span)  # noqa: E731
        begun: Callable[[], None] = lambda span=span: processor.on_start(span)  # noqa: E731
        empty: Callable[[], None] = lambda: None  # noqa: E731
        floor = cost(empty)
        print(
            f"span end, {name} span: {(cost(ended) - floor) * 1e6:.3f} us; start: {(cost(begun) - floor) * 1e6:.3f} us"
        )


def folding() -> None:
    """What the thread behind does for a finished call."""
    for name, rules in (("14 default rules", _shipped()), ("50 rules", _many(50))):
        board = Board(rules)
        said = _calls()
        at = _START

        def fold(board: Board = board, said: list[dict[str, object]] = said, at: float = at) -> None:
            one = attempt(said[0], 1.5, failed=False, at=at)
            if one is not None:
                board.fold(one)

        print(f"fold, {name}: {cost(fold) * 1e6:.2f} us a span")


def ticks() -> None:
    """What judging costs when every rule is due."""
    for name, rules in (("14 default rules", _shipped()), ("50 rules", _many(50))):
        board = Board(rules)
        _fill(board, seconds=900.0)
        judge = Judge(rules, board)
        taken: list[float] = []
        for number in range(ROUNDS):
            now = _START + 900.0 + 30.0 * number
            began = time.thread_time()
            judge.tick(now, now)
            taken.append(time.thread_time() - began)
        median = statistics.median(taken)
        print(f"tick, {name}, {MODELS} models: {median * 1e3:.1f} ms, {median / 10 * 100:.2f} % of a core every 10 s")


def memory() -> None:
    """What series hold whose longest window is five minutes, after a quarter of an hour."""
    for series in (20, 500):
        gc.collect()
        tracemalloc.start()
        rules = _rules("{alert: A, signal: duration, stat: p95, window: 5m, by: [m], threshold: 1, max_instances: 600}")
        board = Board(rules)
        source = random.Random(1)  # noqa: S311 - figures, no secrets
        for slot in range(180):
            for number in range(series):
                for _ in range(5):
                    said = {semconv.OPERATION_NAME: "chat", "m": f"model-{number}"}
                    one = attempt(said, source.lognormvariate(0, 1), failed=False, at=_START + slot * 5)
                    if one is not None:
                        board.fold(one)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"memory, {board.count()} series, windows of 5 min, a call a second each: {held / 1e6:.1f} MB")


def percentiles() -> None:
    """The greatest error against the sorted values."""
    source = random.Random(2)  # noqa: S311 - figures, no secrets
    values = [source.lognormvariate(0, 1) for _ in range(100_000)]
    measure = Measure()
    for value in values:
        measure.add(value)
    values.sort()
    worst = 0.0
    for fraction in (0.5, 0.9, 0.95, 0.99, 0.999):
        exact = values[math.ceil(fraction * len(values)) - 1]
        worst = max(worst, abs(measure.quantile(fraction) / exact - 1))
    print(f"percentiles, 1e5 log-normal values: at most {worst * 100:.2f} % off")


def cost(function: Callable[[], None], times: int = 20_000) -> float:
    """CPU time of one call [s]."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(times):
            function()
        taken.append((time.thread_time() - began) / times)
    return statistics.median(taken)


def _fill(board: Board, seconds: float) -> None:
    source = random.Random(3)  # noqa: S311 - figures, no secrets
    at = _START
    while at < _START + seconds:
        for said in _calls():
            for _ in range(5):
                one = attempt(said, source.lognormvariate(0, 1), failed=False, at=at)
                if one is not None:
                    board.fold(one)
        at += 5.0


def _calls() -> list[dict[str, object]]:
    source = random.Random(4)  # noqa: S311 - figures, no secrets
    return [
        {
            semconv.OPERATION_NAME: "chat",
            semconv.PROVIDER_NAME: "openai",
            semconv.REQUEST_MODEL: f"model-{number}",
            semconv.OUTCOME: "completed",
            semconv.TIME_TO_FIRST_TOKEN: source.lognormvariate(-1, 1),
            semconv.TIME_PER_OUTPUT_TOKEN: source.lognormvariate(-4, 1),
            semconv.USAGE_INPUT_TOKENS: 100,
            semconv.USAGE_OUTPUT_TOKENS: 50,
        }
        for number in range(MODELS)
    ]


def _shipped() -> tuple[Rule, ...]:
    return schema.load(None).rules


def _many(count: int) -> tuple[Rule, ...]:
    return _rules(
        *(
            f"{{alert: A{number}, signal: duration, stat: p95, window: 5m, by: [gen_ai.request.model],"
            f" threshold: {number + 1}}}"
            for number in range(count)
        )
    )


def _rules(*texts: str) -> tuple[Rule, ...]:
    document = Document(name="bench")
    listed = "".join(f"\n  - {text}" for text in texts)
    parse(f"groups:\n- name: g\n  rules:{listed}\n".encode(), document)
    return schema.interpret([document]).rules


if __name__ == "__main__":
    main()
