"""What ``otel-llm doctor`` says of otel-llm itself."""

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider

from otel_llm.cli import itself
from otel_llm.store.database import Database
from otel_llm.store.exporters import StoreMetricReader
from otel_llm.store.query import Reader

NAMES = {"pid": "process.pid", "provider": "gen_ai.provider.name", "model": "gen_ai.request.model"}


@pytest.fixture
def told(tmp_path):
    """Makes the findings out of figures: by metric, value and attributes of each series."""

    def tell(*figures):
        database = Database(tmp_path / "otel-llm.db")
        reader = StoreMetricReader(database, 3600)
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("otel_llm")
        by_name = {}
        for name, value, said in figures:
            attributes = {NAMES.get(key, f"otel_llm.self.{key}"): word for key, word in said.items()}
            by_name.setdefault(name, []).append(Observation(value, attributes))
        for name, observations in by_name.items():
            counter = name in ("spans", "errors", "unpriced_calls")
            make = meter.create_observable_counter if counter else meter.create_observable_gauge
            make(f"otel_llm.self.{name}", [lambda _, found=observations: found])
        reader.shutdown()
        database.close(5)
        with Reader(tmp_path / "otel-llm.db") as store:
            return {check.name: check for check in itself.examine(store)}

    return tell


def test_what_the_store_saw_and_kept_is_told_with_its_age(told):
    found = told(
        ("spans", 12, {"part": "store", "state": "seen"}),
        ("spans", 12, {"part": "store", "state": "stored"}),
        ("queue.depth", 3, {"part": "store"}),
    )["own store"]
    assert found.status == "ok"
    assert found.detail.startswith("spans in the hour up to ")
    assert found.detail.endswith(" ago: 12 seen, 12 stored, none dropped; at most 3 waited")


def test_spans_that_were_lost_are_a_warning_with_the_reason(told):
    found = told(
        ("spans", 2000, {"part": "store", "state": "seen"}),
        ("spans", 1500, {"part": "store", "state": "dropped", "reason": "queue_full"}),
    )["own store"]
    assert found.status == "warn"
    assert "1,500 dropped (queue_full 1,500)" in found.detail
    assert found.fix


def test_duplicates_are_no_loss(told):
    found = told(("spans", 1, {"part": "store", "state": "dropped", "reason": "duplicate"}))
    assert found["own store"].status == "ok"


def test_processes_are_added_up(told):
    found = told(
        ("spans", 1, {"part": "alerts", "state": "seen", "pid": 1}),
        ("spans", 2, {"part": "alerts", "state": "seen", "pid": 2}),
    )
    assert ": 3 seen, none dropped" in found["own alerts"].detail


def test_errors_are_told_by_place(told):
    found = told(("errors", 2, {"where": "record.open"}), ("errors", 1, {"where": "probe.read"}))["own errors"]
    assert found.status == "warn"
    assert "record.open 2, probe.read 1" in found.detail


def test_loops_are_told_with_their_state_as_it_was_last(told):
    found = told(
        ("restarts", 0, {"part": "store", "state": "running"}),
        ("restarts", 0, {"part": "energy", "state": "idle"}),
    )["own loops"]
    assert (found.status, found.detail) == ("ok", "energy idle, store running")


def test_a_loop_that_crashed_is_a_warning_with_its_last_error(told):
    found = told(
        ("restarts", 0, {"part": "alerts", "state": "running", "pid": 1}),
        ("restarts", 3, {"part": "alerts", "state": "resting", "reason": "KeyError at engine.py:7", "pid": 2}),
    )["own loops"]
    assert found.status == "warn"
    assert found.detail == "alerts resting (begun again 3 times, last after KeyError at engine.py:7)"
    assert found.fix


def test_threads_are_told_with_their_share_where_they_took_most(told):
    found = told(
        ("cpu.utilization", 0.001, {"part": "store", "pid": 1}),
        ("cpu.utilization", 0.003, {"part": "store", "pid": 2}),
        ("cpu.utilization", 0.0005, {"part": "alerts", "pid": 1}),
    )["own threads"]
    assert "store 0.30%, alerts 0.05%" in found.detail


def test_models_without_a_price_are_told_with_what_helps(told):
    found = told(
        ("unpriced_calls", 2, {"provider": "openai", "model": "new-model"}),
        ("unpriced_calls", 5, {"provider": "anthropic", "model": "newer\nmodel"}),
    )["own prices"]
    assert found.status == "warn"
    assert "anthropic newer model 5, openai new-model 2" in found.detail
    assert "otel-llm[prices]" in found.fix


def test_where_nothing_was_said_there_are_no_findings(tmp_path):
    database = Database(tmp_path / "otel-llm.db")
    database.submit_logs(())
    database.close(5)
    with Reader(tmp_path / "otel-llm.db") as store:
        assert list(itself.examine(store)) == []


def test_processes_that_judge_with_other_hosts_are_counted(told):
    joined = ("fleet.joined", 1, {"pid": 1})
    found = told(joined, ("fleet.joined", 1, {"pid": 2}))["own fleet"]
    assert (found.status, found.detail[:16]) == ("ok", "2 of 2 processes")
    found = told(joined, ("fleet.joined", 0, {"pid": 2}))["own fleet"]
    assert (found.status, found.detail[:16]) == ("warn", "1 of 2 processes")
