"""Durability, faults and forks, with real files and real processes."""

import contextlib
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from otel_llm.calls import Call
from otel_llm.quantity import Duration, Size
from otel_llm.store import database as module
from otel_llm.store.batch import Batches
from otel_llm.store.connection import BusyError, Connection, DamageError
from otel_llm.store.database import Config, Database, default_path, shared
from otel_llm.store.exporters import StoreSpanProcessor
from otel_llm.store.gate import gate
from otel_llm.store.query import Filter, Reader
from otel_llm.store.writer import QUEUE
from otel_llm.store.written import Written
from parts.waiting import WITHIN, least, wait_for


def rows(path, table="spans"):
    with Reader(path) as reader:
        return reader.info()["rows"][table]


def run_python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


def test_nothing_is_opened_or_started_before_the_first_span(path):
    before = set(threading.enumerate())
    database = Database(path)
    assert database.flush(1)
    assert not path.parent.exists()
    assert set(threading.enumerate()) <= before


def test_a_span_is_on_disk_within_200_ms(database, path, spans):
    database.submit_span(spans.call())
    database.flush(WITHIN)  # the file is made now
    written = [rows(path)]

    def write():
        database.submit_span(spans.call())
        written.append(written[-1] + 1)
        return wait_for(lambda: rows(path) == written[-1])

    assert least(write, 0.2) < 0.2


def test_a_span_survives_a_kill_200_ms_later(path):
    assert any(survives_a_kill(path.with_name(f"{number}.db")) for number in range(3))  # the machine may stand still


def survives_a_kill(path):
    process = run_python(
        """
        import sys, time
        from pathlib import Path
        from finished_spans import Spans
        from otel_llm.store.database import Database
        database = Database(Path(sys.argv[1]))
        database.submit_span(Spans().call())
        assert database.flush(60)
        database.submit_span(Spans().call())
        time.sleep(0.2)
        print("now", flush=True)
        time.sleep(60)
        """,
        path,
    )
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    return rows(path) == 2


def test_what_is_queued_is_written_at_exit(path):
    process = run_python(
        """
        import sys
        from pathlib import Path
        from finished_spans import Spans
        from otel_llm.store.database import Database
        database = Database(Path(sys.argv[1]))
        for _ in range(3):
            database.submit_span(Spans().call())
        """,
        path,
    )
    assert process.wait(WITHIN) == 0
    assert rows(path) == 3


