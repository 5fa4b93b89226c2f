"""OTLP from others: what is taken is in the store before the sender hears so, and what is hostile does no harm."""

import gzip
import http.client
import json
import socket
import sqlite3
import threading
import time
import zlib
from contextlib import closing

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_llm import semconv
from otel_llm.store import otlp_server, reception, watch
from otel_llm.store.body import MOST_BODY, inflate
from otel_llm.store.origin import HEADER, origin
from otel_llm.store.otlp_server import Server, is_loopback
from otel_llm.store.query import Filter, Reader
from otel_llm.store.reception import Reception, is_content
from otel_llm.store.replay import Replay, Wish
from otel_llm.store.sender import Destination
from parts.waiting import WITHIN, wait_for

NOW = time.time_ns()
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def listening(database, path):
    """Starts servers over the database."""
    started = []

    def start(*, content=False, token=None, host="127.0.0.1"):
        made = Server(Reception(database, content=content), host, 0, token=token, origin=origin(path))
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        started.append((made, thread))
        return made

    yield start
    for made, thread in started:
        made.shutdown()
        made.close()
        thread.join()


@pytest.fixture
def server(listening):
    return listening()


def request(trace_id=TRACE, span_id=SPAN, **more):
    span = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": "chat m",
        "kind": 3,
        "startTimeUnixNano": str(NOW),
        "endTimeUnixNano": str(NOW + 10**9),
        "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}],
        **more,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def post(server, body, *, where="/v1/traces", media="application/json", host="127.0.0.1", **headers):
    """Status, headers and body of the answer."""
    with closing(http.client.HTTPConnection(host, server.server_port, timeout=WITHIN)) as connection:
        if isinstance(body, dict):
            body = json.dumps(body)
        said = {"Content-Type": media, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request("POST", where, body, {name: value for name, value in said.items() if value is not None})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def stored(path):
    if not path.exists():
        return []
    with Reader(path) as reader:
        return list(reader.stream(Filter(), every=True))


def rows(path, query):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as sqlite:
        return sqlite.execute(query).fetchall()


# --- what others send -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", list(Compression))
def test_spans_of_the_sdk_arrive_as_they_were(server, path, compression):
    provider = TracerProvider(resource=Resource({"service.name": "other"}), shutdown_on_exit=False)
    url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(url, compression=compression)))
    with provider.get_tracer("app", "1").start_as_current_span("chat m", attributes={"gen_ai.operation.name": "chat"}):
        pass
    (span,) = stored(path)
    assert (span.name, span.resource["service.name"], span.scope["name"]) == ("chat m", "other", "app")
    with Reader(path) as reader:
        assert len(reader.calls(Filter())) == 1
    provider.shutdown()


def test_logs_of_the_sdk_arrive_as_they_were(server, path):
    provider = LoggerProvider(resource=Resource({"service.name": "other"}), shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"http://127.0.0.1:{server.server_port}/v1/logs", compression=Compression.Gzip)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    record = LogRecord(
        timestamp=NOW, severity_number=SeverityNumber.WARN, body={"a": [1]}, attributes={"k": 1}, event_name="e"
    )
    provider.get_logger("app").emit(record)
    (row,) = rows(path, "SELECT time, severity_number, event_name, body, attributes FROM logs")
    assert row == (NOW, 13, "e", '{"$map":{"a":[1]}}', '{"k":1}')
    provider.shutdown()


