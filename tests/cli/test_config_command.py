"""``otel-llm config``: what holds and where it comes from; what is wrong and where."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from otel_llm import config
from otel_llm.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, ["config", *arguments])


def test_show_prints_every_setting():
    result = run("show")
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if not line.endswith(":")]
    assert [line.split(":")[0].strip() for line in lines] == [
        setting.key.rpartition(".")[2] for setting in config.known()
    ]


def test_check_looks_into_the_file_of_prices(folder):
    (folder / "prices.yaml").write_text("models:\n  m: {input: cheap}\n")
    (folder / "c.yaml").write_text("cost: {prices: prices.yaml}\n")
    result = run("check", "c.yaml")
    assert result.exit_code == 2
    assert "prices.yaml:2: models.m.input: expected a number" in result.stdout


@pytest.mark.parametrize("form", [[], ["--origin"], ["--json"]])
def test_what_show_prints_can_be_used_as_configuration(form, monkeypatch):
    monkeypatch.setenv("OTEL_LLM_STORE_MAX_SIZE", "1GB")
    monkeypatch.setenv("OTEL_LLM_RECORD_HOSTS", "localhost:8000=vllm")
    monkeypatch.setenv("OTEL_LLM_LOG_FILE", 'odd: "name" # ä.log')
    shown = run("show", *form).stdout
    file = Path("shown.yaml")
    file.write_text(shown)
    again = config.load(path=file, environ={})
    assert not again.faults
    assert again.settings == config.load().settings


def test_show_says_where_each_value_comes_from(monkeypatch):
    Path("otel-llm.yaml").write_text("store:\n  max_age: 1d\n")
    monkeypatch.setenv("OTEL_LLM_STORE_MAX_SIZE", "1GB")
    told = json.loads(run("show", "--origin", "--json").stdout)
    assert told["store"]["max_age"] == {"value": "1d", "origin": "otel-llm.yaml:2"}
    assert told["store"]["max_size"] == {"value": "1GB", "origin": "environment OTEL_LLM_STORE_MAX_SIZE"}
    assert told["log"]["level"] == {"value": "WARNING", "origin": "default"}
    assert "max_age: 1d" in run("show", "--origin").stdout


def test_show_tells_faults_on_stderr_and_goes_on(monkeypatch):
    monkeypatch.setenv("OTEL_LLM_STORE_MAX_SIZE", "lots")
    result = run("show")
    assert result.exit_code == 0
    assert "OTEL_LLM_STORE_MAX_SIZE: expected a size" in result.stderr
    assert "max_size: 256MB" in result.stdout


def test_check_without_a_fault_says_so_on_stderr():
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("ok")


def test_check_prints_a_line_for_each_fault_and_exits_2(monkeypatch):
    Path("otel-llm.yaml").write_text("stor: 1\nlog:\n  level: loud\n")
    monkeypatch.setenv("OTEL_LLM_STORE_ENABLED", "perhaps")
    result = run("check")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "otel-llm.yaml:1: stor: expected a known key, found 'stor' (did you mean store?)",
        "otel-llm.yaml:3: log.level: expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, found 'loud'",
        "environment OTEL_LLM_STORE_ENABLED: expected true or false, found 'perhaps'",
    ]


def test_check_of_a_file_looks_at_that_file_only(monkeypatch):
    monkeypatch.setenv("OTEL_LLM_STORE_ENABLED", "perhaps")
    Path("good.yaml").write_text("store: {max_size: 1GB}\n")
    assert run("check", "good.yaml").exit_code == 0
    assert run("check", "missing.yaml").exit_code == 2


def test_check_gives_faults_as_json():
    Path("bad.yaml").write_text("stor: 1\n")
    (fault,) = json.loads(run("check", "bad.yaml", "--json").stdout)
    assert fault == {
        "where": "bad.yaml:1",
        "key": "stor",
        "expected": "a known key",
        "found": "'stor'",
        "hint": "did you mean store?",
    }
