"""Each thing that ``otel-llm doctor`` looks at, sick and sound."""

import socket
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from otel_llm import config
from otel_llm.cli import checks


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def listener():
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def switches(**environ):
    return list(checks.switches(environ, config.load(environ=environ)))


def points(monkeypatch, **by_group):
    def entry_points(*, group):
        return [EntryPoint(name, "x:y", group) for name in by_group.get(group.removeprefix("opentelemetry_"), ())]

    monkeypatch.setattr(checks, "entry_points", entry_points)


def test_nothing_set_switches_nothing_off():
    assert switches() == []


@pytest.mark.parametrize(
    ("environ", "status", "name", "said"),
    [
        ({"OTEL_SDK_DISABLED": "TRUE"}, "fail", "sdk", "no span is made"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "urllib, otel_llm"}, "fail", "instrumentation", "not recorded"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "fail", "instrumentation", "not recorded"),
        ({"OTEL_LLM_RECORD_ENABLED": "false"}, "fail", "recording", "environment OTEL_LLM_RECORD_ENABLED"),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, "fail", "sampler", "no span is kept"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
            "warn",
            "sampler",
            "with 0.1: only that share",
        ),
        ({"OTEL_CONFIG_FILE": "/nowhere.yaml"}, "fail", "declarative", "no such file"),
        ({"OTEL_CONFIG_FILE": __file__}, "warn", "declarative", "ignores all other OTEL_* variables"),
        ({"OTEL_LLM_STORE_ENABLED": "false"}, "warn", "exporters", "nothing is kept here"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "warn", "exporters", "the local store gets no traces"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "fail", "exporters", "the local store gets no traces"),
        ({"OTEL_LOGS_EXPORTER": "none"}, "warn", "exporters", "the local store gets no logs"),
    ],
)
def test_what_switches_recording_off_is_found(environ, status, name, said):
    (check,) = switches(**environ)
    assert (check.status, check.name) == (status, name)
    assert said in check.detail
    assert check.fix


def test_the_store_among_the_users_exporters_is_fine():
    assert switches(OTEL_TRACES_EXPORTER="otlp, sqlite") == []


def test_the_fix_for_exporters_keeps_the_users_own():
    (check,) = switches(OTEL_TRACES_EXPORTER="otlp,console")
    assert check.fix.startswith("OTEL_TRACES_EXPORTER=otlp,console,sqlite")


def test_this_distribution_alone_is_the_one_used():
    assert [check.status for check in checks.distribution({})] == ["ok", "ok"]


def test_another_distribution_found_first_is_told_with_the_command_that_helps(monkeypatch):
    points(monkeypatch, distro=("distro", "otel_llm"), configurator=("otel_llm", "configurator"))
    distro, configurator = checks.distribution({})
    assert distro.status == "warn"
    assert "'distro' is used" in distro.detail
    assert distro.fix.startswith("otel-llm run -- CMD")
    assert configurator.status == "ok"


def test_another_distribution_is_harmless_when_this_one_is_named(monkeypatch):
    points(monkeypatch, distro=("distro", "otel_llm"), configurator=("configurator", "otel_llm"))
    environ = {"OTEL_PYTHON_DISTRO": "otel_llm", "OTEL_PYTHON_CONFIGURATOR": "otel_llm"}
    assert [check.status for check in checks.distribution(environ)] == ["ok", "ok"]


def test_a_distribution_that_is_not_installed_is_a_failure(monkeypatch):
    points(monkeypatch, distro=(), configurator=())
    assert [check.status for check in checks.distribution({})] == ["fail", "fail"]


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ((3, 6, 23), "ok"),
        ((3, 7, 0), "warn"),
        ((3, 40, 1), "warn"),
        ((3, 44, 5), "warn"),
        ((3, 44, 6), "ok"),
        ((3, 45, 0), "warn"),
        ((3, 50, 6), "warn"),
        ((3, 50, 7), "ok"),
        ((3, 51, 2), "warn"),
        ((3, 51, 3), "ok"),
        ((3, 53, 0), "ok"),
    ],
)
def test_sqlite_with_the_wal_reset_bug_is_told(version, status):
    (check,) = checks.sqlite(version)
    assert check.status == status
    assert check.detail.startswith(".".join(map(str, version)))


def test_without_an_endpoint_nothing_is_connected_to():
    (check,) = checks.otlp({})
    assert check.status == "ok"


def test_an_endpoint_where_something_listens_is_fine(listener):
    (check,) = checks.otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener}"})
    assert check.status == "ok"


def test_an_endpoint_where_nobody_listens_is_a_failure(listener):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listener}",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://user:secret@127.0.0.1:{free}/v1/traces",
    }
    sound, sick = checks.otlp(environ)
    assert (sound.status, sick.status) == ("ok", "fail")
    assert "Connection refused" in sick.detail
    assert "secret" not in sick.detail


