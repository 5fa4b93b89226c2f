"""Every schema that was ever released is read as it is and brought up to date, or left as it was."""

import gzip
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_llm.quantity import Duration
from otel_llm.store import migration
from otel_llm.store.connection import Connection
from otel_llm.store.database import Config, Database
from otel_llm.store.migration import copies, schema_steps
from otel_llm.store.query import Filter, Reader
from parts.waiting import WITHIN

FIXTURES = Path(__file__).with_name("fixtures")
NEWEST = len(schema_steps())
RELEASED = range(1, NEWEST + 1)
KILLS = 20

OPEN = """
import sys, time
from pathlib import Path
from otel_llm.store.connection import Connection
print("begun", flush=True)
Connection(Path(sys.argv[1]))
print("done", flush=True)
time.sleep(60)
"""


def released(version, path):
    """The store of ``version``, as that version left it."""
    packed = FIXTURES / f"schema-{version}.db.gz"
    assert packed.exists(), f"{packed} is missing: run python tests/store/fixtures/make.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    path.chmod(0o600)
    assert look(path, "PRAGMA user_version") == version
    return path


def look(path, query):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


def schema(path):
    connection = sqlite3.connect(path)
    try:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [row[1:] for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables}
    finally:
        connection.close()


@pytest.mark.parametrize("version", RELEASED)
def test_a_reader_reads_every_released_schema_and_writes_nothing(tmp_path, version):
    path = released(version, tmp_path / "old.db")
    before = path.read_bytes()
    with Reader(path) as reader:
        calls = reader.calls(Filter())
        (group,) = reader.summary(Filter(model="m0"))["groups"]
        shown = reader.show(calls[-2].span_id)
        info = reader.info()
        first = next(reader.requests("spans", Filter()))
    assert [call.name for call in calls] == ["chat m1", "chat m0"] * 3
    assert (group["calls"], group["input_tokens"], group["cost"]) == (3, 36, None)
    assert shown.events[0]["name"] == "seen"
    assert info["schema_version"] == version
    assert first
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", RELEASED)
def test_a_summary_of_roll_ups_alone_is_the_same_in_every_schema(tmp_path, version):
    path = released(version, tmp_path / "old.db")
    before = Reader(path).summary(Filter(), ("hour",))
    Connection(path).close()
    assert Reader(path).summary(Filter(), ("hour",)) == before


@pytest.mark.parametrize("version", RELEASED)
def test_a_writer_brings_every_released_schema_up_to_date_and_loses_nothing(tmp_path, version, spans):
    path, fresh = released(version, tmp_path / "old.db"), tmp_path / "fresh.db"
    Connection(fresh).close()
    database = Database(path, Config(max_age=Duration.parse("36500d")))
    assert database.submit_span(spans.call())
    assert database.flush(WITHIN)
    database.close(WITHIN)
    assert look(path, "PRAGMA user_version") == NEWEST
    assert look(path, "PRAGMA integrity_check") == "ok"
    assert look(path, "SELECT count(*) FROM spans") == 8
    assert look(path, "SELECT count(*) FROM points") == 1
    assert schema(path) == schema(fresh)


def test_a_copy_of_how_it_was_is_kept_one_and_private(tmp_path):
    path = released(2, tmp_path / "old.db")
    path.with_name("old.db.schema-1").write_text("of an earlier migration")
    path.with_name("old.db.schema-1.part").write_text("of one that was killed")
    Connection(path).close()
    (copy,) = copies(path)
    assert copy.name == "old.db.schema-2"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert look(copy, "PRAGMA user_version") == 2
    assert look(copy, "SELECT count(*) FROM spans") == 7
    assert not list(tmp_path.glob("*.part"))


def test_a_new_store_and_one_of_this_schema_have_no_copy(tmp_path):
    Connection(tmp_path / "new.db").close()
    Connection(released(NEWEST, tmp_path / "same.db")).close()
    assert copies(tmp_path / "new.db") == copies(tmp_path / "same.db") == []


def test_without_room_for_a_copy_there_is_none_and_a_word(tmp_path, monkeypatch, caplog):
    path = released(1, tmp_path / "old.db")
    monkeypatch.setattr(
        "otel_llm.store.migration.os.statvfs", lambda _: type("Full", (), {"f_bavail": 1, "f_frsize": 4096})
    )
    Connection(path).close()
    assert copies(path) == []
    assert look(path, "PRAGMA user_version") == NEWEST
    assert "without a copy of schema 1: the disk has no room" in caplog.text


def test_a_step_that_fails_leaves_the_old_schema(tmp_path, monkeypatch):
    path = released(1, tmp_path / "old.db")
    before = schema(path)
    steps = schema_steps()
    monkeypatch.setattr(migration, "schema_steps", lambda: [*steps, "CREATE TABLE one (a); NONSENSE;"])
    with pytest.raises(sqlite3.OperationalError):
        Connection(path)
    assert schema(path) == before
    assert look(path, "PRAGMA user_version") == 1


@pytest.mark.slow
def test_a_migration_that_is_killed_leaves_old_or_new(tmp_path):
    whole = released(1, tmp_path / "whole.db")
    connection = sqlite3.connect(whole)
    for _ in range(13):  # 57,000 rows, so that the copy takes a while
        connection.execute(
            "INSERT INTO spans (start_time, duration, series, resource, trace_id, span_id)"
            " SELECT start_time + id, duration, series, resource, randomblob(16), randomblob(8) FROM spans"
        )
    connection.commit()
    connection.close()
    rows = look(whole, "SELECT count(*) FROM spans")
    begun = time.monotonic()
    Connection(copied(whole, tmp_path / "timed.db")).close()
    lasts = time.monotonic() - begun
    found = []
    for number in range(KILLS):
        path = copied(whole, tmp_path / f"killed-{number}.db")
        process = subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(lasts * 1.3 * number / KILLS)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.append(look(path, "PRAGMA user_version"))
        assert look(path, "PRAGMA integrity_check") == "ok"
        assert look(path, "SELECT count(*) FROM spans") == rows
        Connection(path).close()
        assert look(path, "PRAGMA user_version") == NEWEST
        assert len(copies(path)) <= 1
        for left in tmp_path.glob(f"{path.name}*"):
            assert re.fullmatch(r"killed-\d+\.db(-wal|-shm|\.lock|\.schema-1)?", left.name), left
            left.unlink()
    assert set(found) <= {1, NEWEST}


def copied(source, target):
    target.write_bytes(source.read_bytes())
    return target


def test_a_newer_schema_is_read_by_what_is_known_of_it_and_what_is_written_is_counted(tmp_path, spans):
    path = released(NEWEST, tmp_path / "newer.db")
    connection = sqlite3.connect(path)
    connection.executescript(
        f"ALTER TABLE spans ADD COLUMN later REAL; CREATE TABLE later (a); PRAGMA user_version = {NEWEST + 1};"
    )
    connection.close()
    database = Database(path)
    for _ in range(3):
        database.submit_span(spans.call())
    assert not database.flush(WITHIN)
    assert database.stats().dropped == {"newer_schema": 3}
    assert database.stats().last_error.startswith("newer_schema")
    database.close(WITHIN)
    with Reader(path) as reader:
        assert len(reader.calls(Filter())) == 6
        assert reader.summary(Filter())["calls"] == 6