def test_files_are_the_user_s_alone(kept, path, spans):
    kept(spans.call())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == [path.name, f"{path.name}-shm", f"{path.name}-wal", f"{path.name}.lock"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_the_file_has_the_properties_that_were_decided(kept, path, spans):
    database = kept(spans.call())
    sqlite = database._writer().connection.sqlite

    def pragma(name):
        return sqlite.execute(f"PRAGMA {name}").fetchone()[0]

    assert [pragma(name) for name in ("journal_mode", "auto_vacuum", "synchronous", "wal_autocheckpoint")] == [
        "wal",
        2,
        1,
        0,
    ]


def test_the_same_span_twice_is_one(kept, path, spans):
    span = spans.call()
    database = kept(span, span)
    kept(span)
    assert rows(path) == 1
    assert database.stats().dropped == {"duplicate": 2}


def test_every_span_is_stored_or_counted(database, spans, monkeypatch):
    monkeypatch.setattr("otel_llm.store.house.LINGER", 0.5)
    span = spans.span(start_time=None)
    for _ in range(QUEUE + 500):
        database.submit_span(span)
    database.flush(WITHIN)
    stats = database.stats()
    assert stats.seen == QUEUE + 500
    assert stats.stored + sum(stats.dropped.values()) == stats.seen
    assert stats.queue_depth == 0


def test_a_full_queue_refuses_and_counts(database, spans, monkeypatch):
    monkeypatch.setattr("otel_llm.store.writer.Writer.wake", lambda _: None)
    span = spans.call()
    accepted = [database.submit_span(span) for _ in range(QUEUE + 2)]
    assert accepted.count(False) == 2
    assert database.stats().dropped == {"queue_full": 2}
    database._writer().queue.clear()


def test_a_strange_span_costs_no_other(kept, path, spans):
    database = kept(spans.call(), spans.span(start_time=2**63), spans.span(context=None), spans.call())
    assert rows(path) == 2
    assert database.stats().dropped == {"invalid": 2}


def test_submit_swallows_anything(database):
    database._writers = None
    assert database.submit_span(object()) is False
    assert database.submit_logs(()) is False
    assert database.submit_metrics(object()) is False
    assert database.flush(1) is False


def test_after_close_spans_are_refused(kept, spans, path):
    database = kept(spans.call())
    assert database.close(WITHIN)
    assert not database.submit_span(spans.call())
    assert rows(path) == 1


def test_closing_leaves_one_file(kept, spans, path):
    kept(spans.call()).close(WITHIN)
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


@pytest.fixture
def fork():
    """Run a function in a forked child; gives its exit status."""

    def run(child):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child()
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_writes_its_own_and_none_twice(database, path, spans, fork):
    database.submit_span(spans.call())
    database.flush(WITHIN)
    inherited = spans.call()
    database.submit_span(inherited)  # perhaps still queued when the child is born
    own = spans.call()

    def child():
        assert database.submit_span(own)
        assert database.flush(WITHIN)
        assert database.stats().seen == 1

    assert fork(child) == 0
    assert database.flush(WITHIN)
    assert rows(path) == 3
    assert database.stats().dropped == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_in_the_midst_of_a_write_waits_for_its_end(database, path, spans, fork, monkeypatch):
    """Else the child would find the database locked as long as it lives."""
    writing, check, parent = threading.Event(), Batches._check_generation, os.getpid()

    def slowly(batches, sqlite):
        if os.getpid() == parent:
            writing.set()
            time.sleep(0.5)
        check(batches, sqlite)

    def child():
        assert database.submit_span(spans.call())
        assert database.flush(WITHIN)

    monkeypatch.setattr(Batches, "_check_generation", slowly)
    monkeypatch.setattr(gate, "_longest", WITHIN)
    database.submit_span(spans.call())
    assert writing.wait(WITHIN)
    assert fork(child) == 0
    assert database.flush(WITHIN)
    assert rows(path) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_that_writes_nothing_starts_nothing(kept, spans, fork):
    database = kept(spans.call())

    def child():
        assert database.flush(1)
        assert not [pid for pid in database._writers if pid == os.getpid()]

    assert fork(child) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_parent_goes_on_after_a_child_has_ended(kept, spans, path, fork):
    database = kept(spans.call())
    for _ in range(3):
        assert fork(lambda: database.submit_span(spans.call()) and database.flush(WITHIN)) == 0
        kept(spans.call())
    assert rows(path) == 7
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_processes_write_the_same_file(path):
    code = """
        import sys
        from pathlib import Path
        from finished_spans import Spans
        from otel_llm.store.database import Database
        database, spans = Database(Path(sys.argv[1])), Spans()
        for _ in range(500):
            database.submit_span(spans.call())
            if not _ % 50:
                database.flush(60)
        sys.exit(not database.flush(60))
        """
    processes = [run_python(code, path) for _ in range(2)]
    assert [process.wait(2 * WITHIN) for process in processes] == [0, 0]
    assert rows(path) == 1000


def test_an_unwritable_folder_warns_once_and_counts(tmp_path, spans, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    database = Database(blocked / "otel-llm.db")
    with caplog.at_level(logging.WARNING, logger="otel_llm"):
        for _ in range(3):
            database.submit_span(spans.call())
            assert database.flush(WITHIN) is False
    assert len([record for record in caplog.records if "cannot be written" in record.getMessage()]) == 1
    database.close(WITHIN)
    stats = database.stats()
    assert stats.dropped == {"unwritable": 3}
    assert stats.last_error.startswith("unwritable")


def test_what_was_kept_is_written_once_the_path_can_be_written(tmp_path, spans):
    blocked = tmp_path / "folder"
    blocked.write_text("no folder yet")
    database = Database(blocked / "otel-llm.db")
    database.submit_span(spans.call())
    assert database.flush(WITHIN) is False
    blocked.unlink()
    wait_for(lambda: database.stats().stored == 1)
    database.close(WITHIN)


def test_a_removed_file_is_made_again_with_what_was_written_a_moment_before(kept, spans, path):
    kept(spans.call())
    for file in list(path.parent.iterdir()):
        file.unlink()
    assert kept(spans.call()).stats().stored == 2
    assert rows(path) == 2


def test_usual_spans_are_kept_small_until_they_are_read_again(database, path):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(StoreSpanProcessor(database))
    for tokens in range(4):
        call = Call(operation="chat", provider="p", input_tokens=tokens)
        provider.get_tracer("x").start_span("chat", attributes=call.attributes()).end()
        assert database.flush(WITHIN)
    assert [type(kept) for kept in database._writer()._unproved] == [ReadableSpan, Written, Written, Written]
    for file in list(path.parent.iterdir()):
        file.unlink()
    provider.get_tracer("x").start_span("last").end()
    assert database.flush(WITHIN)
    with contextlib.closing(sqlite3.connect(path)) as store:
        told = store.execute("SELECT name, input_tokens FROM calls ORDER BY start_time").fetchall()
    assert told == [("chat", 0), ("chat", 1), ("chat", 2), ("chat", 3)]
    assert database.stats().stored == 5


def test_what_was_read_again_is_not_written_twice(kept, spans, path, monkeypatch):
    monkeypatch.setattr("otel_llm.store.writer.PROOF", 0.05)
    writer = kept(spans.call())._writer()
    wait_for(lambda: not writer._unproved)
    for file in list(path.parent.iterdir()):
        file.unlink()
    kept(spans.call())
    assert rows(path) == 1


def test_what_was_written_is_read_again_soon_where_it_is_much(kept, spans, monkeypatch):
    monkeypatch.setattr("otel_llm.store.writer.PROOF", 60.0)
    monkeypatch.setattr("otel_llm.store.writer.BATCH", 20)
    writer = kept(*(spans.call() for _ in range(19)))._writer()
    assert len(writer._unproved) == 19
    kept(spans.call())
    wait_for(lambda: not writer._unproved)


def test_damage_that_stays_has_the_file_set_aside(kept, spans, path, monkeypatch):
    monkeypatch.setattr("otel_llm.store.writer.PROOF", 0.05)
    proofs = []

    def doubt(self):
        proofs.append(self)
        if len(proofs) < 3:
            message = "the newest row is not there"
            raise DamageError(message)

    monkeypatch.setattr(Connection, "prove", doubt)
    database = kept(spans.call())
    wait_for(lambda: len(proofs) >= 3)
    assert len(list(path.parent.glob("*.corrupt-*-shm"))) <= 1
    assert [one for one in path.parent.glob("*.corrupt-*") if not one.name.endswith(("-wal", "-shm"))]
    assert rows(path) == 1
    assert database.stats().last_error.startswith("damaged")


def test_a_proof_that_finds_the_file_locked_is_put_off(kept, spans, path, monkeypatch):
    monkeypatch.setattr("otel_llm.store.writer.PROOF", 0.05)
    proofs = []

    def busy(self):
        proofs.append(self)
        if len(proofs) < 2:
            raise BusyError

    monkeypatch.setattr(Connection, "prove", busy)
    database = kept(spans.call())
    wait_for(lambda: len(proofs) == 2 and not database._writer()._unproved)
    assert not list(path.parent.glob("*.corrupt-*"))


def test_a_replaced_file_is_noticed(kept, spans, path, tmp_path):
    kept(spans.call())
    other = tmp_path / "other.db"
    Connection(other).close()
    other.rename(path)
    kept(spans.call())
    assert rows(path) == 2


def test_a_removed_log_is_noticed(kept, spans, path):
    kept(spans.call())
    path.with_name(path.name + "-wal").unlink()
    kept(spans.call())
    assert rows(path) >= 1


def test_a_file_that_is_no_database_is_set_aside(kept, spans, path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all" * 100)
    kept(spans.call())
    assert rows(path) == 1
    assert [file.name for file in path.parent.glob("*.corrupt-*")]


def test_a_damaged_database_is_set_aside(kept, spans, path, caplog):
    kept(spans.call()).close(WITHIN)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    database = Database(path)
    with caplog.at_level(logging.WARNING, logger="otel_llm"):
        assert database.submit_span(spans.call())
        assert database.flush(WITHIN)
    assert rows(path) == 1
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    assert len([record for record in caplog.records if "damaged" in record.getMessage()]) == 1
    database.close(WITHIN)


def test_damage_that_shows_at_the_first_write_is_set_aside_too(kept, spans, path):
    database = kept(spans.call())
    sqlite = database._writer().connection.sqlite
    pages = [row[0] for row in sqlite.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'spans'")]
    database.close(WITHIN)
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
    database = Database(path)
    assert database.submit_span(spans.call())
    assert database.flush(WITHIN)
    assert rows(path) == 1
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    database.close(WITHIN)


def test_a_full_disk_is_told_and_what_was_kept_is_written_later(kept, spans, path, caplog):
    database = kept(spans.call())
    sqlite = database._writer().connection.sqlite
    sqlite.execute("PRAGMA max_page_count = 1")
    with caplog.at_level(logging.WARNING, logger="otel_llm"):
        for _ in range(100):
            database.submit_span(spans.span({"big": "x" * 5000}))
        database.flush(WITHIN)
    assert database.stats().last_error.startswith("disk_full")
    wait_for(lambda: rows(path) == 101)  # the limit went with the connection
    assert database.stats().dropped == {}


def test_a_file_replaced_during_a_write_gets_the_write_again(kept, spans, path, monkeypatch):
    kept(spans.call())
    moved = []
    original = Connection.checkpoint

    def move(self, *, limit):
        original(self, limit=limit)
        if not moved:
            moved.append(path.rename(path.with_name("moved.db")))

    monkeypatch.setattr(Connection, "checkpoint", move)
    kept(spans.call(request_model="again"))
    with Reader(path) as reader:
        assert [span.name for span in reader.calls(Filter())] == ["chat gpt-x"] * 2
        assert len(reader.calls(Filter(model="again"))) == 1


def test_a_newer_schema_is_left_alone(tmp_path, spans, caplog):
    path = tmp_path / "newer.db"
    Connection(path).close()
    with sqlite3.connect(path) as sqlite:
        sqlite.execute("PRAGMA user_version = 999")
    database = Database(path)
    with caplog.at_level(logging.WARNING, logger="otel_llm"):
        database.submit_span(spans.call())
        assert database.flush(WITHIN) is False
    database.close(WITHIN)
    assert database.stats().dropped == {"newer_schema": 1}
    assert len(caplog.records) == 1


def test_a_busy_file_is_waited_for(kept, spans, path):
    kept(spans.call())
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    kept(spans.call())
    assert rows(path) == 2
    other.close()


def test_a_timer_runs_on_the_writer_s_thread_once_that_runs(database, spans):
    ran = []
    database.every(0.05, lambda: ran.append(threading.get_ident()))
    time.sleep(0.15)
    assert ran == []
    database.submit_span(spans.call())
    wait_for(lambda: len(ran) > 2)
    assert set(ran) == {database._writer()._loop._thread}


def test_a_timer_that_raises_or_flushes_harms_nobody(database, spans, path):
    flushed = []

    def fail():
        flushed.append(database.flush(1))
        raise RuntimeError

    database.every(0.02, fail)
    database.submit_span(spans.call())
    wait_for(lambda: len(flushed) > 1)
    assert not any(flushed)
    database.submit_span(spans.call())
    assert database.flush(WITHIN)
    assert rows(path) == 2


def test_a_cancelled_timer_stops(database, spans):
    ran = []
    cancel = database.every(0.02, lambda: ran.append(1))
    database.submit_span(spans.call())
    wait_for(lambda: bool(ran))
    cancel()
    database.submit_span(spans.call())
    assert database.flush(WITHIN)  # the thread is past what it may have begun
    count = len(ran)
    time.sleep(0.1)
    assert len(ran) == count


def test_without_a_thread_a_flush_writes_itself_and_a_thread_is_tried_again(database, spans, path, monkeypatch):
    def refuse(*_):
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr("otel_llm.supervisor._thread.start_new_thread", refuse)
        assert database.submit_span(spans.call())
        assert database.flush(WITHIN)
        assert rows(path) == 1
    assert database.submit_span(spans.call())
    assert database.flush(WITHIN)
    assert rows(path) == 2


def test_many_threads_submit_at_once(database, spans, path):
    some = [[spans.call() for _ in range(50)] for _ in range(8)]
    threads = [
        threading.Thread(target=lambda mine=mine: [database.submit_span(span) for span in mine]) for mine in some
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.flush(WITHIN)
    assert rows(path) == 400
    assert database.stats().seen == 400


def test_a_process_has_one_database_for_a_path(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_shared", {})
    path = tmp_path / "x.db"
    assert shared(path) is shared(str(path))
    monkeypatch.setenv("OTEL_LLM_STORE_PATH", str(path))
    assert shared() is shared(path)
    assert shared(config=Config(path=str(tmp_path / "y.db"))).path == tmp_path / "y.db"


def test_without_a_path_it_is_the_user_s_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "otel-llm" / "otel-llm.db"


def test_defaults_are_the_contract_s():
    assert Config() == Config(enabled=True, path=None, max_size=Size.parse("256MB"), max_age=Duration.parse("14d"))


def test_a_reader_may_stay_open_while_spans_are_written(kept, spans, path):
    kept(spans.call())
    with Reader(path) as reader:
        kept(spans.call())
        assert len(reader.calls(Filter())) == 2


def test_spans_are_counted_apart_from_what_else_is_kept(database, spans):
    span = spans.call()
    for one in (span, span, spans.span(start_time=None)):
        database.submit_span(one)
    database.submit_logs(())
    database.flush(WITHIN)
    stats = database.stats()
    assert (stats.seen, stats.spans_seen, stats.spans_stored) == (4, 3, 1)
    assert stats.spans_dropped == {"duplicate": 1, "invalid": 1}


def test_spans_that_the_queue_has_no_room_for_are_counted_apart(database, spans, monkeypatch):
    monkeypatch.setattr("otel_llm.store.writer.Writer.wake", lambda _: None)
    for _ in range(QUEUE):
        database.submit_logs(())
    database.submit_span(spans.call())
    database.submit_logs(())
    assert database.stats().dropped == {"queue_full": 2}
    assert database.stats().spans_dropped == {"queue_full": 1}
    database._writer().queue.clear()


def test_reading_a_count_does_not_change_it(database, spans):
    database.submit_span(spans.call())
    assert [database.stats().seen for _ in range(3)] == [1, 1, 1]


READS_ALL = """
import re, sys
from pathlib import Path
from otel_llm.store.connection import Connection

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

connection = Connection(Path(sys.argv[1]))
before = resident()
connection.sqlite.execute("SELECT sum(length(value)) FROM meta").fetchone()
print(resident() - before)
connection.close()
"""


def test_who_reads_the_whole_store_keeps_less_than_a_megabyte_of_it(tmp_path):
    path = tmp_path / "calls.db"
    connection = Connection(path)
    rows = [(f"k{number}", "x" * 3000) for number in range(3000)]
    connection.sqlite.executemany("INSERT INTO meta VALUES (?, ?)", rows)
    connection.close()
    done = subprocess.run([sys.executable, "-c", READS_ALL, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_200_000  # half of it pages; SQLite by itself holds two megabytes of them
