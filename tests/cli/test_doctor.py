"""``otel-llm doctor``: one real program under opentelemetry-instrument, and the findings as a user sees them."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from click.testing import CliRunner

from otel_llm.cli import doctor, main
from otel_llm.cli.checks import Check

DOCTOR = "from otel_llm.cli import doctor, main; doctor._TIMEOUT = 500.0; main()"


@pytest.fixture
def environ(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return kept | {"OTEL_LLM_STORE_PATH": str(tmp_path / "otel-llm.db"), "XDG_CONFIG_HOME": str(tmp_path)}


def examine(environ, cwd):
    result = subprocess.run(
        [sys.executable, "-c", DOCTOR, "doctor", "--json"],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout, result.stderr
    found = {check["name"]: check for check in json.loads(result.stdout)}
    return result.returncode, found


def test_where_nothing_is_wrong_a_call_with_each_library_is_recorded(environ, tmp_path):
    code, found = examine(environ, tmp_path)
    assert found["self-test"] == {
        "name": "self-test",
        "status": "ok",
        "detail": "a call with httpx and one with httpx2 and one with urllib3 was recorded with its tokens",
        "fix": None,
    }
    assert code == 0
    assert (found["store"]["status"], found["store"]["fix"]) == ("warn", "otel-llm run -- python app.py")


def test_the_self_test_leaves_the_users_store_and_exporters_alone(environ, tmp_path):
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    code, found = examine(environ, tmp_path)
    assert found["self-test"]["status"] == "ok"
    assert found["otlp"]["status"] == "fail"
    assert code == 1
    assert list(tmp_path.iterdir()) == []


def test_where_the_sdk_is_off_the_self_test_shows_it(environ, tmp_path):
    code, found = examine(environ | {"OTEL_SDK_DISABLED": "true"}, tmp_path)
    assert code == 1
    assert found["sdk"]["fix"] == "unset OTEL_SDK_DISABLED"
    assert found["self-test"]["status"] == "fail"
    assert "called with httpx and httpx2 and urllib3, recorded 0" in found["self-test"]["detail"]


def test_the_last_call_is_told_with_its_age(recorded):
    recorded.add(took=1.0)
    recorded.written()
    store, calls = doctor._store(recorded.path)
    assert (store.status, calls.status) == ("ok", "ok")
    assert re.search(r", schema \d+, WAL", store.detail)
    assert re.fullmatch(r"the last one began 6\d\.\ds ago", calls.detail)


def test_a_store_without_a_call_is_told(recorded):
    recorded.open_parent().end()
    recorded.written()
    assert [check.detail for check in doctor._store(recorded.path)][1:] == ["no call yet"]


def test_a_store_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    (check,) = doctor._store(tmp_path / "file" / "x.db")
    assert (check.status, check.detail) == ("fail", f"{tmp_path / 'file' / 'x.db'} cannot be written")


def test_a_store_that_is_none_is_told(tmp_path):
    path = tmp_path / "otel-llm.db"
    path.write_text("not a database, whatever its name says")
    (check,) = doctor._store(path)
    assert check.status == "fail"
    assert "expected a store of otel-llm" in check.detail


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_a_finding_is_a_line_with_its_fix_below(status, code, monkeypatch):
    check = Check(name="thing", status=status, detail="as it \x1b[31mis", fix="do that")
    monkeypatch.setattr(doctor, "examine", lambda: iter([check]))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == code
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == [status, "thing", "as", "it", "is"]
    assert lines[1:] == ([] if status == "ok" else [["fix:", "do", "that"]])


def test_a_store_of_a_later_version_and_what_was_set_aside_are_told(recorded):
    recorded.add()
    recorded.written()
    recorded.exporter._database.close(5)
    with closing(sqlite3.connect(recorded.path)) as sqlite:
        sqlite.execute("PRAGMA user_version = 1000")
    recorded.path.with_name(recorded.path.name + ".corrupt-1").write_text("")
    store, damaged, calls = doctor._store(recorded.path)
    assert (store.status, damaged.status, calls.status) == ("fail", "warn", "ok")
    assert "schema 1000" in store.detail
    assert store.fix.startswith("upgrade otel-llm")
    assert damaged.fix.startswith("otel-llm db salvage")
