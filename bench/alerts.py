"""What alerts cost: at a span's end, for the thread behind it, at a tick, in memory; and how far percentiles are off.

    python bench/alerts.py            every figure of docs/benchmarks.md's section on alerts

CPU time of this thread, the least of many short rounds, for other work on a shared machine only adds to it. What is
short is told against a fixed loop of twenty dictionary entries too, which the same processor runs in the same rounds.
"""

import argparse
import gc
import math
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from opentelemetry.sdk.trace import TracerProvider

from otel_llm import semconv
from otel_llm.alert import schema
from otel_llm.alert.board import Board
from otel_llm.alert.engine import Engine, _Life
from otel_llm.alert.judge import Judge
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.processor import AlertProcessor, Ended, Intake
from otel_llm.alert.rule import Rule
from otel_llm.alert.ruleset import RuleSet
from otel_llm.alert.signal import attempt
from otel_llm.alert.tenure import Nobody, Tenure
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
    processor.intake.served = True
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    said = {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "openai",
        semconv.REQUEST_MODEL: "gpt-4o",
        semconv.OUTCOME: "completed",
        semconv.USAGE_OUTPUT_TOKENS: 100,
    }
    inference = tracer.start_span("x", attributes=said)
    inference.end()
    other = tracer.start_span("x", attributes={"http.request.method": "GET"})
    other.end()
    compare(
        {
            "the SDK's own span, for scale": lambda: tracer.start_span("x", attributes=said).end(),
            "span end, inference span": lambda: processor.on_end(inference),
            "span start, inference span": lambda: processor.on_start(inference),
            "span end, other span": lambda: processor.on_end(other),
            "span start, other span": lambda: processor.on_start(other),
        }
    )


def folding() -> None:
    """What the thread behind does for a finished call: the engine's own loop, over a hundred of them."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    folds: dict[str, Callable[[], None]] = {}
    for name, rules in (("14 default rules", _shipped()), ("50 rules", _many(50))):
        processor = AlertProcessor(lambda: None)
        processor.intake.served = True
        engine = Engine(processor, RuleSet)
        tenure = Tenure(engine.facts, ledger=MemoryLedger, outlet=Nobody(), gauge_interval=10.0)
        tenure.take(RuleSet(rules=rules), 0.0, 0.0)
        life = _Life(tenure=tenure)
        spans = [tracer.start_span("x", attributes=said) for said in _calls()]
        for span in spans:
            span.end()
            processor.on_end(span)
        folds[f"counting a hundred finished calls, {name}"] = partial(
            _take_up, processor.intake, [*processor.intake.ended] * 10, engine, life
        )
    compare(folds, times=5)


def _take_up(intake: Intake, ended: list[Ended], engine: Engine, life: _Life) -> None:
    intake.ended.extend(ended)
    engine._fold(life, _START)  # noqa: SLF001 - what its thread does


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
                    board.fold(attempt(said, source.lognormvariate(0, 1), failed=False, at=_START + slot * 5))
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


def compare(functions: Mapping[str, Callable[[], None]], times: int = 300) -> None:
    """Print the CPU time of one call of each."""
    found = costs({"": _scale, "empty": lambda: None, **functions}, times)
    for name in functions:
        net = found[name] - found["empty"]
        print(f"{name}: {net * 1e6:.3f} us, {net / (found[''] - found['empty']):.2f} times the fixed loop")


def costs(functions: Mapping[str, Callable[[], None]], times: int = 300, rounds: int = 60) -> dict[str, float]:
    """CPU time of one call of each [s], the least of ``rounds`` in which all take turns."""
    least = dict.fromkeys(functions, math.inf)
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.thread_time()
            for _ in range(times):
                function()
            least[name] = min(least[name], (time.thread_time() - began) / times)
    return least


def _scale() -> None:
    entries: dict[int, int] = {}
    for number in range(20):
        entries[number] = number * 2


def _fill(board: Board, seconds: float) -> None:
    source = random.Random(3)  # noqa: S311 - figures, no secrets
    at = _START
    while at < _START + seconds:
        for said in _calls():
            for _ in range(5):
                board.fold(attempt(said, source.lognormvariate(0, 1), failed=False, at=at))
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
