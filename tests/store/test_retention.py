import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.quantity import Duration, Size
from otel_llm.store import retention
from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.database import Config, Database
from otel_llm.store.query import Filter, Reader
from parts.waiting import WITHIN, wait_for

DAY = 86_400


@pytest.fixture
def connection(tmp_path):
    opened = Connection(tmp_path / "retention.db")
    yield opened
    opened.close()


def write(connection, *some):
    return Batches().write(connection.sqlite, [(0, span) for span in some])


def starts(connection):
    return [row[0] for row in connection.sqlite.execute("SELECT start_time FROM spans ORDER BY start_time")]


def test_what_is_too_old_goes(connection, spans):
    old, young = spans.call(at=-3 * DAY), spans.call(at=0)
    write(connection, old, young)
    assert retention.expire(connection, max_age=2 * DAY) == 1
    assert starts(connection) == [young.start_time]


def test_a_store_within_its_size_keeps_everything(connection, spans):
    write(connection, *(spans.call() for _ in range(100)))
    assert retention.shrink(connection, max_size=10_000_000) == 0


def test_the_oldest_go_first_and_the_file_becomes_smaller(connection, spans):
    write(connection, *(spans.call(response_id="x" * 500) for _ in range(5000)))
    connection.checkpoint(limit=0)
    before = connection.path.stat().st_size
    all_starts = starts(connection)
    while retention.shrink(connection, max_size=1_500_000):
        pass
    connection.checkpoint(limit=0)
    left = starts(connection)
    assert left == all_starts[-len(left) :]
    assert left
    assert connection.path.stat().st_size <= 1_500_000 < before


@settings(max_examples=10, deadline=None)
@given(ages=st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_age_keeps_exactly_the_newest(tmp_path_factory, ages):
    from finished_spans import Spans  # noqa: PLC0415 - of its own for each example

    spans, connection = Spans(), Connection(tmp_path_factory.mktemp("age") / "age.db")
    write(connection, *(spans.call(at=-age * DAY) for age in ages))
    now = spans.start / 1e9 + 1
    retention.expire(connection, max_age=14 * DAY, now=now)
    assert len(starts(connection)) == len([age for age in ages if age * DAY + 1 <= 14 * DAY])
    connection.close()


def test_what_nothing_points_at_is_swept_and_writers_forget_it(connection, spans):
    writer = Batches()
    old = spans.call(at=-3 * DAY, request_model="old", service="old")
    young = spans.call(at=0)
    writer.write(connection.sqlite, [(0, old), (0, young)])
    retention.expire(connection, max_age=2 * DAY)
    assert retention.sweep(connection) == 2
    writer.write(connection.sqlite, [(0, spans.call(at=1, request_model="old", service="old"))])
    with Reader(connection.path) as reader:
        assert len(reader.calls(Filter(model="old", service="old"))) == 1


def test_the_write_ahead_log_stays_short(tmp_path, spans):
    database = Database(tmp_path / "wal.db", Config(max_size=Size.parse("2MB")))
    for _ in range(20):
        for _ in range(500):
            database.submit_span(spans.call(response_id="x" * 300))
        database.flush(WITHIN)
    wal = (tmp_path / "wal.db-wal").stat().st_size
    assert wal + (tmp_path / "wal.db").stat().st_size <= 2_000_000 * 1.2
    database.close(WITHIN)


def test_the_writer_keeps_house_by_itself(tmp_path, spans):
    database = Database(tmp_path / "age.db", Config(max_age=Duration.parse("1d")))
    database.submit_span(spans.call(at=-2 * DAY))
    database.submit_span(spans.call())
    database.flush(WITHIN)
    wait_for(lambda: rows(tmp_path / "age.db") == 1)
    database.close(WITHIN)


def rows(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as sqlite:
        return sqlite.execute("SELECT count(*) FROM spans").fetchone()[0]