def test_metrics_of_the_sdk_arrive_as_they_were(server, path):
    exporter = OTLPMetricExporter(f"http://127.0.0.1:{server.server_port}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=10**6)
    views = [View(instrument_name="x", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], Resource({}), shutdown_on_exit=False, views=views)
    meter = provider.get_meter("app")
    meter.create_counter("c", unit="1").add(3, {"k": "v"})
    meter.create_gauge("g").set(0.5)
    meter.create_histogram("h").record(7)
    meter.create_histogram("x").record(7)
    assert provider.force_flush()
    found = rows(
        path, "SELECT name, type, temporality, value FROM points JOIN streams ON streams.id = stream ORDER BY 1"
    )
    assert found == [
        ("c", "sum", 2, 3),
        ("g", "gauge", None, 0.5),
        ("h", "histogram", 2, None),
        ("x", "exponential_histogram", 2, None),
    ]
    with Reader(path) as store:
        (flat,) = [row for row in store.rows("metrics", Filter()) if row["name"] == "h"]
    assert (flat["count"], flat["sum"], flat["min"]) == (1, 7.0, 7.0)
    provider.shutdown()


def test_json_is_taken_and_answered_in_json(server, path):
    status, headers, body = post(server, request())
    assert (status, headers["Content-Type"], json.loads(body)) == (200, "application/json", {})
    (span,) = stored(path)
    assert (span.trace_id, span.span_id, span.kind) == (TRACE, SPAN, "CLIENT")
    assert server.taken["spans"] == 1


def test_json_of_logs_and_metrics_is_taken(server, path):
    log = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}, "traceId": TRACE}]}]}]}
    assert post(server, log, where="/v1/logs")[0] == 200
    point = {"asDouble": 1.5, "timeUnixNano": str(NOW), "exemplars": [{"asInt": 3, "spanId": SPAN, "traceId": TRACE}]}
    metric = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "g", "gauge": {"dataPoints": [point]}}]}]}]}
    assert post(server, metric, where="/v1/metrics")[0] == 200
    ((time_, body, trace_id),) = rows(path, "SELECT time, body, lower(hex(trace_id)) FROM logs")
    assert (body, trace_id) == ('"x"', TRACE)
    assert abs(time_ - time.time_ns()) < 60e9
    ((value, data),) = rows(path, "SELECT value, data FROM points")
    assert value == 1.5
    assert SPAN in data


def test_a_chunked_body_is_read(server, path):
    body = gzip.compress(json.dumps(request()).encode())
    pieces = iter([body[:10], body[10:11], body[11:]])
    assert post(server, pieces, Content_Encoding="gzip")[0] == 200
    assert len(stored(path)) == 1


def test_a_connection_takes_many_requests(server, path):
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=WITHIN)) as connection:
        for number in range(5):
            body = json.dumps(request(span_id=f"{number + 1:016x}"))
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
    assert len(stored(path)) == 5


def test_what_is_sent_twice_counts_once(server, path):
    assert post(server, request())[0] == post(server, request())[0] == 200
    assert len(stored(path)) == 1


