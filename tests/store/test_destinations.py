"""OpenTelemetry's variables as the SDK's own exporters read them."""

import pytest

from otel_llm.store.destinations import headers, routes

ALL = ("traces", "metrics", "logs")


def routed(signals=ALL, **said):
    found, faults = routes({f"OTEL_EXPORTER_OTLP_{name}": value for name, value in said.items()}, signals)
    return found, faults


def one(signals=ALL, **said):
    (route,), faults = routed(signals, **said)
    assert faults == []
    return route


def test_nothing_goes_anywhere_without_an_address():
    assert routed() == ([], [])


def test_the_general_address_is_that_of_all_signals():
    route = one(ENDPOINT="http://host:4318/base")
    assert route.signals == ("spans", "metrics", "logs")
    assert [route.destination.path(signal) for signal in route.signals] == [
        "/base/v1/traces",
        "/base/v1/metrics",
        "/base/v1/logs",
    ]


def test_the_address_of_one_signal_is_taken_as_it_is():
    (traces, metrics), _ = routed(("traces", "metrics"), ENDPOINT="http://all:1", TRACES_ENDPOINT="http://own:2/in?k=1")
    assert (traces.signals, traces.destination.path("spans")) == (("spans",), "/in")
    assert (metrics.signals, metrics.destination.path("metrics")) == (("metrics",), "/v1/metrics")
    bare = one(("traces",), TRACES_ENDPOINT="http://own:2")
    assert bare.destination.path("spans") == "/"


def test_addresses_of_signals_that_differ_by_their_paths_alone_are_one_backend():
    route = one(("traces", "logs"), TRACES_ENDPOINT="http://h/v1/traces", LOGS_ENDPOINT="http://h/v1/logs")
    assert route.signals == ("spans", "logs")
    assert route.destination.path("logs") == "/v1/logs"


def test_a_variable_of_a_signal_wins_over_the_general_one():
    (traces, logs), _ = routed(
        ("traces", "logs"), ENDPOINT="http://h", HEADERS="a=general", TRACES_HEADERS="a=own", TRACES_COMPRESSION="gzip"
    )
    assert (traces.destination.headers, traces.destination.compressed) == ({"a": "own"}, True)
    assert (logs.destination.headers, logs.destination.compressed) == ({"a": "general"}, False)


@pytest.mark.parametrize(
    ("insecure", "url"), [("", "https://host:4317"), ("true", "http://host:4317"), ("false", "https://host:4317")]
)
def test_a_grpc_address_may_lack_its_scheme(insecure, url):
    assert one(ENDPOINT="host:4317", PROTOCOL="grpc", INSECURE=insecure).destination.url == url


@pytest.mark.parametrize(("said", "seconds"), [("", 10.0), ("3", 3.0), ("0", 0.1), ("10000", 60.0)])
def test_the_timeout_is_bounded(said, seconds):
    assert one(ENDPOINT="http://h", TIMEOUT=said).destination.timeout == seconds


def test_certificates_are_files(tmp_path):
    file = tmp_path / "ca.pem"
    file.touch()
    destination = one(ENDPOINT="https://h", CERTIFICATE=str(file), CLIENT_CERTIFICATE=str(file)).destination
    assert (destination.certificate, destination.client_certificate, destination.client_key) == (file, file, None)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf or grpc, found 'http/json'"),
        ({"COMPRESSION": "deflate"}, "OTEL_EXPORTER_OTLP_COMPRESSION: expected none or gzip, found 'deflate'"),
        ({"TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT: expected seconds, found 'soon'"),
        ({"CERTIFICATE": "/none"}, "OTEL_EXPORTER_OTLP_CERTIFICATE: expected a file, found '/none'"),
    ],
)
def test_what_is_wrong_is_said_once(said, fault):
    assert routed(ENDPOINT="http://h", **said) == ([], [fault])


def test_what_is_wrong_for_one_signal_is_so_for_that_alone():
    (route,), faults = routed(ENDPOINT="http://h", LOGS_TIMEOUT="soon")
    assert route.signals == ("spans", "metrics")
    assert faults == ["OTEL_EXPORTER_OTLP_LOGS_TIMEOUT: expected seconds, found 'soon'"]


def test_headers_are_percent_encoded():
    assert headers("authorization=Bearer%20x, y = 1,none,=z") == {"authorization": "Bearer x", "y": "1"}
