"""A judge that takes over reads what all workers counted as far back as rules look: all of it, and never at once."""

import tracemalloc

import pytest
from host_by_hand import START, Clock, Process

from otel_llm.alert.window import FINE, SLOT
from otel_llm.ledger import Shared
from otel_llm.store.ledger import SqliteLedger

HOURS = 6
WORKERS = 8
SLOTS = int((HOURS * 3600 - 60) / SLOT)  # old ones are kept by the minute, and the oldest is not whole
NOW = int(START / SLOT)
MOST = 8_000_000
"""[byte] All of it at once would be 34 MB; page by page it is 1.6 MB."""

RULES = """
groups:
- name: g
  rules:
  - {alert: Errors, signal: error_rate, window: 6h, threshold: 0.5, min_samples: 1}
"""


@pytest.fixture
def judge(tmp_path):
    """Gives a process that has not judged yet, over a store with hours of what others counted."""
    ledger = SqliteLedger(tmp_path / "calls.db", "boot")
    first = Process(RULES, Clock(), lambda: ledger)
    first.step()
    (group,) = first.tenure._names.values()
    for worker in range(WORKERS):
        slots = [
            Shared(
                group=group,
                key=(),
                worker=f"w{worker}",
                number=NOW - ago,
                until=NOW + 1,
                content=[3, 0, 1, {"500": 1}, {}],
                boot="boot",
            )
            for ago in range(SLOTS)
        ]
        ledger.share(slots, START)
    first.leave()
    return Process(RULES, first.clock, lambda: ledger)


def test_who_takes_over_counts_what_all_workers_counted_and_holds_little_of_it_at_once(judge):
    tracemalloc.start()
    try:
        judge.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (series,) = judge.tenure.board.series.values()
    (window,) = series.windows.values()
    assert window.read(NOW, HOURS * 3600.0).attempts == 3 * WORKERS * SLOTS
    assert window.read(NOW, FINE).attempts == 3 * WORKERS * FINE / SLOT
    assert peak < MOST