def test_a_large_request_is_taken_whole(server, path):
    spans = [request(span_id=f"{n + 1:016x}")["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for n in range(3000)]
    assert post(server, {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})[0] == 200
    assert len(stored(path)) == 3000


def test_what_no_row_can_hold_is_told_and_the_rest_is_kept(server, path):
    document = request()
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append({**spans[0], "spanId": "0" * 16})
    _, _, body = post(server, document)
    told = json.loads(body)["partialSuccess"]
    assert told["rejectedSpans"] == "1"
    assert "ids" in told["errorMessage"]
    assert len(stored(path)) == 1


def test_a_kind_of_metric_that_the_store_lacks_is_told(server, path):
    summary = ExportMetricsServiceRequest()
    metric = summary.resource_metrics.add().scope_metrics.add().metrics.add(name="s")
    metric.summary.data_points.add(time_unix_nano=NOW)
    status, _, body = post(server, summary.SerializeToString(), where="/v1/metrics", media="application/x-protobuf")
    assert status == 200
    assert b"found a summary" in body


def test_series_are_bounded(server, path, monkeypatch):
    monkeypatch.setattr(reception, "MOST_SERIES", 3)
    sent = ExportMetricsServiceRequest()
    metric = sent.resource_metrics.add().scope_metrics.add().metrics.add(name="g")
    for number in range(10):
        point = metric.gauge.data_points.add(time_unix_nano=NOW, as_int=number)
        point.attributes.add(key="k").value.int_value = number
    status, _, _ = post(server, sent.SerializeToString(), where="/v1/metrics", media="application/x-protobuf")
    assert (status, server.taken["rejected"]) == (200, 8)  # the resource is one of the three


# --- what is never kept -----------------------------------------------------------------------------------------------


def said(**attributes):
    return [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items()]


FOREIGN = {
    "gen_ai.input.messages": "secret",
    "gen_ai.prompt.0.content": "secret",
    "llm.input_messages.0.message.content": "secret",
    "input.value": "secret",
    "ai.prompt.messages": "secret",
    "gen_ai.prompt.name": "greeting",
    "llm.model_name": "m",
    "http.request.header.authorization": "Bearer secret",
    "url.full": "https://host/path?key=secret",
    "exception.message": "api_key=sk-aaaaaaaaaaaaaaaaaaaaaaaa",
}


def test_content_and_keys_are_dropped_whatever_they_are_called(server, path):
    event = {
        "name": "gen_ai.content.prompt",
        "timeUnixNano": str(NOW),
        "attributes": said(**{"gen_ai.prompt": "secret"}),
    }
    assert post(server, request(attributes=said(**FOREIGN), events=[event]))[0] == 200
    (span,) = stored(path)
    assert span.attributes.keys() == {"gen_ai.prompt.name", "llm.model_name", "url.full", "exception.message"}
    assert span.attributes["url.full"] == "https://host/path"
    assert "sk-aaa" not in span.attributes["exception.message"]
    assert span.events[0]["attributes"] == {}


def test_content_that_is_asked_for_is_kept_without_keys(listening, path):
    attributes = said(**{"gen_ai.input.messages": '[{"content":"my key is sk-aaaaaaaaaaaaaaaaaaaaaaaa"}]'})
    assert post(listening(content=True), request(attributes=attributes))[0] == 200
    (span,) = stored(path)
    assert "my key is" in span.attributes["gen_ai.input.messages"]
    assert "sk-aaa" not in span.attributes["gen_ai.input.messages"]


def test_the_body_of_an_event_about_a_call_is_content(server, path):
    log = {"body": {"stringValue": "secret"}, "timeUnixNano": str(NOW)}
    told = [{**log, "eventName": "gen_ai.user.message"}, {**log, "attributes": said(**{"event.name": "gen_ai.choice"})}]
    other = {**log, "body": {"stringValue": "plain"}}
    document = {"resourceLogs": [{"scopeLogs": [{"logRecords": [*told, other]}]}]}
    assert post(server, document, where="/v1/logs")[0] == 200
    assert rows(path, "SELECT body FROM logs ORDER BY id") == [(None,), (None,), ('"plain"',)]


@pytest.mark.parametrize("name", [*semconv.CONTENT, *semconv.FOREIGN_CONTENT, "traceloop.entity.input.x"])
def test_names_of_content_are_known(name):
    assert is_content(name)
    assert not is_content("gen_ai.request.model")


def test_a_long_log_record_is_cut(server, path):
    log = {"body": {"stringValue": "x" * 500_000}, "timeUnixNano": str(NOW)}
    assert post(server, {"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}, where="/v1/logs")[0] == 200
    ((length, attributes),) = rows(path, "SELECT length(body), attributes FROM logs")
    assert length < 10_000
    assert semconv.TRUNCATED in attributes


# --- who may send -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localhost", "localhost:4318", "127.0.0.1:1", "[::1]:4318", "127.0.0.9"])
def test_names_of_this_machine_are_let_in(server, name):
    assert post(server, request(), Host=name)[0] == 200


@pytest.mark.parametrize("name", ["evil.example", "evil.example:4318", "localhost.evil.example", "10.0.0.1", "[::", ""])
def test_a_rebound_name_is_kept_out(server, path, name):
    status, _, body = post(server, request(), Host=name)
    assert (status, Status.FromString(body).code) == (403, 7)
    assert stored(path) == []


def test_a_token_is_asked_for_where_there_is_one(listening, path):
    server = listening(token="open sesame")  # noqa: S106 - in a test
    assert post(server, request())[0] == 401
    assert post(server, request(), Authorization="Bearer close")[0] == 401
    assert post(server, request(), Authorization="Bearer open sesame")[0] == 200
    assert len(stored(path)) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])  # noqa: S104 - refused
def test_others_than_this_machine_need_a_token(listening, host):
    assert not is_loopback(host)
    with pytest.raises(ValueError, match="expected a token"):
        listening(host=host)


def test_with_a_token_all_names_are_let_in(listening):
    server = listening(host="0.0.0.0", token="t")  # noqa: S104, S106 - in a test
    assert post(server, request(), Host="box.lan", Authorization="Bearer t")[0] == 200


def test_ipv6_is_listened_on(listening):
    assert post(listening(host="::1"), request(), host="::1")[0] == 200


# --- what is odd ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"\xff\xff\xff", "application/x-protobuf"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"resourceSpans": 3}', "application/json"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}', "application/json"),
        (b'{"a":' * 50_000, "application/json"),
        (b"\xff\xfe", "application/json"),
    ],
)
def test_a_body_that_is_none_is_refused_with_a_status(server, body, media):
    status, headers, answer = post(server, body, media=media)
    assert (status, headers["Content-Type"]) == (400, media)
    told = json.loads(answer) if media == "application/json" else None
    assert (told["code"] if told else Status.FromString(answer).code) == 3
    assert post(server, request())[0] == 200


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_what_a_browser_may_send_unasked_is_refused(server, media):
    assert post(server, json.dumps(request()), media=media)[0] == 415


