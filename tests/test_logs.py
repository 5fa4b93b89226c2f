"""What the distribution says about itself, and the file it says it in: whole lines, none lost, the host unaffected."""

import logging
import os
import re
import subprocess
import sys
import threading

import pytest

from otel_llm import logs
from otel_llm.quantity import Size

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ (INFO|WARNING|ERROR) (.*)")


@pytest.fixture(autouse=True)
def logger():
    logs.moderation.drain()
    yield logs.logger
    logs.set_up(logs.Config())
    logs.logger.removeFilter(logs.moderation)
    logs.moderation.drain()


def set_up(path, **settings):
    logs.set_up(logs.Config(file=str(path), **settings))


def said(path):
    """The messages in the file and in those it was turned into, oldest first."""
    numbered = sorted(path.parent.glob(f"{path.name}.[0-9]*"), key=lambda file: -int(file.suffix[1:]))
    lines = [line for file in [*numbered, path] if file.exists() for line in file.read_text().splitlines()]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match][:3]
    return [match[2] for match in found]


def test_a_message_is_a_line_with_time_process_and_level(tmp_path, logger):
    set_up(tmp_path / "own.log")
    logger.warning("slow %s", "disk")
    assert said(tmp_path / "own.log") == ["slow disk"]


def test_no_file_is_made_before_there_is_something_to_say(tmp_path, logger):
    set_up(tmp_path / "own.log")
    logger.info("too mild")
    assert list(tmp_path.iterdir()) == []


def test_a_full_file_is_turned_and_only_so_many_are_kept(tmp_path, logger):
    path = tmp_path / "own.log"
    set_up(path, max_size=Size(400), max_files=2)
    for number in range(100):
        logger.warning("number %d", number)
    assert {file.name for file in tmp_path.iterdir()} == {"own.log", "own.log.1", "own.log.2", "own.log.lock"}
    assert all(file.stat().st_size <= 400 for file in tmp_path.iterdir())
    assert said(path)[-1] == "number 99"


def test_without_turned_files_the_file_begins_anew(tmp_path, logger):
    set_up(tmp_path / "own.log", max_size=Size(400), max_files=0)
    for number in range(100):
        logger.warning("number %d", number)
    assert {file.name for file in tmp_path.iterdir()} == {"own.log", "own.log.lock"}


WRITER = """
import sys
from otel_llm import logs
from otel_llm.quantity import Size
path, who, lines = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
logs.set_up(logs.Config(file=path, max_size=Size(200_000), max_files=1000))
for number in range(lines):
    logs.logger.warning("writer %d line %d %s", who, number, "x" * (number % 90))
"""


def test_four_processes_that_turn_one_file_lose_no_line_and_break_none(tmp_path):
    path = tmp_path / "own.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(who), "20000"], stderr=subprocess.DEVNULL)
        for who in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(list(tmp_path.glob("own.log.[0-9]*"))) > 20
    found = [line.split() for line in said(path)]
    for who in range(4):
        assert sorted(int(words[3]) for words in found if words[1] == str(who)) == list(range(20_000))


def test_a_forked_child_writes_on_and_turns_the_file(tmp_path, logger):
    path = tmp_path / "own.log"
    set_up(path, max_size=Size(400), max_files=50)
    logger.warning("before")
    child = os.fork()
    if not child:
        for number in range(20):
            logger.warning("child %d", number)
        os._exit(0)
    os.waitpid(child, 0)
    logger.warning("after")
    assert said(path) == ["before", *(f"child {number}" for number in range(20)), "after"]


def test_threads_share_the_file(tmp_path, logger):
    path = tmp_path / "own.log"
    set_up(path, max_size=Size(2000), max_files=100)

    def write(who):
        for number in range(100):
            logger.warning("thread %d line %d", who, number)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(said(path))) == 400


def test_a_file_that_somebody_removed_is_made_again(tmp_path, logger):
    path = tmp_path / "own.log"
    set_up(path)
    logger.warning("one")
    path.unlink()
    logger.warning("two")
    assert said(path) == ["two"]


def test_a_file_that_another_program_moved_is_left_to_it(tmp_path, logger):
    path = tmp_path / "own.log"
    set_up(path)
    logger.warning("one")
    path.rename(tmp_path / "moved.log")
    logger.warning("two")
    assert said(path) == ["two"]


def test_a_missing_folder_is_made(tmp_path, logger):
    path = tmp_path / "a" / "b" / "own.log"
    set_up(path)
    logger.warning("one")
    assert said(path) == ["one"]


