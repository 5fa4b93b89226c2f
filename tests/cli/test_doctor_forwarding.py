"""What ``otel-llm doctor`` says of forwarding: how much waits, when it last went, what stands in the way."""

import time
from importlib import import_module

import pytest
from click.testing import CliRunner

from otel_llm import config
from otel_llm.cli import doctor, main
from otel_llm.store import forwarded
from otel_llm.store.connection import Connection
from otel_llm.store.replay import Replay, Wish
from otel_llm.store.sender import Destination

BACKEND = "http/protobuf http://backend:4318"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "otel-llm.db"


@pytest.fixture
def told(path):
    """The findings, for an environment."""

    def examine(**environ):
        said = {f"OTEL_{name}": value for name, value in environ.items()}
        loaded = config.load(environ=said, arguments={"store.path": str(path)})
        return [(check.status, check.detail) for check in doctor._forwarding(said, loaded)]

    return examine


@pytest.fixture
def standing(path):
    """Leave word of a backend, as a process that forwards does."""

    def leave(**state):
        connection = Connection(path)
        made = forwarded.begin(connection.sqlite, BACKEND, ("spans",), 1)
        for name, value in state.items():
            setattr(made, name, value)
        forwarded.keep(connection.sqlite, BACKEND, ("spans",), made)
        connection.close()

    return leave


def test_nothing_is_said_where_nobody_forwards(told):
    assert told() == []


def test_a_backend_that_takes_everything_is_fine(told, standing):
    standing(delivered=1234, delivered_at=time.time_ns())
    ((status, detail),) = told(LLM_FORWARD="true", EXPORTER_OTLP_ENDPOINT="http://backend:4318")
    assert status == "ok"
    assert detail.startswith(f"{BACKEND} (spans): about 0 wait; 1,234 sent, the last ")


def test_a_backend_that_is_away_is_told_with_its_last_word(told, standing):
    standing(error="Connection refused", error_at=time.time_ns(), refused=2, expired=3)
    ((status, detail),) = told(LLM_FORWARD="true", EXPORTER_OTLP_ENDPOINT="http://backend:4318")
    assert status == "warn"
    assert "the last never; 2 refused; about 3 gone before they were sent; " in detail
    assert detail.endswith(" ago: Connection refused")


def test_without_a_backend_it_says_what_to_set(told):
    assert told(LLM_FORWARD="true") == [("warn", "forward is on, but no backend is named: nothing is sent")]


def test_before_the_first_call_there_is_nothing_to_tell(told):
    assert told(LLM_FORWARD="true", EXPORTER_OTLP_ENDPOINT="http://h") == [("ok", "on; nothing was sent yet")]


def test_where_it_was_switched_off_that_is_said(told, standing):
    standing(delivered=1)
    assert told()[-1] == ("ok", "off here: forward is false")


def test_a_replay_waits_a_moment_for_who_sends_the_same_and_then_says_so(path, standing, monkeypatch):
    command = import_module("otel_llm.cli.replay")
    standing()
    monkeypatch.setattr(command, "_PATIENT", 0.3)
    with Replay(path, Destination(url="http://127.0.0.1:9"), Wish()):
        done = CliRunner().invoke(main, ["replay", "--to", "http://127.0.0.1:9", "--db", str(path)])
    assert done.exit_code == 1
    assert "another process that does so (forwarding does while the backend is away)" in done.output