@pytest.mark.parametrize(
    ("where", "method", "status"),
    [("/v1/traces", "GET", 405), ("/", "GET", 404), ("/v1/x", "POST", 404), ("/v1/traces", "BREW", 501)],
)
def test_other_paths_and_methods_are_refused(server, where, method, status):
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=WITHIN)) as connection:
        connection.request(method, where, b"{}", {"Content-Type": "application/json"})
        assert connection.getresponse().status == status


def bomb():
    inner = gzip.compress(bytes(64 * 1024 * 1024), 9)
    return gzip.compress(inner, 9), inner


def test_a_bomb_is_not_inflated(server):
    outer, inner = bomb()
    assert post(server, inner, Content_Encoding="gzip")[0] == 413
    assert post(server, outer, Content_Encoding="gzip")[0] == 400  # what is inside is no JSON


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "identity, gzip"])
def test_other_codings_are_refused(server, coding):
    assert post(server, b"x", Content_Encoding=coding)[0] == 415


def test_gzip_that_is_cut_off_or_none_is_refused(server):
    whole = gzip.compress(json.dumps(request()).encode())
    assert post(server, whole[:-12], Content_Encoding="gzip")[0] == 400
    assert post(server, b"plain", Content_Encoding="gzip")[0] == 400


def test_several_members_are_one_body():
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    assert inflate(zlib.compress(b"a")) == b"a"


