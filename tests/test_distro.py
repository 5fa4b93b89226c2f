"""The distribution as its users start it: each test a process of its own, as ``opentelemetry-instrument`` runs it.

Slow to start, so a process reports everything about itself at once.
"""

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
CALL = """
    import httpx
    answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}
    def call(library=httpx):
        transport = library.MockTransport(lambda _: library.Response(200, json=answer))
        with library.Client(transport=transport) as client:
            client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
"""
REPORT = """
    import json, os, sys, threading
    from opentelemetry import metrics, trace
    from opentelemetry._logs import get_logger_provider

    def names(items):
        return sorted(type(item).__name__ for item in items)

    def parts(provider, *path):
        for name in path:
            provider = getattr(provider, name, None)
        return list(provider or ())

    def report(**more):
        traces, meters, logs = trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()
        exporters = [getattr(one, "span_exporter", getattr(one, "_span_exporter", None))
                     for one in parts(traces, "_active_span_processor", "_span_processors")]
        spans = names(parts(traces, "_active_span_processor", "_span_processors"))
        watching = ("AlertProcessor", "Peers", "Sightings")
        print("REPORT" + json.dumps({
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "environ": {k: v for k, v in os.environ.items() if k.startswith("OTEL_")},
            "modules": sorted({name.partition(".")[0] for name in list(sys.modules)}),
            "provider": type(traces).__module__ + "." + type(traces).__name__,
            "sampler": type(getattr(traces, "sampler", None)).__name__,
            "ids": type(getattr(traces, "id_generator", None)).__module__,
            "spans": [name for name in spans if name not in watching],
            "watching": [name for name in spans if name in watching],
            "metrics": names(parts(meters, "_measurement_consumer", "_reader_storages")),
            "logs": names(parts(logs, "_multi_log_record_processor", "_log_record_processors")),
            "instrumented": __import__("otel_llm.record.transport", fromlist=["x"]).tapped(),
            "on": "tap" in __import__("otel_llm.record.transport", fromlist=["x"])._patched,
            **more,
        }))
"""
ALL_KEPT = {"spans": ["StoreSpanProcessor"], "metrics": ["StoreMetricReader"], "logs": ["StoreLogProcessor"]}


