"""``otel-llm replay`` as a user types it."""

import pytest
from click.testing import CliRunner

from otel_llm.cli import main
from parts.sink import sink


@pytest.fixture
def backend():
    with sink() as made:
        yield made


def test_what_was_recorded_is_sent_and_said(recorded, piped, backend):
    recorded.add(request_model="m")
    recorded.add(request_model="m")
    done = piped("replay", "--to", backend.url)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Sent 2 spans.\n")
    assert len(backend.spans()) == 2


def test_a_second_time_there_is_nothing_new(recorded, piped, backend):
    recorded.add(request_model="m")
    piped("replay", "--to", backend.url)
    assert piped("replay", "--to", backend.url).stderr == "Nothing new to send.\n"
    assert len(backend.spans()) == 1


def test_the_environment_names_backend_and_headers(recorded, piped, backend, monkeypatch):
    recorded.add(request_model="m")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b,other=c")
    assert piped("replay", "--header", "other=d").exit_code == 0
    (_, headers, _), *_ = backend.requests
    assert (headers["x-key"], headers["other"]) == ("a b", "d")


def test_headers_of_the_environment_are_not_for_another_backend(recorded, piped, backend, monkeypatch):
    recorded.add(request_model="m")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    piped("replay", "--to", backend.url)
    assert "x-key" not in backend.requests[0][1]


def test_a_backend_that_will_not_is_an_error_with_its_words(recorded, piped, backend):
    backend.answers = [(401, {}, b"who are \x1b[31myou")]
    recorded.add(request_model="m")
    done = piped("replay", "--to", backend.url)
    assert done.exit_code == 1
    assert "HTTP 401 who are" in done.stderr
    assert "\x1b" not in done.stderr
    assert "goes on where this one ended" in done.stderr


def test_an_address_that_is_none_is_a_usage_error(recorded, piped):
    recorded.add(request_model="m")
    done = piped("replay", "--to", "localhost:4318")
    assert done.exit_code == 2
    assert "--to: expected an address such as http://localhost:4318" in done.stderr


def test_a_header_that_is_none_is_a_usage_error_that_does_not_show_it(piped, recorded, backend):
    recorded.add(request_model="m")
    done = piped("replay", "--to", backend.url, "--header", "authorization: sk-secret")
    assert done.exit_code == 2
    assert "secret" not in done.stderr


def test_what_the_backend_refuses_is_said(recorded, piped, backend):
    backend.answers = [(400, {}, b"too odd")]
    recorded.add(request_model="m")
    done = piped("replay", "--to", backend.url)
    assert "refused 1: HTTP 400 too odd" in done.stderr


def test_a_store_that_is_not_there_is_no_data(tmp_path, piped, recorded, backend):
    done = CliRunner().invoke(main, ["replay", "--to", backend.url, "--db", str(tmp_path / "none.db")])
    assert done.exit_code == 3
