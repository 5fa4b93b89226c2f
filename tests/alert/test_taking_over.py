"""A judge that takes over reads what all workers counted as far back as rules look: all of it, and never at once."""

import tracemalloc

import pytest
from host_by_hand import START, Clock, Process

from otel_llm import semconv
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


BY_MODEL = """
groups:
- name: g
  rules:
  - {alert: Errors, signal: error_rate, by: [gen_ai.request.model], window: 15m, threshold: 0.5, min_samples: 1}
"""


def test_a_ledger_that_moved_is_told_of_few_slots_at_once_and_of_a_slot_s_series_together(tmp_path):
    ledger = SqliteLedger(tmp_path / "calls.db", "boot")
    process = Process(BY_MODEL, Clock(), lambda: ledger)
    told = []
    share = ledger.share
    ledger.share = lambda slots, now: (told.append(list(slots)), share(slots, now))
    for _ in range(20):
        for model in range(30):
            process.call(**{semconv.REQUEST_MODEL: f"m-{model}"})
        process.step()
        process.clock.pass_(SLOT)
    told.clear()
    process.tenure._shared_from = 0  # as after a move
    process.step()
    assert sum(map(len, told)) == 20 * 30
    assert [len(page) for page in told] == [420, 180]
    numbers = [{slot.number for slot in page} for page in told]
    assert not numbers[0] & numbers[1]