@pytest.fixture
def environ(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return kept | {
        "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }


@pytest.fixture
def run(environ, tmp_path):
    """Runs a program under ``opentelemetry-instrument``, or plainly; its report and the whole result."""

    def start(code, *, plain=False, **more):
        program = textwrap.dedent(REPORT) + textwrap.dedent(CALL if "call(" in code else "") + textwrap.dedent(code)
        command = [sys.executable, "-c", program]
        if not plain:
            command.insert(0, str(BIN / "opentelemetry-instrument"))
        result = subprocess.run(
            command, env=environ | more, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180
        )
        assert result.returncode == 0, result.stderr
        lines = [line[6:] for line in result.stdout.splitlines() if line.startswith("REPORT")]
        return (json.loads(lines[-1]) if lines else {}), result

    return start


def stored(environ, table="spans"):
    """Rows that the store holds; none where it was never made."""
    path = Path(environ["OTEL_LLM_STORE_PATH"])
    if not path.exists():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names


def kept(report):
    return {name: report[name] for name in ALL_KEPT}


def test_a_program_that_calls_nothing_pays_for_nothing(run, tmp_path):
    report, result = run("report()")
    assert kept(report) == ALL_KEPT
    assert report["watching"] == ["AlertProcessor", "Peers", "Sightings"]
    assert report["threads"] == ["MainThread"]
    assert report["on"]
    assert {"httpx", "httpx2", "openai", "anthropic", "requests", "grpc"}.isdisjoint(report["modules"])
    assert report["environ"].keys() == {"OTEL_LLM_STORE_PATH"}
    assert (report["sampler"], report["ids"]) == ("RecordInferences", "otel_llm.record.ids")
    assert list(tmp_path.iterdir()) == []
    assert result.stderr == ""


def test_a_call_is_kept_before_the_program_has_ended(run, environ):
    report, result = run("""
        call()
        import httpx2
        call(httpx2)
        import otel_llm
        flushed = otel_llm.flush(60)
        import sqlite3
        path = os.environ["OTEL_LLM_STORE_PATH"]
        rows = sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT count(*) FROM spans").fetchone()[0]
        report(flushed=flushed, rows=rows)
    """)
    assert (report["flushed"], report["rows"], report["instrumented"]) == (True, 2, ["httpx", "httpx2"])
    assert stored(environ) == 2
    assert stored(environ, "points") > 0
    assert result.stderr == ""


def test_a_call_is_kept_without_a_flush(run, environ):
    run("call()")
    assert (stored(environ), stored(environ, "points") > 0) == (1, True)


def test_exporters_that_the_user_names_win(run, environ):
    report, _ = run(
        "call(); report()", OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none"
    )
    assert kept(report) == {"spans": ["BatchSpanProcessor"], "metrics": [], "logs": []}
    assert stored(environ) == 0


def test_none_keeps_nothing(run, environ, tmp_path):
    none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    report, _ = run("call(); report()", **none)
    assert kept(report) == {"spans": [], "metrics": [], "logs": []}
    assert report["environ"].items() >= none.items()
    assert list(tmp_path.iterdir()) == []


def test_the_store_may_be_named_beside_others(run, environ):
    report, _ = run("call(); report()", OTEL_TRACES_EXPORTER="console, sqlite")
    assert report["spans"] == ["BatchSpanProcessor", "StoreSpanProcessor"]
    assert stored(environ) == 1


def test_otlp_comes_with_its_endpoint(run, free_port, environ):
    port = free_port()
    report, _ = run("report()", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"http://127.0.0.1:{port}/v1/traces")
    assert kept(report) == ALL_KEPT | {"spans": ["BatchSpanProcessor", "StoreSpanProcessor"]}
    assert "grpc" not in report["modules"]
    assert report["environ"].keys() == {"OTEL_LLM_STORE_PATH", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}


def test_children_inherit_the_users_environment_only(run):
    report, _ = run("""
        import subprocess
        child = "import json, os; print(json.dumps(sorted(k for k in os.environ if k.startswith('OTEL_'))))"
        said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout
        report(child=json.loads(said))
    """)
    assert report["child"] == ["OTEL_LLM_STORE_PATH"]


CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  processors:
    - simple: {exporter: {console: {}}}
"""


def test_a_configuration_file_sets_the_sdk_up_and_the_store_is_attached(run, environ, tmp_path):
    (tmp_path / "sdk.yaml").write_text(CONFIGURATION)
    report, _ = run("call(); report()", OTEL_CONFIG_FILE=str(tmp_path / "sdk.yaml"))
    assert report["on"]
    assert report["spans"] == ["SimpleSpanProcessor", "StoreSpanProcessor"]
    assert stored(environ) == 1


@pytest.fixture
def other_distro(tmp_path):
    """Another distribution that is found first; the folder for ``PYTHONPATH``."""
    folder = tmp_path / "site"
    info = folder / "aaa_other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aaa-other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_distro]\nother = aaa_other:Other\n"
        "[opentelemetry_configurator]\nother = aaa_other:Configurator\n"
    )
    (folder / "aaa_other.py").write_text(
        textwrap.dedent("""
            import os
            from opentelemetry.instrumentation.distro import BaseDistro
            from opentelemetry.sdk._configuration import _OTelSDKConfigurator

            class Other(BaseDistro):
                def _configure(self, **settings):
                    os.environ.setdefault("OTHER_DISTRO", "here")

            class Configurator(_OTelSDKConfigurator):
                pass
        """)
    )
    return str(folder)


@pytest.mark.parametrize("chosen", [{}, {"OTEL_PYTHON_DISTRO": "other", "OTEL_PYTHON_CONFIGURATOR": "other"}])
def test_beside_another_distribution_calls_are_kept_too(run, environ, other_distro, chosen):
    report, _ = run("call(); report(other=os.environ.get('OTHER_DISTRO'))", PYTHONPATH=other_distro, **chosen)
    assert (report["on"], report["other"]) == (True, "here")
    assert report["spans"].count("StoreSpanProcessor") == 1
    assert stored(environ) == 1


def test_another_distribution_may_name_the_store_as_an_exporter(run, environ, other_distro):
    exporters = {f"OTEL_{signal}_EXPORTER": "sqlite" for signal in ("TRACES", "METRICS", "LOGS")}
    run("call()", PYTHONPATH=other_distro, **exporters)
    assert stored(environ) == 1


def test_with_run_ours_is_chosen_over_another(environ, other_distro, tmp_path):
    code = textwrap.dedent(REPORT) + "report(other=os.environ.get('OTHER_DISTRO'))"
    result = subprocess.run(
        [str(BIN / "otel-llm"), "run", "--", sys.executable, "-c", code],
        env=environ | {"PYTHONPATH": other_distro},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(result.stdout.partition("REPORT")[2])
    assert (report["other"], report["on"], kept(report)) == (None, True, ALL_KEPT)


def test_one_line_does_the_same(run, environ):
    report, result = run(
        """
        import otel_llm
        otel_llm.instrument()
        otel_llm.instrument()
        call()
        report()
        """,
        plain=True,
    )
    assert kept(report) == ALL_KEPT
    assert report["environ"].keys() == {"OTEL_LLM_STORE_PATH"}
    assert (stored(environ), result.stderr) == (1, "")


def test_one_line_under_opentelemetry_instrument_changes_nothing(run, environ):
    report, result = run("import otel_llm; otel_llm.instrument(); call(); report()")
    assert kept(report) == ALL_KEPT
    assert (stored(environ), result.stderr) == (1, "")


def test_providers_that_the_application_set_before_are_used(run, environ):
    report, _ = run(
        """
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter = InMemorySpanExporter()
        mine = TracerProvider()
        mine.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(mine)
        import otel_llm
        otel_llm.instrument()
        otel_llm.instrument()
        call()
        report(same=trace.get_tracer_provider() is mine, mine=len(exporter.get_finished_spans()))
        """,
        plain=True,
    )
    assert (report["same"], report["mine"]) == (True, 1)
    assert report["spans"] == ["SimpleSpanProcessor", "StoreSpanProcessor"]
    assert stored(environ) == 1


def test_uninstrument_stops_the_recording(run, environ):
    run("import otel_llm; otel_llm.instrument(); call(); otel_llm.uninstrument(); call()", plain=True)
    assert stored(environ) == 1


def test_instrument_may_follow_uninstrument(run, environ):
    run("import otel_llm as o; o.instrument(); o.uninstrument(); o.instrument(); call()", plain=True)
    assert stored(environ) == 1


def test_settings_in_code_win(run, environ, tmp_path):
    path = tmp_path / "mine.db"
    run(f"import otel_llm; otel_llm.instrument({{'store.path': {str(path)!r}}}); call()", plain=True)
    assert stored(environ | {"OTEL_LLM_STORE_PATH": str(path)}) == 1
    assert stored(environ) == 0


@pytest.mark.parametrize("plain", [True, False])
def test_a_disabled_sdk_stays_disabled(run, environ, tmp_path, plain):
    run("import otel_llm; otel_llm.instrument(); call()", plain=plain, OTEL_SDK_DISABLED="true")
    assert list(tmp_path.iterdir()) == []


def test_the_tap_may_be_disabled_as_any_instrumentation(run, environ):
    report, _ = run("call(); report()", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="otel_llm")
    assert not report["on"]
    assert stored(environ) == 0


def test_the_tap_may_be_disabled_by_setting(run, environ):
    report, _ = run("call(); report()", OTEL_LLM_RECORD_ENABLED="false")
    assert not report["on"]
    assert stored(environ) == 0


def warnings(result):
    return [line for line in result.stderr.splitlines() if line.strip()]


def test_a_wrong_setting_is_told_once_and_the_program_runs(run, environ, tmp_path):
    (tmp_path / "otel-llm.yaml").write_text("store:\n  max_sise: 1MB\n")
    _, result = run("call(); print('ran')")
    assert "ran" in result.stdout
    (line,) = warnings(result)
    assert "otel-llm.yaml:2" in line
    assert "max_sise" in line
    assert "max_size" in line
    assert stored(environ) == 1


def test_a_file_that_is_no_yaml_is_told_once_and_the_program_runs(run, environ, tmp_path):
    (tmp_path / "otel-llm.yaml").write_text("store: [\n")
    _, result = run("call(); print('ran')")
    assert "ran" in result.stdout
    assert len(warnings(result)) == 1
    assert stored(environ) == 1


@pytest.mark.parametrize("path", ["/proc/nowhere/calls.db", "/dev/null/calls.db"])
def test_a_store_that_cannot_be_written_is_told_once_and_the_program_runs(run, path):
    started = time.monotonic()
    _, result = run("call(); call(); print('ran')", OTEL_LLM_STORE_PATH=path)
    assert "ran" in result.stdout
    assert len(warnings(result)) == 1, result.stderr
    assert time.monotonic() - started < 30


def test_flush_keeps_to_its_time(run, free_port):
    """The least of three: what the machine has to do besides is no part of it."""
    report, _ = run(
        """
        import socket, time
        silent = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
        import otel_llm
        flushed, took = [], []
        for _ in range(3):
            call()
            started = time.monotonic()
            flushed.append(otel_llm.flush(0.5))
            took.append(time.monotonic() - started)
        report(flushed=flushed, took=min(took))
        sys.stdout.flush()
        os._exit(0)
        """,
        PORT=(port := str(free_port())),
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
    )
    assert not any(report["flushed"])
    assert 0.4 < report["took"] < 1.0


def test_flush_before_anything_is_set_up_is_done_at_once(run):
    report, _ = run("import otel_llm; report(flushed=otel_llm.flush(1))", plain=True)
    assert report["flushed"]


def test_the_package_alone_imports_nothing(run):
    report, _ = run(
        """
        before = set(sys.modules)
        import otel_llm
        report(new=sorted(set(sys.modules) - before))
        """,
        plain=True,
    )
    assert set(report["new"]) <= {"otel_llm", "otel_llm.semconv"}


def test_a_user_may_keep_the_ids_of_another_generator(run):
    report, _ = run("report()", OTEL_PYTHON_ID_GENERATOR="otel_llm")
    assert report["ids"] == "otel_llm.record.ids"


def test_a_call_that_is_open_at_the_exit_is_kept(run, environ):
    run("""
        import httpx
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
        class Endless(httpx.SyncByteStream):
            def __iter__(self):
                while True:
                    yield b'data: {"choices": [{"delta": {"content": "a"}}]}\\n\\n'
        client = httpx.Client(transport=transport)
        request = client.build_request("POST", "https://api.openai.com/v1/chat/completions", json={"model": "m"})
        response = client.send(request, stream=True)
        pieces = response.iter_raw()
        next(pieces)
    """)
    path = environ["OTEL_LLM_STORE_PATH"]
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT outcome FROM calls").fetchall() == [("abandoned",)]


def test_a_loop_that_a_call_blocks_and_the_spans_that_were_kept_are_told(run, environ):
    run(
        """
        import asyncio, time
        import httpx
        answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}
        async def main():
            transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
            async with httpx.AsyncClient(transport=transport) as client:
                for _ in range(3):
                    await client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
                    await asyncio.sleep(0.6)
                time.sleep(1.5)
                await asyncio.sleep(0.1)
        asyncio.run(main())
        report()
        """,
        OTEL_LLM_PROBE_INTERVAL="500ms",
    )
    query = (
        "SELECT streams.name || coalesce(' ' || (streams.attributes ->> '$.\"otel_llm.self.part\"') || ' '"
        " || coalesce(streams.attributes ->> '$.\"otel_llm.self.state\"', ''), ''), sum(value), max(value)"
        " FROM points JOIN streams ON streams.id = points.stream GROUP BY 1"
    )
    with sqlite3.connect(environ["OTEL_LLM_STORE_PATH"]) as store:
        told = {name: (total, most) for name, total, most in store.execute(query)}
    assert 0.4 < told["otel_llm.process.event_loop.lag"][1] < 30
    assert told["otel_llm.self.spans store seen"][0] == told["otel_llm.self.spans store stored"][0] == 3
    assert told["otel_llm.self.spans alerts judged"][0] == 3
    assert 0 < told["otel_llm.self.cpu.utilization store "][1] < 1


def test_calls_of_a_second_provider_are_judged_too(tmp_path):
    program = """
import time, otel_llm
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
otel_llm.instrument()
first = trace.get_tracer_provider()
trace._TRACER_PROVIDER = second = TracerProvider()
otel_llm.instrument()
from otel_llm.distro import _attached
for provider in (first, second):
    provider.get_tracer("t").start_span("chat", attributes={"gen_ai.operation.name": "chat"}).end()
end = time.monotonic() + 120
while _attached["processor"].intake.taken < 2 and time.monotonic() < end:
    time.sleep(0.05)
print(_attached["processor"].intake.taken)
"""
    environ = {**os.environ, "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db")}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert told.stdout == "2\n"


def test_what_is_not_needed_is_not_loaded(tmp_path):
    program = """
import sys, otel_llm
otel_llm.instrument()
from otel_llm.alert import engine, outlet
assert engine.load_rules(None, defaults=True)().rules
late = ("packaging", "difflib", "yaml", "smtplib", "grpc", "httpx", "click", "rich")
print([name for name in late if name in sys.modules])
"""
    environ = {**os.environ, "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db")}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert told.stdout == "[]\n"


def test_a_process_without_cards_servers_receivers_and_rules_of_its_own_loads_nothing_for_them(tmp_path):
    program = """
import sys, time, httpx, otel_llm
otel_llm.instrument()
from otel_llm.distro import _attached
answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}
client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer)))
client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
end = time.monotonic() + 120
while not (_attached["processor"].intake.taken and "otel_llm.probe.host" in sys.modules) and time.monotonic() < end:
    time.sleep(0.05)
