"""A real Collector on this project's file, by HTTP and by gRPC: spans as in SQLite, tokens as the server said."""

import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from parts.application import Desk, reported_tokens
from parts.collector import AGENT, plain

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One application's calls, three times told: by the model server, by the store, by the Collector's files.

    Attributes:
        spans: The Collector's inference spans by span id.
        children: Its other spans: those that HTTP instrumentation made of the same calls.
    """

    servers: list[dict[str, Any]]
    stored: dict[str, dict[str, Any]]
    spans: dict[str, dict[str, Any]]
    children: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]

    def points(self, metric: str) -> list[dict[str, Any]]:
        return next(
            self.metrics[metric][kind]["dataPoints"] for kind in ("histogram", "sum") if kind in self.metrics[metric]
        )


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def exported(request, collecting, model_url, tmp_path_factory) -> Exported:
    desk = Desk(tmp_path_factory.mktemp("exported") / "otel-llm.db")
    with collecting() as collector:
        endpoint = collector.grpc if request.param == "grpc" else collector.http
        servers = desk.run_example(
            "four_at_once",
            model_url,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=request.param,
            OTEL_SERVICE_NAME="four",
        )
        collector.stop()
        spans = collector.spans()
        return Exported(
            servers=servers,
            stored={call["span_id"]: call for call in desk.ask("calls", "list")},
            spans={span["spanId"]: span for span in spans if "gen_ai.operation.name" in span["attributes"]},
            children=[span for span in spans if "gen_ai.operation.name" not in span["attributes"]],
            metrics=collector.metrics(),
        )


def test_the_collector_and_the_store_hold_the_same_spans(exported):
    assert len(exported.stored) == 4
    assert {(span["traceId"], span["spanId"]) for span in exported.spans.values()} == {
        (call["trace_id"], call["span_id"]) for call in exported.stored.values()
    }


def test_a_span_carries_the_same_attributes_in_both(exported):
    for span_id, call in exported.stored.items():
        assert exported.spans[span_id]["attributes"] == call["attributes"]


def test_a_span_has_the_same_resource_in_both(exported):
    for span_id, call in exported.stored.items():
        assert exported.spans[span_id]["resource"] == call["resource"]
        assert call["resource"]["service.name"] == "four"


def test_a_span_begins_and_lasts_the_same_in_both(exported):
    for span_id, call in exported.stored.items():
        start, end = (int(exported.spans[span_id][f"{edge}TimeUnixNano"]) for edge in ("start", "end"))
        assert call["start_time_unix_nano"] == start
        assert call["duration"] == pytest.approx((end - start) / 1e9, abs=1e-9)


def test_a_span_says_the_tokens_that_the_server_said(exported):
    told = {span["attributes"]["gen_ai.response.id"]: span["attributes"] for span in exported.spans.values()}
    for server in exported.servers:
        attributes = told[server["id"]]
        recorded = attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]
        assert recorded == reported_tokens(server)


def test_the_http_span_is_the_child_of_the_call_and_carries_no_tokens(exported):
    assert {child["parentSpanId"] for child in exported.children} == set(exported.spans)
    assert not any(name.startswith("gen_ai.") for child in exported.children for name in child["attributes"])


def test_the_duration_histogram_holds_every_call(exported):
    (point,) = exported.points("gen_ai.client.operation.duration")
    assert int(point["count"]) == 4
    assert point["sum"] == pytest.approx(sum(call["duration"] for call in exported.stored.values()), rel=0.01)


def test_the_token_histogram_adds_up_to_what_the_server_said(exported):
    sums = {plain(point)["gen_ai.token.type"]: point["sum"] for point in exported.points("gen_ai.client.token.usage")}
    inputs, outputs = zip(*map(reported_tokens, exported.servers), strict=True)
    assert sums == {"input": sum(inputs), "output": sum(outputs)}


def test_the_first_chunk_histogram_holds_every_stream(exported):
    (point,) = exported.points("gen_ai.client.operation.time_to_first_chunk")
    assert int(point["count"]) == 4


def test_the_operations_counter_counts_every_call(exported):
    assert sum(int(point["asInt"]) for point in exported.points("otel_llm.client.operations")) == 4


def test_no_request_is_left_active(exported):
    assert sum(int(point.get("asInt", 0)) for point in exported.points("otel_llm.client.active_requests")) == 0


def test_the_collector_finds_no_fault_in_the_file(collector_binary):
    done = subprocess.run(
        [collector_binary, "validate", "--config", AGENT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
