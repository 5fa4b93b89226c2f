"""``forward: true`` as its users set it: each test has applications of its own, and the store is the queue."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from otel_llm.store.query import Filter, Reader
from parts.ports import free_ports
from parts.sink import sink
from parts.waiting import wait_for

INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
SOON = 120.0
"""What is to come comes within so much on any machine [s]."""

CALLS = """
    import os, sys, time, httpx
    answer = {"model": "m-1", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}
    def call(count=1):
        with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer))) as client:
            for _ in range(count):
                client.post("https://api.openai.com/v1/chat/completions", json={"model": "m"})
"""


@pytest.fixture
def backend():
    with sink() as made:
        yield made


@pytest.fixture
def application(tmp_path):
    """Starts a program under ``opentelemetry-instrument`` with forwarding on."""
    file, started = tmp_path / "app.py", []

    def start(program, url, *, plain=False, **environ):
        file.write_text(textwrap.dedent(CALLS) + textwrap.dedent(program))
        settings = {
            "OTEL_LLM_STORE_PATH": str(tmp_path / "otel-llm.db"),
            "OTEL_LLM_FORWARD": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_PYTHON_DISTRO": "otel_llm",
            "OTEL_PYTHON_CONFIGURATOR": "otel_llm",
            "OTEL_LLM_PROBE_HOST": "false",
        }
        command = [sys.executable, file] if plain else [INSTRUMENT, sys.executable, file]
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def stored(tmp_path):
    with Reader(tmp_path / "otel-llm.db") as reader:
        return [call.span_id for call in reader.calls(Filter())]


def received(backend):
    return [span.span_id.hex() for span in backend.spans()]


def paths(backend):
    return {path for path, _, _ in backend.requests}


STAY = "\nsys.stdin.read()\n"
"""A program that ends when it is told to: what it has in hand at its end is sent if there is time for that."""

OFTEN = {"OTEL_METRIC_EXPORT_INTERVAL": "500"}
"""Metrics do not wait for the end."""


def end(process):
    """Tell a program that stays to end; what it complained of."""
    _, errors = process.communicate(timeout=SOON)
    assert process.returncode == 0, errors
    return errors


def test_every_signal_goes_out_once_and_by_us_alone(application, backend, tmp_path):
    program = "call(3)\nimport logging\nlogging.getLogger('app').warning('x')\n"
    process = application(program + STAY, backend.url, **OFTEN)
    wait_for(lambda: len(received(backend)) >= 3 and paths(backend) >= {"/v1/traces", "/v1/metrics"}, SOON)
    end(process)
    assert sorted(received(backend)) == sorted(stored(tmp_path))
    assert len(set(received(backend))) == 3
    assert {headers["User-Agent"] for _, headers, _ in backend.requests} == {"otel-llm"}


def test_a_signal_that_is_named_otlp_alone_is_left_to_the_sdk(application, backend):
    process = application("call(1)" + STAY, backend.url, OTEL_METRICS_EXPORTER="otlp", **OFTEN)
    wait_for(lambda: paths(backend) >= {"/v1/traces", "/v1/metrics"}, SOON)
    end(process)
    agents = {path: headers.get("User-Agent") for path, headers, _ in backend.requests}
    assert agents["/v1/traces"] == "otel-llm"
    assert agents["/v1/metrics"] != "otel-llm"


def test_an_application_that_exports_by_itself_is_not_forwarded_for(application, backend):
    own = """
    import otel_llm
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    otel_llm.instrument()
    call(2)
    provider.force_flush()
    """
    errors = end(application(own, backend.url, plain=True))
    assert len(backend.spans()) == 2
    assert "go out through the application's own OTLP exporter" in errors


def test_the_exit_is_not_held_by_a_backend_that_is_away_and_the_next_process_sends(application, tmp_path, backend):
    (port,) = free_ports(1)
    held = []
    while len(held) < 3 and min(held, default=4) >= 4:  # the least: what the machine has to do besides is no part of it
        ended = application("call(2)\nprint(time.time())\n", f"http://127.0.0.1:{port}")
        output, errors = ended.communicate(timeout=SOON)
        assert ended.returncode == 0, errors
        held.append(time.time() - float(output))
    assert min(held) < 4  # 2 s and what an interpreter's end takes on a busy machine
    with sink(port) as back:
        later = application("call(1)" + STAY, f"http://127.0.0.1:{port}")
        wait_for(lambda: len(received(back)) >= 2 * len(held) + 1, SOON)
        end(later)
        assert sorted(received(back)) == sorted(stored(tmp_path))
        assert len(received(back)) == 2 * len(held) + 1


def test_without_a_backend_it_says_so_once(application, tmp_path):
    errors = end(application("call(1)\n", ""))
    assert errors.count("expected OTEL_EXPORTER_OTLP_ENDPOINT") == 1
    assert len(stored(tmp_path)) == 1


def test_a_forked_child_takes_over_when_its_parent_is_killed(application, backend, tmp_path):
    program = """
    call(1)
    time.sleep(1)
    if os.fork():
        sys.stdin.readline()
        os.kill(os.getpid(), 9)
    call(1)
    print(os.getpid(), flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.05)
    call(1)
    time.sleep(300)
    """
    process = application(program, backend.url)
    child = int(process.stdout.readline())
    wait_for(lambda: len(set(received(backend))) == 2, SOON)
    before = received(backend)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(SOON) == -9
    try:
        wait_for(lambda: len(set(received(backend))) == 3, SOON)
    finally:
        os.kill(child, signal.SIGKILL)
    arrived = received(backend)
    assert set(arrived) == set(stored(tmp_path))
    again = list(arrived)
    for span in set(arrived):
        again.remove(span)
    assert set(again) <= set(before)  # one batch, on its way when its sender died, may go twice: nobody had the answer
    assert len(again) == len(set(again))