assert _attached["engine"].facts.rules == 14
from otel_llm import supervisor
print(*(loop.name for loop in supervisor.standing()))
print(*(name for name in sys.modules if name.startswith("otel_llm.")))
"""
    environ = {**os.environ, "OTEL_LLM_STORE_PATH": str(tmp_path / "calls.db")}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    loops, modules = (set(line.split()) for line in told.stdout.splitlines())
    assert loops == {"alerts", "reaper", "store"}
    late = {
        "probe": "amd card energy exposition fields meter nvml server",
        "alert": "body carriage mail outlet overlay pick receiver routing schema webhook",
        "store": "forwarded forwarding query salvage sender summary",
        "record": "client content.capture content.shape in_process shells.aiohttp shells.urllib3",
    }
    assert not modules & {f"otel_llm.{room}.{name}" for room, names in late.items() for name in names.split()}


def test_the_tap_alone_loads_no_parser_of_requirements_and_is_an_instrumentor_all_the_same():
    program = """
import sys
from otel_llm.record.transport import WireInstrumentor
WireInstrumentor().instrument()
print([name for name in ("packaging", "difflib", "opentelemetry.instrumentation", "sqlite3") if name in sys.modules])
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
print(issubclass(WireInstrumentor, BaseInstrumentor), isinstance(WireInstrumentor(), BaseInstrumentor))
"""
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it loads sqlite3
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=unmeasured)
    assert told.stdout.splitlines() == ["[]", "True True"]


def test_switching_the_tap_twice_is_said_and_does_nothing():
    program = """
from otel_llm.record.transport import WireInstrumentor
for method in ("uninstrument", "instrument", "instrument", "uninstrument"):
    getattr(WireInstrumentor(), method)(skip_dep_check=True)
    print(WireInstrumentor().is_instrumented_by_opentelemetry, *WireInstrumentor().instrumentation_dependencies())
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True", "True", "False"]
    assert told.stderr.splitlines() == [
        "Attempting to uninstrument while already uninstrumented",
        "Attempting to instrument while already instrumented",
    ]


def test_the_tap_is_on_however_it_was_switched():
    program = """
from otel_llm.record import transport
tap = transport.WireInstrumentor()
print(tap.is_instrumented_by_opentelemetry)
transport.switch_on()
print(tap.is_instrumented_by_opentelemetry)
tap.uninstrument()
print(transport.is_on(), hasattr(transport, "Wire"))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True", "False", "False"]
