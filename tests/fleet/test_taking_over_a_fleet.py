"""A judge that takes over through Redis reads what all workers of all hosts counted: all of it, and never at once."""

import time
import tracemalloc

import pytest
from host_apart import Host

from otel_llm.alert.tenure import Facts, Nobody, Tenure
from otel_llm.alert.window import FINE, SLOT
from otel_llm.ledger import Shared
from parts.rules import interpret

pytestmark = pytest.mark.usefixtures("unhurried")
MODELS = 20
WORKERS = 3
SLOTS = int(FINE / SLOT) - 1
MOST = 2_000_000
"""[byte] Beyond what is kept. Made one by one it is 0.1 MB; 400 workers' slots at once, as they were, took 20 MB."""

RULES = """
groups:
- name: g
  rules:
  - {alert: Slow, signal: duration, stat: p95, by: [gen_ai.request.model], window: 1m, threshold: 5, min_samples: 1}
"""
CONTENT = [3, 0, 0, {}, {"duration": [3, 1.5, 0.6, 0.4, {str(place): 1 for place in range(30)}]}]


@pytest.fixture
def host(redis_server, tmp_path):
    made = Host(redis_server, tmp_path, "a", -1000.0)
    made.share()
    yield made
    made.line.close()
    made.local.close()


@pytest.fixture
def judge(host):
    """A process that has not judged yet, over a Redis with a quarter of an hour of what others counted; and when."""
    tenure = Tenure(Facts(), ledger=lambda: host.ledger, outlet=Nobody(), gauge_interval=10.0)
    tenure._boot = "a"
    now = host.now()
    tenure.take(interpret(RULES), now, time.time())
    (group,) = tenure._names.values()
    newest = int(now / SLOT)
    for worker in range(WORKERS):
        host.remote.share(
            [
                Shared(
                    group=group,
                    key=(f"m-{model}",),
                    worker=f"w{worker}",
                    number=newest - ago,
                    until=newest + 10,
                    content=CONTENT,
                    boot="a",
                )
                for model in range(MODELS)
                for ago in range(1, SLOTS + 1)
            ]
        )
    return tenure, now


def test_who_takes_over_counts_what_all_workers_counted_and_holds_little_of_it_at_once(judge):
    tenure, now = judge
    ledger = tenure._connect(now, time.time())
    tracemalloc.start()
    try:
        tenure._absorb(ledger, now)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (series,) = tenure.board.series.values()
    assert len(series.windows) == MODELS
    counted = {window.read(int(now / SLOT), 60.0).attempts for window in series.windows.values()}
    # of a window's twelve slots the one that is open holds nothing, and others' may fall on the grid one slot earlier
    assert counted in ({3 * WORKERS * 11}, {3 * WORKERS * 10})
    assert peak - held < MOST
