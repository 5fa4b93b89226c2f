"""Settings from defaults, YAML, environment and arguments; every mistake is told, none stops the application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_llm import config, semconv
from otel_llm.quantity import Duration, Size


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder and an empty config folder of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def defaults():
    return config.load(environ={}).settings


def write(text, path="otel-llm.yaml"):
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def told(loaded):
    return [str(fault) for fault in loaded.faults]


def test_with_nothing_said_everything_is_default_and_nothing_is_wrong():
    loaded = config.load(environ={})
    assert loaded.settings.record == config.Settings().record
    assert loaded.settings.store.max_size == Size.parse("256MB")
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.faults == ()
    assert loaded.file is None


def test_a_file_in_the_working_folder_is_read():
    write("store:\n  max_size: 1GB\n")
    loaded = config.load(environ={})
    assert loaded.settings.store.max_size == 10**9
    assert loaded.origins["store.max_size"] == "otel-llm.yaml:2"


def test_without_one_the_file_in_the_users_config_folder_is_read(folder):
    file = write("log: {level: debug}\n", folder / "config" / "otel-llm" / "otel-llm.yaml")
    loaded = config.load(environ={})
    assert loaded.settings.log.level == "DEBUG"
    assert loaded.origins["log.level"] == f"{file}:1"


def test_the_file_that_the_environment_names_wins_over_the_one_in_the_folder():
    write("store: {max_age: 1d}\n")
    write("store: {max_age: 2d}\n", "other.yaml")
    loaded = config.load(environ={"OTEL_LLM_CONFIG": "other.yaml"})
    assert loaded.settings.store.max_age == Duration.parse("2d")
    assert loaded.origins["store.max_age"] == "other.yaml:1"


def test_a_named_file_that_is_missing_is_a_fault():
    loaded = config.load(environ={"OTEL_LLM_CONFIG": "missing.yaml"})
    assert told(loaded) == ["environment OTEL_LLM_CONFIG: expected a readable YAML file, found 'missing.yaml'"]


def test_environment_wins_over_yaml_and_arguments_win_over_both():
    write("store: {max_size: 1MB, max_age: 1d}\nlog: {level: info}\n")
    loaded = config.load(
        environ={"OTEL_LLM_STORE_MAX_SIZE": "2MB", "OTEL_LLM_STORE_MAX_AGE": "2d"},
        arguments={"store.max_size": Size.parse("3MB")},
    )
    assert loaded.settings.store.max_size == Size.parse("3MB")
    assert loaded.settings.store.max_age == Duration.parse("2d")
    assert loaded.settings.log.level == "INFO"
    assert loaded.origins["store.max_size"] == "argument"
    assert loaded.origins["store.max_age"] == "environment OTEL_LLM_STORE_MAX_AGE"


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("Yes", True), ("ON", True), ("false", False), ("0", False), ("no", False)],
)
def test_a_switch_in_the_environment_is_written_in_many_ways(text, value):
    loaded = config.load(environ={"OTEL_LLM_RECORD_ENABLED": text})
    assert loaded.settings.record.enabled is value
    assert not loaded.faults


def test_an_empty_variable_is_an_unset_one():
    assert config.load(environ={"OTEL_LLM_STORE_MAX_SIZE": "", "OTEL_LLM_CONFIG": ""}).faults == ()


def test_hosts_are_told_in_yaml_and_in_the_environment():
    write("record:\n  hosts:\n    localhost:8000: vllm\n    api.example.com: openai\n")
    assert config.load(environ={}).settings.record.hosts == {"localhost:8000": "vllm", "api.example.com": "openai"}
    loaded = config.load(environ={"OTEL_LLM_RECORD_HOSTS": "localhost:1=tgi, h2=ollama"})
    assert loaded.settings.record.hosts == {"localhost:1": "tgi", "h2": "ollama"}


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        (
            {"OTEL_LLM_STORE_MAX_SIZE": "much"},
            "environment OTEL_LLM_STORE_MAX_SIZE: expected a size such as 64KB, 256MB or 1GB, found 'much'",
        ),
        (
            {"OTEL_LLM_RECORD_ENABLED": "maybe"},
            "environment OTEL_LLM_RECORD_ENABLED: expected true or false, found 'maybe'",
        ),
        (
            {"OTEL_LLM_LOG_LEVEL": "loud"},
            "environment OTEL_LLM_LOG_LEVEL: expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, found 'loud'",
        ),
        (
            {"OTEL_LLM_RECORD_HOSTS": "localhost"},
            (
                "environment OTEL_LLM_RECORD_HOSTS: expected pairs such as localhost:8000=vllm,10.0.0.7=tgi, "
                "found 'localhost'"
            ),
        ),
        (
            {"OTEL_LLM_STORE_MAXSIZE": "1GB"},
            (
                "environment OTEL_LLM_STORE_MAXSIZE: expected a known variable, found an unknown one "
                "(did you mean OTEL_LLM_STORE_MAX_SIZE?)"
            ),
        ),
    ],
)
def test_a_faulty_variable_is_told_and_the_default_stands(environ, fault):
    loaded = config.load(environ=environ)
    assert told(loaded) == [fault]
    assert loaded.settings == defaults()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "store:\n  max_siz: 1GB\n",
            "otel-llm.yaml:2: store.max_siz: expected a known key, found 'max_siz' (did you mean max_size?)",
        ),
        (
            "max_size: 1GB\n",
            "otel-llm.yaml:1: max_size: expected a known key, found 'max_size' (did you mean store.max_size?)",
        ),
        ("stor:\n  x: 1\n", "otel-llm.yaml:1: stor: expected a known key, found 'stor' (did you mean store?)"),
        (
            "store:\n  max_age: 14\n",
            "otel-llm.yaml:2: store.max_age: expected a duration such as 500ms, 10s, 5m, 4h or 14d, found 14",
        ),
        ("store:\n  enabled: 'yes'\n", "otel-llm.yaml:2: store.enabled: expected true or false, found 'yes'"),
        ("store:\n  enabled:\n", "otel-llm.yaml:2: store.enabled: expected true or false, found nothing"),
        ("\nstore: 5\n", "otel-llm.yaml:2: store: expected keys with values, found 5"),
        ("log: {file: [a]}\n", "otel-llm.yaml:1: log.file: expected text, found a list"),
        (
            "record:\n  hosts:\n    a: b\n    c: 5\n",
            "otel-llm.yaml:4: record.hosts.c: expected text, found 5",
        ),
        (
            "log:\n  level: info\n  level: debug\n",
            "otel-llm.yaml:3: log.level: expected each key once, found it again, first on line 2",
        ),
        ("- a\n- b\n", "otel-llm.yaml:1: expected keys with values, found a list"),
        ("just text\n", "otel-llm.yaml:1: expected keys with values, found 'just text'"),
        ("store:\n\tenabled: true\n", "otel-llm.yaml:2: expected spaces for indentation, found a tab"),
        ("log: {file: a}\n---\nlog: {file: b}\n", "otel-llm.yaml:2: expected one YAML document, found another one"),
        ("log: {\n", "otel-llm.yaml:2: expected valid YAML, found expected the node content, but found '<stream end>'"),
        (
            "log:\n  file: !!python/name:os.system x\n",
            "otel-llm.yaml:2: log.file: expected a plain value, found the tag tag:yaml.org,2002:python/name:os.system",
        ),
        ("log: {file: \x07}\n", "otel-llm.yaml:1: expected printable text, found U+0007"),
    ],
)
def test_a_faulty_file_is_told_with_its_line_and_the_default_stands(text, fault):
    unwritten = defaults()
    write(text)
    loaded = config.load(environ={})
    assert told(loaded)[:1] == [fault]
    assert loaded.settings.store == unwritten.store


def test_one_faulty_key_does_not_spoil_the_others():
    write("store:\n  max_size: lots\n  max_age: 3d\n")
    loaded = config.load(environ={})
    assert loaded.settings.store.max_age == Duration.parse("3d")
    assert loaded.settings.store.max_size == config.Settings().store.max_size
    assert len(loaded.faults) == 1


def test_a_faulty_variable_leaves_what_the_file_said():
    write("store: {max_age: 3d}\n")
    loaded = config.load(environ={"OTEL_LLM_STORE_MAX_AGE": "soon"})
    assert loaded.settings.store.max_age == Duration.parse("3d")
    assert loaded.origins["store.max_age"] == "otel-llm.yaml:1"


def test_an_empty_file_and_an_empty_section_say_nothing():
    write("# nothing yet\n")
    assert config.load(environ={}).faults == ()
    write("store:\n#  max_size: 1GB\n")
    assert config.load(environ={}).faults == ()


def test_bytes_that_are_no_text_are_told():
    Path("otel-llm.yaml").write_bytes(b"log:\n  file: \xff\n")
    assert told(config.load(environ={})) == ["otel-llm.yaml:2: expected text in UTF-8, found the byte 0xff"]


def test_a_file_that_is_too_large_is_not_parsed():
    write("# " + "x" * 256_000)
    assert told(config.load(environ={})) == ["otel-llm.yaml: expected a small YAML file, found more than 256,000 bytes"]


def test_aliases_of_aliases_do_not_blow_up():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    write("\n".join(lines))
    assert any("expected at most 20,000 values, found more" in fault for fault in told(config.load(environ={})))


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a\n  b: *a\n", "[" * 5_000, "a: " + "{a: " * 2_000])
def test_a_file_without_an_end_is_a_fault(text):
    write(text)
    assert any("levels" in fault or "valid YAML" in fault for fault in told(config.load(environ={})))


def test_an_alias_of_a_plain_value_is_fine():
    write("log: {file: &file x.log}\nstore: {path: *file}\n")
    loaded = config.load(environ={})
    assert str(loaded.settings.store.path) == "x.log"
    assert not loaded.faults


def test_a_pipe_is_refused_instead_of_waited_for(folder):
    os.mkfifo(folder / "pipe")
    loaded = config.load(environ={"OTEL_LLM_CONFIG": "pipe"})
    assert told(loaded) == ["pipe: expected a file, found a folder, pipe or device"]


def test_an_unknown_argument_is_a_fault():
    loaded = config.load(environ={}, arguments={"store.pat": "x", "store.max_age": "never"})
    assert told(loaded) == [
        "argument store.pat: expected a known key, found 'store.pat' (did you mean store.path?)",
        "argument store.max_age: expected a duration such as 500ms, 10s, 5m, 4h or 14d, found 'never'",
    ]


def test_the_stores_place_is_always_told(folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert defaults().store.path == str(folder / "data" / "otel-llm" / "otel-llm.db")
    assert config.load(environ={"OTEL_LLM_STORE_PATH": "~/x.db"}).settings.store.path == "/home/me/x.db"


def test_every_variable_is_listed_where_opentelemetry_instrument_looks():
    derived = {setting.environment for setting in config.known()} | {"OTEL_LLM_CONFIG"}
    listed = {name for name in vars(semconv) if name.startswith("OTEL_LLM_")}
    assert listed == derived, "edit the list `environment` in src/otel_llm/semconv.py"
    assert all(getattr(semconv, name) == name for name in listed)


def test_each_kind_of_setting_can_be_told_in_words():
    assert all(setting.expected for setting in config.known())


def test_without_a_file_yaml_is_not_imported(folder):
    program = "import sys; from otel_llm import config; config.load(); sys.exit('yaml' in sys.modules)"
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTHON"))}
    result = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environ, check=False)
    assert result.returncode == 0


def test_a_redis_is_shown_without_its_password():
    loaded = config.load(environ={"OTEL_LLM_REDIS_URL": "rediss://me:pw@redis.internal:6379/0?password=pw"})
    assert loaded.settings.redis.url.endswith("pw")
    assert loaded.values()["redis.url"] == "rediss://redis.internal:6379/[redacted]"


def test_a_webhook_is_shown_without_its_token():
    loaded = config.load(environ={"OTEL_LLM_ALERTS_WEBHOOK": "https://me:pw@hooks.slack.com/services/T0/B0/abc"})
    assert loaded.settings.alerts.webhook.endswith("abc")
    assert loaded.values()["alerts.webhook"] == "https://hooks.slack.com/[redacted]"
