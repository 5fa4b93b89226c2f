"""The engine with its thread, real spans of the SDK, and a ledger in memory."""

import os
import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_llm import semconv
from otel_llm.alert import schema
from otel_llm.alert.engine import Engine, Nobody
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.processor import AlertProcessor
from otel_llm.ledger import LedgerError
from parts.rules import interpret
from parts.waiting import least, wait_for

RULES = """
groups:
- name: g
  interval: 1s
  rules:
  - alert: Errors
    signal: error_rate
    window: 30s
    threshold: 0.1
    min_samples: 4
    keep_firing_for: 0s
  - alert: Stuck
    signal: inflight_max_age
    stat: max
    window: 5s
    threshold: 0.5
    keep_firing_for: 0s
"""


def make(load, **settings):
    """An engine with a processor of its own."""
    engines = []
    processor = AlertProcessor(lambda: [engine.start() for engine in engines])
    engines.append(Engine(processor, load, **settings))
    return engines[0]


@pytest.fixture
def told():
    return []


@pytest.fixture
def engine(told):
    engine = make(lambda: interpret(RULES))
    engine.watch(lambda changes: told.extend(said for _, said in changes))
    yield engine
    engine.stop(2.0)


@pytest.fixture
def tracer(engine):
    return traced(engine)


def traced(engine):
    provider = TracerProvider()
    provider.add_span_processor(engine._processor)
    return provider.get_tracer("test")


def call(tracer, **attributes):
    with tracer.start_as_current_span("chat m", attributes={semconv.OPERATION_NAME: "chat", **attributes}):
        pass


def fail(tracer):
    call(tracer, **{semconv.OUTCOME: "error", semconv.ERROR_TYPE: "500"})


def test_failing_calls_are_told_within_seconds(engine, tracer, told):
    for _ in range(5):
        fail(tracer)
    wait_for(lambda: told)
    assert (told[0].labels["alertname"], told[0].annotations["value"]) == ("Errors", "1")


def test_a_call_that_does_not_end_is_told(engine, tracer, told):
    span = tracer.start_span("chat m", attributes={semconv.OPERATION_NAME: "chat"})
    wait_for(lambda: [said.labels["alertname"] for said in told] == ["Stuck"])
    span.end()
    wait_for(lambda: [said.status for said in told] == ["firing", "resolved"])


def test_other_spans_are_not_counted_and_start_no_thread(engine, tracer):
    with tracer.start_as_current_span("GET /"):
        pass
    assert engine._processor.intake.seen == 0
    assert engine._life is None


def test_a_ledger_that_fails_leaves_a_process_to_itself(told):
    broken = [True]

    class Failing(MemoryLedger):
        def lease(self, owner, now):
            if broken[0]:
                message = "disk is gone"
                raise LedgerError(message)
            return super().lease(owner, now)

    engine = make(lambda: interpret(RULES), ledger=Failing)
    engine.watch(lambda changes: told.extend(said for _, said in changes))
    provider = TracerProvider()
    provider.add_span_processor(engine._processor)
    for _ in range(5):
        fail(provider.get_tracer("test"))
    wait_for(lambda: told)
    assert told[0].labels["scope"] == "process"
    assert engine.facts.fallback
    broken[0] = False
    wait_for(lambda: not engine.facts.fallback)
    engine.stop(2.0)


def test_a_rule_file_that_changes_is_taken_up_and_one_with_a_mistake_is_not(tmp_path, caplog):
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    engine = make(lambda: schema.load(file, defaults=False), file=file)
    engine.start()
    wait_for(lambda: engine.facts.rules == 2)
    file.write_text(RULES.replace("threshold: 0.1", "treshold: 0.1"))
    wait_for(lambda: engine.facts.reload_failures == 1)
    assert engine.facts.rules == 2
    file.write_text(RULES.partition("  - alert: Stuck")[0])
    wait_for(lambda: engine.facts.rules == 1)
    engine.stop(2.0)


def test_a_fork_judges_by_itself(engine, tracer):
    fail(tracer)
    wait_for(lambda: engine._processor.intake.taken == 1)
    pid = os.fork()
    if pid == 0:
        try:
            fail(tracer)
            wait_for(lambda: engine._processor.intake.taken == 1)
            os._exit(0 if engine._processor.intake.seen == 1 else 1)
        finally:
            os._exit(1)  # a failure here is told by the parent alone
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_stopping_takes_no_time():
    def stop():
        engine = make(lambda: interpret(RULES))
        fail(traced(engine))
        before = time.monotonic()
        engine.stop(2.0)
        return time.monotonic() - before

    assert least(stop, 1.0) < 1.0


def test_what_waits_is_bounded_and_what_is_lost_is_counted():
    processor = AlertProcessor(lambda: None)
    span = ReadableSpan("chat m", attributes={semconv.OPERATION_NAME: "chat"}, context=INVALID_SPAN_CONTEXT)
    intake = processor.intake
    for _ in range(intake.ended.maxlen + 9):
        processor.on_end(span)
    assert intake.dropped() == 9
    assert len(intake.take()) == intake.ended.maxlen
    assert (intake.dropped(), intake.seen) == (9, intake.ended.maxlen + 9)


def test_a_ledger_that_stands_in_has_nothing_told_again():
    broken, asked = [], []

    class Failing(MemoryLedger):
        def lease(self, owner, now):
            if broken:
                raise LedgerError
            return super().lease(owner, now)

    class Listener(Nobody):
        def address(self, news, firing, owed):  # noqa: ARG002
            asked.append((engine.facts.fallback, [one.labels["alertname"] for one in firing], len(owed)))
            return ()

    engine = make(lambda: interpret(RULES), ledger=Failing, outlet=Listener())
    provider = TracerProvider()
    provider.add_span_processor(engine._processor)
    for _ in range(5):
        fail(provider.get_tracer("test"))
    wait_for(lambda: (False, ["Errors"], 1) in asked)
    broken.append(True)
    engine._life.tenure._kept_at = 0.0
    wait_for(lambda: (True, ["Errors"], 0) in asked)
    assert not [owed for fallback, _, owed in asked if fallback and owed]
    engine.stop(2.0)