def test_an_endpoint_that_is_no_url_is_a_failure():
    (check,) = checks.otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:port"})
    assert (check.status, check.fix) == ("fail", "correct it, or unset it")


def test_a_protocol_that_the_sdk_refuses_is_a_failure():
    found = list(checks.otlp({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}))
    assert "http/json" in next(check.detail for check in found if check.status == "fail")


def test_the_port_of_the_other_protocol_is_told(monkeypatch):
    monkeypatch.setattr(checks.socket, "create_connection", lambda *_args, **_kwargs: socket.socket())
    (check,) = checks.otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"})
    assert (check.status, check.fix) == ("warn", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")


def test_faults_of_the_configuration_are_findings():
    loaded = config.load(environ={"OTEL_LLM_STORE_MAX_SIZE": "lots"})
    (check,) = checks.configuration(loaded)
    assert check.status == "warn"
    assert "OTEL_LLM_STORE_MAX_SIZE: expected a size" in check.detail


def test_an_installed_library_is_told_with_its_version_and_extent(monkeypatch):
    monkeypatch.setattr(checks, "installed", {"httpx": "0.28.1", "google-genai": "1.0"}.get)
    httpx, gemini = checks.libraries()
    assert (httpx.status, httpx.detail) == ("ok", "0.28.1: calls are recorded")
    assert "live sessions" in gemini.detail


def test_no_covered_library_is_a_failure(monkeypatch):
    monkeypatch.setattr(checks, "installed", {"requests": "2.32"}.get)
    assert [check.status for check in checks.libraries()] == ["ok", "fail"]


def test_two_instrumentations_of_one_name_are_told(monkeypatch):
    points(monkeypatch, instrumentor=("openai", "openai", "flask"))
    monkeypatch.setattr(checks, "requires", lambda _package: None)
    (check,) = checks.instrumentations({})
    assert check.status == "warn"


def test_another_instrumentation_is_told_with_its_version_and_what_it_means():
    found = [check.detail for check in checks.instrumentations({})]
    assert any(detail.startswith("opentelemetry-instrumentation-genai-openai 1.") for detail in found)
    assert any(detail.startswith("opentelemetry-instrumentation-httpx ") and "child" in detail for detail in found)


def test_an_instrumentation_that_is_switched_off_is_told_so(monkeypatch):
    points(monkeypatch, instrumentor=("openai",))
    monkeypatch.setattr(checks, "requires", lambda _package: None)
    (check,) = checks.instrumentations({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask, openai"})
    assert (check.status, check.fix) == ("ok", None)
    assert "switches it off" in check.detail


@pytest.mark.parametrize(
    ("needs", "switch", "number"),
    [(["opentelemetry-api>=1"], "", 1), (["opentelemetry-api>=1"], "False", 0), (["httpx"], "", 0), (None, "", 0)],
)
def test_anthropics_own_spans_are_told_while_they_are_on(needs, switch, number, monkeypatch):
    points(monkeypatch)
    monkeypatch.setattr(checks, "requires", lambda _package: needs)
    assert len(list(checks.instrumentations({"ANTHROPIC_OPEN_TELEMETRY": switch}))) == number


def test_someone_elses_sitecustomize_is_told(folder, monkeypatch):
    file = folder / "sitecustomize.py"
    file.write_text("")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "sitecustomize", raising=False)
    (check,) = checks.site()
    assert check.status == "warn"
    assert str(file) in check.detail


def test_a_machine_without_a_card_is_fine():
    (check,) = checks.driver()
    assert check.status == "ok"
    assert check.detail.startswith("none readable: ")


def test_cards_are_told_with_what_troubles_them(cards):
    cards.say({"1.name": "Other GPU"})
    (check,) = checks.driver()
    assert (check.status, check.detail) == ("ok", "NVML: 1 x Stand-in GPU, 1 x Other GPU")
    cards.say({"1.all.err": 15})
    (check,) = checks.driver()
    assert (check.status, check.detail) == ("warn", "NVML: 1 x Stand-in GPU; nvidia-1 is lost")


def test_a_check_that_breaks_is_a_finding():
    def broken():
        message = "no luck"
        raise RuntimeError(message)
        yield

    (check,) = checks.guarded("odd", broken)
    assert (check.name, check.status) == ("odd", "warn")
    assert "RuntimeError: no luck" in check.detail


def test_a_place_is_writable_where_its_folders_could_be_made(folder):
    assert checks.writable(folder / "a" / "b" / "x.db")
    assert not checks.writable(folder)
    (folder / "file").write_text("")
    assert not checks.writable(folder / "file" / "x.db")
    assert not checks.writable(Path("/proc/none/x.db"))
    assert [entry.name for entry in folder.iterdir()] == ["file"]
