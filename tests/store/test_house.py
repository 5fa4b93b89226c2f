"""The store stays within its bounds at every moment, whatever is written and whoever reads."""

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_llm.quantity import Duration, Size
from otel_llm.store import house, retention
from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.database import Config, Database
from parts.waiting import WITHIN, wait_for

sys.path[:0] = [str(Path(__file__).parents[2] / "bench" / "soak")]

import crowd  # noqa: E402 - found by the line above
import quota  # noqa: E402

DAY = 86_400


@pytest.fixture
def reading(path):
    """A reader in the middle of a transaction."""

    def begin():
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return reader

    return begin


def test_a_small_quota_holds_at_every_look_while_much_is_written(tmp_path):
    found = quota.run(tmp_path / "quota.db", spans=12_000, quota=1_500_000, seconds=2, every=0.05)
    assert found["largest_share"] <= 1.2, found
    assert found["stored"] + sum(found["dropped"].values()) == 12_000


@pytest.mark.slow
def test_twenty_thousand_spans_stay_within_a_quota_of_4_mb(tmp_path):
    found = quota.run(tmp_path / "quota.db", spans=20_000, quota=4_000_000, seconds=10, every=0.1)
    assert found["holds"], found


@pytest.mark.slow
def test_writers_a_dashboard_and_a_long_reader_get_along(tmp_path):
    found = crowd.run(tmp_path / "crowd.db", writers=4, seconds=6, rate=40)
    assert found["holds"], found


@pytest.mark.parametrize("bound", [1_000_000, 1_500_000])
def test_a_quota_of_a_few_transactions_holds_whenever_the_log_is_looked_at(path, spans, monkeypatch, bound):
    shares = []
    checkpoint = Connection.checkpoint

    def look(connection, *, limit):
        shares.append(quota.size(path) / bound)
        return checkpoint(connection, limit=limit)

    monkeypatch.setattr(Connection, "checkpoint", look)
    database = Database(path, Config(max_size=Size(bound)))
    for number in range(5):
        for _ in range(2000):
            database.submit_span(spans.call(response_id=f"{number:040}"))
        assert database.flush(WITHIN)
    database.close(WITHIN)
    assert max(shares) <= 1.2


def test_content_larger_than_the_quota_leaves_the_newest_and_the_bound(path, spans):
    database = Database(path, Config(max_size=Size.parse("4MB")))
    for number in range(60):
        database.submit_span(spans.span({"number": number, "big": "x" * 110_000}))
    assert database.flush(WITHIN)
    assert quota.size(path) <= 1.2 * 4_000_000
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as sqlite:
        texts = [row[0] for row in sqlite.execute("SELECT attributes FROM spans ORDER BY start_time")]
    assert '"number":59' in texts[-1]
    assert database.stats().dropped == {}
    database.close(WITHIN)


def test_no_more_is_deleted_than_the_quota_asks_for(path, spans):
    connection = Connection(path)
    made = [spans.span({"big": "x" * 60_000}) for _ in range(40)]
    Batches().write(connection.sqlite, [(0, span) for span in made])
    gone = retention.shrink(connection, max_size=2_000_000)
    assert 8 <= gone <= 20
    connection.close()


def test_while_a_reader_is_in_the_way_the_log_stays_within_its_bound_and_what_is_lost_is_counted(
    path, spans, reading, monkeypatch
):
    monkeypatch.setattr(house, "_LONGEST_LOG", 1_000_000)
    database = Database(path, Config(max_size=Size.parse("8MB")))
    database.submit_span(spans.call())
    assert database.flush(WITHIN)
    reader = reading()
    wal = path.with_name(path.name + "-wal")
    deadline = time.monotonic() + WITHIN
    while "queue_full" not in database.stats().dropped and time.monotonic() < deadline:
        for _ in range(100):
            database.submit_span(spans.span({"big": "x" * 2000}))
        time.sleep(0.01)
    assert "queue_full" in database.stats().dropped
    assert wal.stat().st_size <= 1_000_000 + 2_000_000  # the bound, and the batch that went over it
    assert database.stats().last_error.startswith("log_full")
    reader.close()
    wait_for(lambda: database.flush(1) and wal.stat().st_size <= 600_000)
    stats = database.stats()
    assert stats.seen == stats.stored + sum(stats.dropped.values())
    database.close(WITHIN)