@pytest.mark.parametrize("kind", ["full disk", "folder", "below a file"])
def test_a_file_that_cannot_be_written_is_told_once_and_the_host_goes_on(kind, tmp_path, logger, caplog):
    (tmp_path / "file").write_text("")
    path = {"full disk": "/dev/full", "folder": tmp_path, "below a file": tmp_path / "file" / "own.log"}[kind]
    set_up(path)
    for number in range(5):
        logger.warning("number %d", number)
    told = [record.getMessage() for record in caplog.records if "log.file" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith(f"log.file: expected a file that can be written, found {path} (")
    assert len(caplog.records) == 6, "the application's logging has them all"


def test_what_was_lost_is_counted_in_the_file(tmp_path, logger, monkeypatch):
    folder = tmp_path / "folder"
    set_up(folder)
    folder.mkdir()
    logger.warning("one")
    logger.warning("two")
    folder.rmdir()
    monkeypatch.setattr(logs, "_RETRY", 0.0)
    logger.handlers[-1]._retry_at = 0.0
    logger.warning("three")
    assert said(folder) == ["2 messages could not be written here", "three"]


def test_a_line_that_a_full_disk_cut_stands_alone(tmp_path, logger, monkeypatch):
    path = tmp_path / "own.log"
    set_up(path)
    write, left = os.write, [12]

    def full(file, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        written = write(file, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", full)
    logger.warning("one")
    monkeypatch.setattr(os, "write", write)
    logger.handlers[-1]._retry_at = 0.0
    logger.warning("two")
    first, *rest = path.read_text().splitlines()
    assert len(first) == 12
    assert [LINE.fullmatch(line)[2] for line in rest] == ["1 messages could not be written here", "two"]


def test_a_message_that_repeats_is_left_out_and_counted(tmp_path, logger, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    set_up(tmp_path / "own.log")
    for _ in range(25):
        logger.warning("again")
    now[0] = 61.0
    logger.warning("again")
    assert said(tmp_path / "own.log") == ["again"] * 10 + ["again (15 more like it were left out)"]


def test_what_was_left_out_is_told_at_the_end(tmp_path, logger):
    set_up(tmp_path / "own.log")
    for _ in range(12):
        logger.warning("again")
    logger.handlers[-1].close()
    assert said(tmp_path / "own.log")[-1] == "again (2 more like it were left out)"


def test_the_messages_that_are_remembered_are_bounded(logger, tmp_path):
    set_up(tmp_path / "own.log")
    for number in range(2000):
        logger.warning("number %d", number)
    assert len(logs.moderation._said) <= 512


def test_keys_and_texts_of_exceptions_reach_neither_file_nor_application(tmp_path, logger, caplog):
    set_up(tmp_path / "own.log")
    try:
        int("the user's own words")
    except ValueError:
        logger.exception("refused sk-abcdefgh123456")
    assert said(tmp_path / "own.log") == ["refused [redacted] (ValueError)"]
    assert "abcdefgh" not in caplog.text
    assert "own words" not in caplog.text


def test_a_message_is_one_line_of_bounded_length(tmp_path, logger):
    set_up(tmp_path / "own.log")
    logger.warning("a\nb\r\n%s", "word " * 10_000)
    (line,) = said(tmp_path / "own.log")
    assert line.startswith("a | b")
    assert len(line) <= logs.LONGEST


def test_a_message_that_cannot_be_made_is_no_error(tmp_path, logger):
    set_up(tmp_path / "own.log")
    logger.warning("%d", "no number")
    logger.warning("\ud800 half")
    assert said(tmp_path / "own.log") == ["? half"]


def test_a_second_set_up_replaces_the_file(tmp_path, logger):
    set_up(tmp_path / "one.log")
    set_up(tmp_path / "two.log", level="ERROR")
    logger.warning("mild")
    logger.error("hard")
    assert not (tmp_path / "one.log").exists()
    assert said(tmp_path / "two.log") == ["hard"]


def test_the_environment_sets_the_file(tmp_path):
    code = "import otel_llm; otel_llm.instrument()"
    environ = {
        **os.environ,
        "OTEL_LLM_STORE_ENABLED": "false",
        "OTEL_LLM_LOG_FILE": str(tmp_path / "own.log"),
        "OTEL_LLM_LOG_MAX_SIZE": "1MB",
        "OTEL_LLM_LOG_MAX_FILES": "many",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, check=True)
    expected = (
        "environment OTEL_LLM_LOG_MAX_FILES: expected a whole number, 0 or more, found 'many'; using what stood before"
    )
    assert said(tmp_path / "own.log") == [expected]
    assert done.stdout == b""


def test_other_loggers_are_left_alone(tmp_path, caplog):
    set_up(tmp_path / "own.log")
    for _ in range(50):
        logging.getLogger("application").warning("again")
    assert len(caplog.records) == 50
