"""Otel-llm's own figures are readings like the others."""

import os

from otel_llm import labour, supervisor
from otel_llm.probe.accounts import Accounts, Fate

PID = os.getpid()


def told(accounts, name, now=0.0):
    """Values of a metric, by their attributes without the process."""
    return {
        tuple(value for key, value in one.attributes.items() if key != "process.pid"): one.value
        for one in accounts.read(now)
        if one.name == f"otel_llm.self.{name}"
    }


def test_spans_are_told_by_part_state_and_reason():
    fates = [Fate("store", "seen", 5), Fate("store", "dropped", 2, "queue_full")]
    accounts = Accounts(lambda: fates, dict)
    assert told(accounts, "spans") == {("store", "seen"): 5, ("store", "dropped", "queue_full"): 2}


def test_what_waits_is_told_by_part():
    assert told(Accounts(tuple, lambda: {"store": 3}), "queue.depth") == {("store",): 3}


def test_each_series_names_its_process(monkeypatch):
    monkeypatch.setattr(supervisor, "standing", tuple)
    monkeypatch.setattr(labour, "spent", dict)
    readings = Accounts(tuple, lambda: {"store": 3}).read(0.0)
    assert [one.attributes["process.pid"] for one in readings] == [PID]


def test_threads_have_a_share_from_the_second_reading_on(monkeypatch):
    spent = iter([{"store": 1.0}, {"store": 1.5, "probe": 0.25}])
    monkeypatch.setattr(labour, "spent", lambda: next(spent))
    accounts = Accounts(tuple, dict)
    assert told(accounts, "cpu.utilization", 100.0) == {}
    assert told(accounts, "cpu.utilization", 110.0) == {("store",): 0.05, ("probe",): 0.025}


def test_two_readings_at_once_have_no_share():
    accounts = Accounts(tuple, dict)
    accounts.read(100.0)
    assert told(accounts, "cpu.utilization", 100.0) == {}


def test_background_loops_are_told_with_their_state_and_last_error(monkeypatch):
    stands = [
        supervisor.Standing(name="store", state="running", restarts=0, error=None),
        supervisor.Standing(name="alerts", state="resting", restarts=2, error="KeyError at engine.py:7"),
    ]
    monkeypatch.setattr(supervisor, "standing", lambda: stands)
    assert told(Accounts(tuple, dict), "restarts") == {
        ("store", "running"): 0,
        ("alerts", "resting", "KeyError at engine.py:7"): 2,
    }
