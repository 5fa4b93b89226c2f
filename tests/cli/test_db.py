"""``otel-llm db``: facts about the file."""

import json


def test_info_says_what_the_store_is_and_holds(recorded, piped):
    recorded.add()
    told = json.loads(piped("db", "info", "--json").stdout)
    assert told["path"] == str(recorded.path)
    assert told["rows"]["spans"] == 1
    assert told["oldest"] == told["newest"] == recorded.began
    assert told["journal_mode"] == "wal"
    assert told["size"] > 0


def test_info_is_readable(recorded, piped):
    recorded.add()
    rows = dict(line.split(maxsplit=1) for line in piped("db", "info").stdout.splitlines())
    assert rows["path"] == str(recorded.path)
    assert rows["spans"] == "1"
    assert rows["size"].endswith("of log")


def test_without_a_store_there_is_no_data(piped, recorded):
    recorded.path = recorded.path.with_name("none.db")
    result = piped("db", "info")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "otel-llm doctor" in result.stderr