def raw(server, *pieces, seconds=WITHIN):
    """What the server says to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=seconds) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
        return answer


HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 99999999999\r\n\r\n", 413),
        (b"Content-Length: 9" + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"Content-Length: -1\r\n\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"\r\n", 411),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nnope\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n", 400),
        (b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_a_head_that_lies_is_refused(server, head, status, monkeypatch):
    monkeypatch.setattr(otlp_server, "LINGER", 0.2)
    assert raw(server, HEAD + head).startswith(b"HTTP/1.1 %d" % status)


def test_noise_is_answered_and_ended(server, monkeypatch):
    monkeypatch.setattr(otlp_server, "LINGER", 0.2)
    assert b"Bad request" in raw(server, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")


def test_a_body_that_is_cut_off_is_not_kept(server, path):
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert stored(path) == []


def test_a_sender_that_drips_is_cut(server, monkeypatch):
    monkeypatch.setattr(otlp_server, "READ_WITHIN", 0.5)

    def drip():
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            for letter in HEAD * 3:  # for twelve seconds
                connection.sendall(bytes([letter]))
                time.sleep(0.05)

    with pytest.raises(ConnectionError):
        drip()


def test_a_connection_that_says_nothing_is_cut(listening, monkeypatch):
    monkeypatch.setattr(otlp_server, "FIRST_WITHIN", 0.3)
    assert raw(listening()) == b""


def test_connections_are_bounded_and_idle_ones_go_first(server, path, monkeypatch):
    monkeypatch.setattr(watch, "MOST_CONNECTIONS", 4)
    held = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(10)]
    assert post(server, request())[0] == 200
    for connection in held:
        connection.close()


def test_connections_beyond_the_bound_are_told_to_come_back(server, monkeypatch):
    monkeypatch.setattr(watch, "MOST_CONNECTIONS", 2)
    busy = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(2)]
    for connection in busy:
        connection.sendall(HEAD)
    wait_for(lambda: server.watch.busy() == 2)
    answer = raw(server)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 2" in answer
    for connection in busy:
        connection.close()


def test_bodies_together_are_bounded(server, path, monkeypatch):
    monkeypatch.setattr(watch, "ROOM_WITHIN", 0.2)
    assert server.budget.take(watch.MOST_HELD)
    assert post(server, request())[0] == 503
    server.budget.give(watch.MOST_HELD)
    assert post(server, gzip.compress(json.dumps(request()).encode()), Content_Encoding="gzip")[0] == 200
    assert server.budget.take(watch.MOST_HELD)  # all of it was given back


def test_nothing_is_acknowledged_that_is_not_on_disk(server, path, monkeypatch):
    assert post(server, request())[0] == 200
    monkeypatch.setattr(reception, "DURABLE_WITHIN", 0.3)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, headers, _ = post(server, request(span_id="1" * 16))
        assert (status, headers["Retry-After"]) == (503, "2")
        other.execute("ROLLBACK")
    monkeypatch.setattr(reception, "DURABLE_WITHIN", WITHIN)
    assert post(server, request(span_id="1" * 16))[0] == 200
    assert len(stored(path)) == 2


def test_a_fault_of_ours_is_told_and_the_server_goes_on(server, monkeypatch):
    def fail(*_, **__):
        raise KeyError

    monkeypatch.setattr(Reception, "take", fail)
    assert post(server, request())[0] == 500
    monkeypatch.undo()
    assert post(server, request())[0] == 200


# --- its own store ----------------------------------------------------------------------------------------------------


def test_a_store_is_not_sent_to_itself(server, path, spans, kept, database):
    kept(spans.call())
    log = {
        "resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}, "timeUnixNano": str(NOW)}]}]}]
    }
    assert post(server, log, where="/v1/logs")[0] == 200
    with Replay(path, Destination(url=f"http://127.0.0.1:{server.server_port}"), Wish(patience=5)) as replay:
        assert sum(replay.run()) == 2
        assert sum(replay.run()) == 0
    assert rows(path, "SELECT (SELECT count(*) FROM spans), (SELECT count(*) FROM logs)") == [(1, 1)]
    assert post(server, log, where="/v1/logs", **{HEADER: origin(path)})[0] == 200
    assert rows(path, "SELECT count(*) FROM logs") == [(1,)]


def test_the_answer_in_protobuf_tells_what_was_left_out(server):
    sent = ExportTraceServiceRequest()
    sent.resource_spans.add().scope_spans.add().spans.add(name="x")
    _, _, body = post(server, sent.SerializeToString(), media="application/x-protobuf")
    told = ExportTraceServiceResponse.FromString(body).partial_success
    assert told.rejected_spans == 1
    assert told.error_message


def test_the_bound_is_that_of_the_body(server):
    status, _, _ = post(server, b" " * (MOST_BODY + 1))
    assert status == 413
