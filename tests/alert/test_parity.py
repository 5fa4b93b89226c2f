"""The same calls, judged by our engine and by a real Prometheus that scrapes them and has our exported rule."""

import contextlib
import threading
import time

import prometheus_client
import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_llm.alert import export
from otel_llm.alert.engine import Engine
from otel_llm.alert.processor import AlertProcessor
from otel_llm.calls import Call
from otel_llm.record.metrics import ClientMetrics
from parts.rules import interpret
from parts.waiting import least, wait_for

INTERVAL = 5.0
SCRAPES = 1.0
RULES = """
groups:
- name: parity
  interval: 5s
  rules:
  - alert: Errors
    signal: error_rate
    window: 20s
    by: [gen_ai.request.model]
    threshold: 0.2
    min_samples: 5
    for: 5s
"""
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 5s}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: app, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
WITHIN = 120.0


@pytest.fixture
def application():
    """Spans to the processor, metrics to a real exporter's page; gives what makes a call, and the rest."""
    reader = PrometheusMetricReader()
    metrics = ClientMetrics(MeterProvider([reader], shutdown_on_exit=False).get_meter("otel_llm"))
    server, _ = prometheus_client.start_http_server(0, "127.0.0.1")
    engines = []
    processor = AlertProcessor(lambda: [engine.start() for engine in engines])
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")

    def make(*, failed):
        outcome = {"outcome": "error", "error_type": "500"} if failed else {"outcome": "completed"}
        call = Call(operation="chat", provider="openai", request_model="m", **outcome)
        tracer.start_span(call.span_name, attributes=call.attributes()).end()
        metrics.record(call, 0.1, Context())

    yield make, processor, engines, server.server_port
    server.shutdown()
    reader.shutdown()


@pytest.mark.slow
def test_our_engine_and_prometheus_fire_within_one_interval_of_each_other(application, prometheus):
    make, processor, engines, port = application
    here, stop, failing = [], threading.Event(), threading.Event()
    engine = Engine(processor, lambda: interpret(RULES))
    engine.watch(lambda told: here.extend((said.status, time.monotonic()) for _, said in told))
    engines.append(engine)

    def load():
        number = 0
        while not stop.wait(0.1):
            number += 1
            make(failed=failing.is_set() and number % 2 == 0)

    rules = export.to_prometheus(interpret(RULES).rules, "exporter", {}).text
    thread = threading.Thread(target=load)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(prometheus(CONFIG.format(port=port), files={"rules.yml": rules}))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        stack.callback(engine.stop, 2.0)
        time.sleep(10)
        assert not here

        def fires_there():
            return any(alert["state"] == "firing" for alert in server.get("/api/v1/alerts")["data"]["alerts"])

        def apart():
            """How long after the one the other fires [s]."""
            failing.clear()
            wait_for(lambda: not fires_there() and (not here or here[-1][0] == "resolved"), WITHIN)
            here.clear()
            failing.set()
            begin = time.monotonic()
            there = begin + wait_for(fires_there, WITHIN)
            wait_for(lambda: here, WITHIN)
            return abs(here[0][1] - there)

        most = INTERVAL + 2 * SCRAPES
        assert least(apart, most) <= most
