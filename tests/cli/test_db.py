"""``otel-llm db``: facts about the file."""

import json
import sqlite3

import pytest
from click.testing import CliRunner

from otel_llm.cli import main


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


def test_prune_deletes_what_is_older_and_keeps_counting_it(recorded, piped):
    recorded.add(at=-7200)
    recorded.add()
    told = json.loads(piped("db", "prune", "--older-than", "1h", "--json").stdout)
    assert told["rows"] == 1
    assert len(json.loads(piped("calls", "--json").stdout)) == 1
    assert json.loads(piped("summary", "--json").stdout)["calls"] == 2


def test_prune_makes_a_store_as_small_as_asked(recorded, piped):
    for number in range(40):
        recorded.add(at=number, also={"big": "x" * 50_000})
    result = piped("db", "prune", "--max-size", "1MB")
    assert result.exit_code == 0
    assert "rows deleted" in result.stdout
    told = json.loads(piped("db", "info", "--json").stdout)
    assert told["size"] + told["wal_size"] <= 1_000_000
    assert 5 < told["rows"]["spans"] < 40


def test_prune_without_options_goes_by_the_configured_quotas(recorded, piped, monkeypatch):
    recorded.add(at=-3 * 86_400)
    recorded.add()
    monkeypatch.setenv("OTEL_LLM_STORE_MAX_AGE", "1d")
    assert json.loads(piped("db", "prune", "--json").stdout)["rows"] == 1


def test_prune_asks_for_a_size_it_can_read(recorded, piped):
    recorded.add()
    result = piped("db", "prune", "--max-size", "much")
    assert (result.exit_code, result.stdout) == (2, "")


def test_vacuum_gives_space_back(recorded, piped):
    for _ in range(40):
        recorded.add(also={"big": "x" * 50_000})
    recorded.written()
    with sqlite3.connect(recorded.path) as sqlite:
        sqlite.execute("DELETE FROM spans")
    told = json.loads(piped("db", "vacuum", "--json").stdout)
    assert told["after"] < told["before"] / 4


def test_a_sound_store_is_sound(recorded, piped):
    recorded.add()
    result = piped("db", "check")
    assert (result.exit_code, result.stdout) == (0, f"{recorded.path} is sound\n")
    assert json.loads(piped("db", "check", "--json").stdout)["ok"] is True


def test_a_damaged_store_is_told_and_what_is_readable_is_salvaged(recorded, piped):
    for number in range(200):
        recorded.add(at=number, response_id="x" * 200)
    recorded.exporter.shutdown()
    recorded.written()
    recorded.exporter._database.close(5)
    damaged = recorded.path.with_name(recorded.path.name + ".corrupt-20261123T000000")
    content = bytearray(recorded.path.read_bytes())
    page = content.index(b"x" * 200, len(content) // 2) // 4096
    content[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
    damaged.write_bytes(content)
    fresh = recorded.path.with_name("fresh.db")

    def run(*arguments):
        return CliRunner().invoke(main, [*arguments, "--db", str(fresh)])

    found = CliRunner().invoke(main, ["db", "check", "--db", str(damaged), "--json"])
    assert found.exit_code == 1
    assert json.loads(found.stdout)["problems"]
    (told,) = json.loads(run("db", "salvage", str(damaged), "--json").stdout)
    assert 150 < told["new"] < 200
    assert len(json.loads(run("calls", "--json", "--limit", "1000").stdout)) == told["new"]
    (again,) = json.loads(run("db", "salvage", str(damaged), "--json").stdout)
    assert (again["new"], again["doubled"]) == (0, told["new"])
    assert damaged.read_bytes() == bytes(content)


def test_salvage_finds_what_was_set_aside_by_itself(recorded, piped):
    recorded.add()
    recorded.written()
    aside = recorded.path.with_name(recorded.path.name + ".corrupt-1")
    aside.write_bytes(b"\xff" * 8192)
    result = piped("db", "salvage")
    assert result.exit_code == 1
    assert f"{aside}: " in result.stdout
    assert str(aside) in piped("db", "info").stdout
    aside.unlink()
    assert piped("db", "salvage").exit_code == 3


def test_salvage_of_no_file_is_an_error(recorded, piped, tmp_path):
    recorded.add()
    result = piped("db", "salvage", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "no file" in result.stdout


@pytest.mark.parametrize("command", ["prune", "vacuum", "check"])
def test_without_a_store_no_command_makes_one(recorded, piped, command):
    recorded.path = recorded.path.with_name("none.db")
    assert piped("db", command).exit_code == 3
    assert not recorded.path.exists()


@pytest.mark.parametrize("command", ["prune", "vacuum", "check"])
def test_what_is_no_store_is_said(recorded, piped, command, tmp_path):
    recorded.path = tmp_path / "text.db"
    recorded.path.mkdir()
    result = CliRunner().invoke(main, ["db", command, "--db", str(recorded.path)])
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
