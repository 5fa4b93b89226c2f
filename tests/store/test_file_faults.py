"""Whatever happens to the store's files while the host runs, the host runs on and the store comes back within 5 s.

Each fault is done to a real process that records calls all the time, on a file system of its own; what kills a process
(SIGBUS) is so found too.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parts.waiting import WITHIN, least, wait_for

BACK_WITHIN = 5.0

HOST = """
import json, logging, os, statistics, sys, time
from pathlib import Path
sys.path[:0] = [{here!r}]
from finished_spans import Spans
from otel_llm.store.database import Database

database, spans, lasted = Database(Path(sys.argv[1])), Spans(), []
for line in sys.stdin:
    word = line.split()[0]
    begun = time.monotonic()
    if word == "call":
        span = spans.call()
        database.submit_span(span)
        lasted.append(time.monotonic() - begun)
        print(f"{{span.context.span_id:016x}}", flush=True)
    elif word == "flush":
        print(json.dumps(database.flush(float(line.split()[1]))), flush=True)
    elif word == "stats":
        stats = database.stats()
        told = {{"seen": stats.seen, "stored": stats.stored, "dropped": dict(stats.dropped), "error": stats.last_error,
                "usual": statistics.median(lasted), "longest": max(lasted)}}
        print(json.dumps(told), flush=True)
