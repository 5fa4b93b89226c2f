"""What was sent, as ranges: nothing twice, nothing forgotten, whoever asks for what in whatever order."""

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.store.delivered import MOST, Progress, Range, packed, unpacked

TIMES = st.integers(0, 9)
RUNS = st.lists(st.tuples(TIMES, TIMES, st.integers(0, 12), st.integers(0, 6)), max_size=8)


@settings(deadline=None, max_examples=200)
@given(runs=RUNS)
def test_whoever_asks_is_sent_what_is_missing_and_nothing_twice(runs):
    """Each run asks for a stretch of time, rows are added before it, and it is stopped somewhere."""
    sqlite = sqlite3.connect(":memory:")
    sqlite.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, time INTEGER)")
    sent, wanted, ranges, newest = set(), set(), (), 0
    for since, length, added, stop in runs:
        for number in range(added):
            newest += 1
            sqlite.execute("INSERT INTO t VALUES (?, ?)", (newest, (number * 7 + newest) % 10))
        progress = Progress.resume(since, since + length, ranges, newest)
        condition, values = progress.where("id", "time")
        rows = sqlite.execute(f"SELECT id, time FROM t WHERE {condition} ORDER BY id", values).fetchall()  # noqa: S608
        rows, whole = rows[:stop], len(rows) <= stop
        assert not sent & {number for number, _ in rows}
        sent |= {number for number, _ in rows}
        progress = progress.on(newest if whole else rows[-1][0] if rows else progress.asked.reached)
        ranges = unpacked(packed(progress.ranges()))
        if whole:
            wanted |= {
                number for number, time in sqlite.execute("SELECT id, time FROM t") if since <= time < since + length
            }
        assert wanted <= sent


def test_ids_that_begin_again_are_sent_again():
    sent = Range(since=0, until=10, reached=100)
    assert Progress.resume(0, 10, [sent], newest=5).asked.reached == 0


def test_a_range_within_another_is_forgotten():
    narrow, wide = Range(since=2, until=3, reached=5), Range(since=0, until=9, reached=5)
    assert Progress(asked=wide, before=(narrow,)).ranges() == (wide,)
    assert Progress(asked=narrow, before=(wide,)).ranges() == (wide,)


def test_the_number_of_ranges_is_bounded():
    before = tuple(Range(since=number, until=number + 1, reached=1) for number in range(50))
    assert len(Progress(asked=Range(since=60, until=61, reached=2), before=before).ranges()) == MOST
