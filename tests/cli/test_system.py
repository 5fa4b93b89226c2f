"""``otel-llm system`` and ``top``: the machine and the calls, from a store that a real reader filled."""

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_llm import semconv
from otel_llm.cli import system
from otel_llm.store.exporters import SqliteMetricExporter
from otel_llm.store.machine import Gauge, Machine
from parts.waiting import WITHIN

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "contract" / "system.schema.json").read_text())
GPU = {semconv.HW_ID: "GPU-1", semconv.HW_NAME: "H100", semconv.HW_VENDOR: "nvidia", semconv.HW_TYPE: "gpu"}
SERVER = {semconv.SERVER_ADDRESS: "localhost", semconv.SERVER_PORT: 8000}
READINGS = {
    semconv.METRIC_SYSTEM_CPU_UTILIZATION: [(0.25, {}), (0.2, {semconv.CPU_MODE: "user"})],
    semconv.METRIC_SYSTEM_MEMORY_LIMIT: [(8e9, {})],
    semconv.METRIC_GPU_UTILIZATION: [(0.87, GPU | {semconv.HW_GPU_TASK: "general"})],
    semconv.METRIC_POWER: [(412.0, GPU)],
    semconv.METRIC_SERVER_RUNNING: [(3, SERVER)],
    semconv.METRIC_SERVER_KV_CACHE: [(0.45, SERVER)],
    semconv.METRIC_PROCESS_THREAD_COUNT: [(7, {})],
}


@pytest.fixture
def machine(recorded):
    """Two readings of a host, a card and a server."""
    exporter = SqliteMetricExporter(recorded.path)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e9)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("otel_llm")
    for name, said in READINGS.items():
        meter.create_observable_gauge(name, [lambda _, said=said: [Observation(*one) for one in said]])
    reader.collect()
    time.sleep(0.01)
    reader.collect()
    yield recorded
    provider.shutdown()


def test_json_groups_host_cards_and_servers(machine, piped):
    found = json.loads(piped("system", "--json").stdout)
    Draft202012Validator(SCHEMA).validate(found)
    assert found["host"][semconv.METRIC_SYSTEM_MEMORY_LIMIT] == 8e9
    assert {"attributes": {}, "value": 0.25} in found["host"][semconv.METRIC_SYSTEM_CPU_UTILIZATION]
    (card,) = found["gpus"]
    assert (card["hw.id"], card["hw.name"], card[semconv.METRIC_POWER]) == ("GPU-1", "H100", 412.0)
    (server,) = found["servers"]
    assert (server["server.port"], server[semconv.METRIC_SERVER_RUNNING]) == (8000, 3)
    assert semconv.METRIC_PROCESS_THREAD_COUNT not in json.dumps(found)


def test_text_has_a_line_for_each(machine, piped):
    host, card, server = piped("system").stdout.splitlines()
    assert host.startswith("host  cpu 25.0 %")
    assert "of 8.0 GB" in host
    assert card.startswith("gpu H100  busy 87.0 %")
    assert "power 412 W" in card
    assert server.startswith("server localhost:8000  running 3")
    assert "kv cache 45.0 %" in server


def test_a_course_begins_with_the_first_reading():
    gauge = Gauge(name=semconv.METRIC_SYSTEM_CPU_UTILIZATION, attributes={}, value=0.4, course=[None, None, 0.2, 0.4])
    (line,) = system.lines(Machine(at=10**18, gauges=[gauge]), 10**18)
    assert line.plain == "host  cpu 40.0 % ▅█"


def test_no_reading_is_no_data(recorded, piped):
    recorded.add(request_model="m")
    done = piped("system")
    assert done.exit_code == 3
    assert "No reading of the machine" in done.stderr
    assert json.loads(piped("system", "--json").stdout) == {"host": None, "gpus": [], "servers": []}


def test_readings_outside_the_range_are_not_now(machine, piped):
    assert piped("system", "--until", "1h").exit_code == 3


def test_top_in_a_pipe_is_one_screen(machine, piped):
    machine.add(at=59, took=0.5, request_model="gpt-4o", provider="openai", output_tokens=5, usage_source="provider")
    told = piped("top", "--once").stdout
    assert "gpt-4o" in told
    assert "gpu H100" in told


def test_top_without_calls_or_readings_says_so(recorded, piped):
    recorded.add(at=-3600, request_model="m")
    told = piped("top").stdout
    assert "No call in the last 5m00s." in told
    assert "No reading of the machine." in told


IN_A_TERMINAL = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background hands down that it is ignored
from otel_llm.cli import main
main()
"""


def drained(parent, top, until):
    """What is printed until ``until``, or the end of the program."""
    shown = b""
    deadline = time.monotonic() + WITHIN
    while until not in shown and time.monotonic() < deadline:
        if select.select([parent], [], [], 0.1)[0]:
            shown += os.read(parent, 65536)
        elif top.poll() is not None:
            break
    return shown


@pytest.mark.parametrize(("key", "code"), [(b"q", 0), (b"\x03", 130)])
def test_top_on_a_terminal_ends_at_a_key_and_leaves_the_terminal_as_it_was(machine, key, code):
    machine.add(at=59, took=0.5, request_model="gpt-4o", provider="openai")
    machine.written()
    parent, child = pty.openpty()
    before = termios.tcgetattr(child)
    top = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, "top", "--db", str(machine.path), "--interval", "200ms"],
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    shown = drained(parent, top, b"gpt-4o")
    os.write(parent, key)
    shown += drained(parent, top, b"never printed")
    assert top.wait(WITHIN) == code
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    assert termios.tcgetattr(child) == before
    os.close(parent)
    os.close(child)
