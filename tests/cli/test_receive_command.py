"""``otel-llm receive`` as users start it, and the real Collector and other programs that send to it."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from otel_llm.store.query import Filter, Reader
from parts.collector import running
from parts.sink import sink
from parts.waiting import WITHIN, wait_for

COMMAND = [sys.executable, "-c", "from otel_llm.cli import main; main()", "receive"]
SENDER = """
import sys, time
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger, LogRecord
for number in range(20):
    with trace.get_tracer("app").start_as_current_span("chat m", attributes={"gen_ai.operation.name": "chat"}):
        pass
get_logger("app").emit(LogRecord(timestamp=time.time_ns(), body="hello"))
metrics.get_meter("app").create_counter("c").add(1)
assert otel_llm.flush(60)
"""


@pytest.fixture
def receiving(tmp_path):
    """Starts the command; gives the process and the address it listens on."""
    started = []

    def start(*arguments, **environ):
        process = subprocess.Popen(
            [*COMMAND, "--port", "0", "--db", tmp_path / "otel-llm.db", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )
        started.append(process)
        said = process.stderr.readline()
        found = re.match(r"Listening on (http://\S+), writing to ", said)
        assert found, said + process.stderr.read()
        return process, found[1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def post(url):
    now = str(time.time_ns())
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "x", "startTimeUnixNano": now, "endTimeUnixNano": now}
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=WITHIN)) as connection:
        connection.request("POST", "/v1/traces", json.dumps(document), {"Content-Type": "application/json"})
        return connection.getresponse().status


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_it_takes_spans_until_it_is_ended_and_says_how_many(receiving, tmp_path, word):
    process, url = receiving()
    assert post(url) == 200
    process.send_signal(word)
    _, said = process.communicate(timeout=WITHIN)
    assert (process.returncode, said) == (0, "Received 1 spans.\n")
    with Reader(tmp_path / "otel-llm.db") as reader:
        assert [span.name for span in reader.stream(Filter(), every=True)] == ["x"]


def test_what_was_acknowledged_survives_a_kill(receiving, tmp_path):
    process, url = receiving()
    assert post(url) == 200
    process.kill()
    process.wait()
    with Reader(tmp_path / "otel-llm.db") as reader:
        assert len(list(reader.stream(Filter(), every=True))) == 1


def test_what_is_received_is_sent_on_where_forwarding_is_on(receiving):
    with sink() as backend:
        process, url = receiving(OTEL_LLM_FORWARD="true", OTEL_EXPORTER_OTLP_ENDPOINT=backend.url)
        assert post(url) == 200
        wait_for(backend.spans)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 0


def test_an_application_that_keeps_its_own_and_sends_it_here_too_counts_once(receiving, tmp_path):
    process, url = receiving()
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": "a=b"}
    environ |= {"OTEL_LLM_STORE_PATH": str(tmp_path / "otel-llm.db"), "OTEL_LLM_PROBE_HOST": "false"}
    sender = [sys.executable, "-c", "import otel_llm; otel_llm.instrument()\n" + SENDER]
    subprocess.run(sender, check=True, env=environ, timeout=2 * WITHIN)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WITHIN)
    assert said == "Received 20 spans.\n"
    with Reader(tmp_path / "otel-llm.db") as reader:
        assert len(reader.calls(Filter())) == 20
        assert reader.info()["rows"]["logs"] == 1
        assert sum(row["name"] == "c" for row in reader.rows("metrics", Filter())) == 1


def run(*arguments, **environ):
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN,
        env={**os.environ, **environ},
    )


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run("--port", port, "--db", tmp_path / "otel-llm.db")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}: expected an address to listen on, found: Address already in use" in done.stderr


def test_other_machines_are_not_listened_to_without_a_token(tmp_path):
    done = run("--host", "0.0.0.0", "--port", "0", "--db", tmp_path / "otel-llm.db")  # noqa: S104 - refused
    assert done.returncode == 2
    assert "OTEL_LLM_RECEIVE_TOKEN" in done.stderr


@pytest.mark.slow
def test_the_collector_delivers_every_signal(receiving, collector_binary, tmp_path):
    process, url = receiving()
    extra = tmp_path / "extra.yaml"
    parts = {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp_http"]}
    config = {
        "exporters": {"otlp_http": {"endpoint": url}},
        "service": {"pipelines": dict.fromkeys(("traces", "metrics", "logs"), parts)},
    }
    extra.write_text(json.dumps(config))
    folder = tmp_path / "collector"
    folder.mkdir()
    with running(collector_binary, folder, configs=[extra]) as collector:
        environ = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            **{f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS", "LOGS")},
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
        }
        sender = [sys.executable, "-c", "import otel_llm; otel_llm.instrument()\n" + SENDER]
        subprocess.run(sender, check=True, env=environ, timeout=2 * WITHIN)
        collector.stop()
        log = (folder / "collector.log").read_text()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WITHIN)
    with Reader(tmp_path / "otel-llm.db") as reader:
        assert len(reader.calls(Filter())) == 20, log
        rows = reader.info()["rows"]
    assert rows["logs"] == 1
    assert rows["points"] >= 1
    assert said.startswith("Received 20 spans, 1 logs, ")