database.close(2.0)
"""


class Host:
    """A process that records calls when it is asked to."""

    def __init__(self, path, limit=None):
        command = [sys.executable, "-c", HOST.format(here=str(Path(__file__).parent)), str(path)]
        if os.geteuid() == 0:  # permissions hold for this root as for anybody
            command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
        if limit is not None:
            command = ["bash", "-c", f'ulimit -f {limit} && exec "$@"', "bash", *command]
        self.path = path
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        assert said, f"the host died with {self.process.wait(WITHIN)}: {self.process.stderr.read()}"
        return said.strip()

    def call(self):
        return self.ask("call")

    def flush(self, within=WITHIN):
        return json.loads(self.ask(f"flush {within}"))

    def stats(self):
        return json.loads(self.ask("stats"))

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(WITHIN)
        assert code == 0, (code, self.process.stderr.read())
        return self.process.stderr.read()


@pytest.fixture
def begin():
    hosts = []

    def make(*said, **more):
        hosts.append(Host(*said, **more))
        return hosts[-1]

    yield make
    for host in hosts:
        if host.process.poll() is None:
            host.process.kill()
            host.process.wait()


@pytest.fixture
def mounted(tmp_path):
    """A file system of one's own, of so many bytes."""
    made = []

    def mount(size):
        folder = tmp_path / f"mount{len(made)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"needs a tmpfs, so run as root (or in 'unshare -rm'): {done.stderr}"
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def stored(path):
    """The ids of the spans in the file that stands at the path; none where it cannot be read."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as one,
    ):
        found = [name for (name,) in one.execute("SELECT lower(hex(span_id)) FROM spans")]
        assert len(found) == len(set(found))
        return set(found)
    return set()


def comes_back(host, path):
    """Calls recorded from now on, until one is in the store, and how long that took [s]."""
    after = [host.call()]
    took = wait_for(lambda: after[0] in stored(path), between=lambda: (time.sleep(0.1), after.append(host.call())))
    return after, took


def rest(host):
    """Wait until none of its threads has run for a while."""

    def is_at_rest():
        for _ in range(8):
            time.sleep(0.05)
            states = [one.read_text().rpartition(")")[2].split()[0] for one in tasks.glob("*/stat")]
            if set(states) != {"S"}:
                return False
        return True

    tasks = Path(f"/proc/{host.process.pid}/task")
    wait_for(is_at_rest)


def is_quick(told):
    """Whether no call waited for the store: not all of them a little, and none for long."""
    return told["usual"] < 0.1 and told["longest"] < WITHIN / 2


def is_sound(path):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as one:
        return one.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def beside(path, suffix):
    return path.with_name(path.name + suffix)


def remove(*suffixes):
    def damage(path):
        for suffix in suffixes:
            beside(path, suffix).unlink()

    return damage


def truncate(suffix, share):
    def damage(path):
        file = beside(path, suffix)
        os.truncate(file, int(file.stat().st_size * share))

    return damage


def overwrite(suffix, size=8192):
    def damage(path):
        script = "import sys; f = open(sys.argv[1], 'r+b'); f.write(b'garbage!' * (int(sys.argv[2]) // 8))"
        subprocess.run([sys.executable, "-c", script, str(beside(path, suffix)), str(size)], check=True)

    return damage


def replace(path):
    """Another database takes its place, as a restored copy does."""
    other = path.with_name("other.db")
    with contextlib.closing(sqlite3.connect(other)) as one:
        one.execute("CREATE TABLE theirs (x)")
        one.commit()
    other.rename(path)


DAMAGES = {
    "all removed": remove("", "-wal", "-shm"),
    "database removed": remove(""),
    "log removed": remove("-wal"),
    "index removed": remove("-shm"),
    "folder removed": lambda path: subprocess.run(["rm", "-r", str(path.parent)], check=True),
    "database emptied": truncate("", 0),
    "database halved": truncate("", 0.5),
    "log emptied": truncate("-wal", 0),
    "log halved": truncate("-wal", 0.5),
    "index emptied": truncate("-shm", 0),
    "index cut to 3 bytes": lambda path: os.truncate(beside(path, "-shm"), 3),
    "database overwritten": overwrite(""),
    "log overwritten": overwrite("-wal"),
    "index overwritten": overwrite("-shm"),
    "replaced": replace,
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_host_runs_on_and_the_store_comes_back(begin, tmp_path, damage):
    path = tmp_path / "data" / "calls.db"
    host, after = begin(path), []

    def come_back():
        for _ in range(30):
            host.call()
        assert host.flush()
        rest(host)  # an index that is cut while SQLite looks at it kills, and nothing can be done
        DAMAGES[damage](path)
        after[:], took = comes_back(host, path)
        return took

    assert least(come_back, BACK_WITHIN) < BACK_WITHIN
    more = [host.call() for _ in range(20)]
    assert host.flush()
    told = host.end()
    assert "Traceback" not in told
    assert {*after, *more} <= stored(path)
    assert is_sound(path)


def test_calls_from_before_a_log_was_cut_are_in_the_store_too(begin, tmp_path):
    path = tmp_path / "calls.db"
    host = begin(path)
    before = {host.call() for _ in range(30)}
    assert host.flush()
    os.truncate(beside(path, "-wal"), 0)
    comes_back(host, path)
    host.end()
    assert before <= stored(path)


@pytest.mark.slow
def test_a_full_disk_costs_the_host_nothing_and_what_fits_is_kept_again_once_there_is_room(begin, mounted):
    folder = mounted("1m")
    path = folder / "calls.db"
    host = begin(path)
    first = host.call()
    assert host.flush()
    assert first in stored(path)
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    waiting = [host.call() for _ in range(100)]
    wait_for(lambda: (host.stats()["error"] or "").startswith("disk_full"))
    assert is_quick(host.stats())
    ballast.unlink()
    wait_for(lambda: set(waiting) <= stored(path), BACK_WITHIN + 5)  # the pause between tries grows to four seconds
    assert is_sound(path)
    host.end()


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_no_end_of_the_host(begin, tmp_path):
    path = tmp_path / "calls.db"
    host = begin(path, limit=300)  # KiB
    for _ in range(6):
        for _ in range(300):
            host.call()
        host.flush(2)
    wait_for(lambda: host.stats()["error"] and stored(path))
    told = host.stats()
    assert told["seen"] == 1800
    assert "Traceback" not in host.end()
    assert stored(path)


@pytest.mark.slow
def test_a_read_only_file_system_is_written_once_it_can_be(begin, mounted):
    folder = mounted("4m")
    path = folder / "calls.db"
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    host = begin(path)
    waiting = [host.call() for _ in range(20)]
    assert not host.flush()
    assert host.stats()["error"].startswith("unwritable")
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    wait_for(lambda: set(waiting) <= stored(path), BACK_WITHIN + 5)
    host.end()


def unwritable(path):
    path.parent.mkdir()
    path.touch(mode=0o400)


def unreadable(path):
    path.parent.mkdir()
    path.touch(mode=0o000)


def unwritable_folder(path):
    path.parent.mkdir(mode=0o500)


def closed_folder(path):
    path.parent.mkdir(mode=0o000)


def directory(path):
    path.mkdir(parents=True)


def fifo(path):
    path.parent.mkdir()
    os.mkfifo(path)


def fifo_for_a_lock(path):
    path.parent.mkdir()
    os.mkfifo(beside(path, ".lock"))


def circle(path):
    path.parent.mkdir()
    path.symlink_to(path.with_name("b"))
    path.with_name("b").symlink_to(path)


def a_file_for_a_folder(path):
    path.parent.write_text("")


def full_of_nothing(path):
    path.parent.mkdir()
    path.symlink_to("/dev/full")


OBSTACLES = {
    "a file that may not be written": unwritable,
    "a file that may not be read": unreadable,
    "a folder that may not be written": unwritable_folder,
    "a folder that may not be entered": closed_folder,
    "a directory": directory,
    "a FIFO": fifo,
    "a FIFO for a lock": fifo_for_a_lock,
    "links in a circle": circle,
    "a file for a folder": a_file_for_a_folder,
    "a device": full_of_nothing,
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_cannot_be_a_store_costs_the_host_nothing_and_is_counted(begin, tmp_path, obstacle):
    path = tmp_path / "data" / "calls.db"
    OBSTACLES[obstacle](path)
    host = begin(path)
    for _ in range(10):
        host.call()
    begun = time.monotonic()
    kept = host.flush()
    assert time.monotonic() - begun < WITHIN / 2  # it says at once that it cannot
    told = host.stats()
    path.parent.chmod(0o700)
    assert kept == (obstacle == "a FIFO for a lock")  # which does as a lock
    assert kept or told["error"]
    assert is_quick(told)
    assert told["seen"] == 10
    assert "Traceback" not in host.end()


@pytest.mark.slow
def test_a_reader_that_holds_a_transaction_costs_no_call(begin, tmp_path):
    path = tmp_path / "calls.db"
    host = begin(path)
    host.call()
    assert host.flush()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM spans").fetchone()
        after = {host.call() for _ in range(500)}
        assert host.flush()
        assert host.stats()["dropped"] == {}
        assert host.stats()["error"] is None
        reader.execute("ROLLBACK")
    assert after <= stored(path)
    host.end()


def test_a_damaged_file_is_set_aside_with_its_log_and_can_be_looked_at(begin, tmp_path):
    path = tmp_path / "calls.db"
    path.write_bytes(b"no database at all, but somebody's data" * 100)
    content = path.read_bytes()
    host = begin(path)
    host.call()
    assert host.flush()
    assert "Traceback" not in host.end()
    (aside,) = tmp_path.glob("calls.db.corrupt-*")
    assert aside.read_bytes() == content