def test_a_log_is_cut_when_the_reader_has_gone_though_nobody_writes_any_more(path, spans, reading):
    database = Database(path, Config(max_size=Size.parse("2MB")))
    database.submit_span(spans.call())
    assert database.flush(WITHIN)
    reader = reading()
    for _ in range(5):
        for _ in range(100):
            database.submit_span(spans.call(response_id="x" * 100))
        database.flush(WITHIN)
    wal = path.with_name(path.name + "-wal")
    assert wal.stat().st_size > retention.wal_limit(2_000_000)
    reader.close()
    wait_for(lambda: wal.stat().st_size <= retention.wal_limit(2_000_000))
    database.close(WITHIN)


def test_space_is_given_back(path, spans):
    connection = Connection(path)
    Batches().write(connection.sqlite, [(0, spans.call(at=-20 * DAY, response_id="x" * 1000)) for _ in range(4000)])
    connection.checkpoint(limit=0)
    before = connection.size()
    retention.expire(connection, max_age=DAY)
    for _ in range(10):
        retention.shrink(connection, max_size=256_000_000)
    connection.checkpoint(limit=0)
    assert connection.size() < before / 5
    connection.close()


@pytest.mark.parametrize("jump", [3600, 365 * DAY, -3600, -365 * DAY])
def test_a_jump_of_the_wall_clock_and_back_wipes_no_history(path, spans, monkeypatch, jump):
    real = time.time
    offset = [0.0]
    monkeypatch.setattr("otel_llm.store.clock.time.time", lambda: real() + offset[0])
    connection, keeper = Connection(path), house.House(max_size=256_000_000, max_age=14 * DAY)
    Batches().write(connection.sqlite, [(0, spans.call(at=-day * DAY)) for day in range(20)])
    left = []
    for now in (0.0, jump, 0.0):
        offset[0] = now
        keeper.rows, keeper._tick_at = 1, 0.0
        keeper.keep(connection)
        left.append(connection.sqlite.execute("SELECT count(*) FROM spans").fetchone()[0])
    assert left == [14, 14, 14]
    connection.close()


def test_roll_ups_outlive_the_calls(path, spans):
    connection, keeper = Connection(path), house.House(max_size=256_000_000, max_age=DAY)
    Batches().write(connection.sqlite, [(0, spans.call(at=-5 * DAY, output_tokens=1)) for _ in range(30)])
    keeper.rows = 1
    keeper.keep(connection)
    assert connection.sqlite.execute("SELECT count(*) FROM spans").fetchone() == (0,)
    assert connection.sqlite.execute("SELECT sum(attempts) FROM rollups").fetchone() == (30,)
    connection.close()


def test_on_a_full_disk_what_is_too_old_makes_room_for_what_is_new(tmp_path, spans):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"needs a tmpfs, so run as root (or in 'unshare -rm'): {done.stderr}"
    try:
        path, quota_ = folder / "s.db", Size.parse("4MB")
        database = Database(path, Config(max_size=quota_, max_age=Duration.parse("30d")))
        for _ in range(6):
            for _ in range(200):
                database.submit_span(spans.call(at=-20 * DAY, response_id="x" * 2000))
            database.flush(WITHIN)
        database.close(WITHIN)
        assert path.with_name("s.db.reserve").stat().st_mode & 0o777 == 0o600
        before = path.stat().st_size
        with (folder / "others").open("wb", buffering=0) as others, contextlib.suppress(OSError):
            while True:
                others.write(bytes(4096))
        database = Database(path, Config(max_size=quota_, max_age=Duration.parse("1d")))
        for number in range(600):
            database.submit_span(spans.call(at=0, response_id=f"{number:0200}"))
        wait_for(lambda: database.flush(1))
        assert database.stats().stored == 600
        assert database.stats().dropped == {}
        assert path.stat().st_size <= before
        database.close(WITHIN)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
