"""What may befall a Redis while an engine works with it: the host goes on by itself, says so once, and joins again."""

import logging
import sys
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_llm import boundary
from otel_llm.alert import clock
from otel_llm.alert.engine import Engine
from otel_llm.alert.processor import AlertProcessor
from otel_llm.fleet import wiring
from otel_llm.fleet.settings import Config
from otel_llm.store.ledger import SqliteLedger
from parts.rules import errors, interpret
from parts.waiting import least, wait_for

RULE = "window: 15s, threshold: 0.5, min_samples: 4, keep_firing_for: 0s, cooldown: 0s"
OPENS_WITHIN = 2.0
JOINS_WITHIN = 15.0
A_CALL_TAKES = 0.001
OTHER = "other"


def limit(client, size):
    client.config_set("maxmemory", size)


def fill(server):
    """Out of memory: reading goes on, writing does not."""
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        limit(client, 1)


def empty(server):
    with server.client() as client:
        limit(client, 0)


def demote(server):
    """What is left of a master after a failover."""
    with server.client() as client:
        client.replicaof("127.0.0.1", server.port)


def promote(server):
    with server.client() as client:
        client.replicaof("NO", "ONE")


def change_password(server):
    with server.client() as client:
        client.config_set("requirepass", OTHER)
        server.password = OTHER
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)


def change_password_back(server):
    with server.client() as client:
        client.config_set("requirepass", "")
        server.password = None


FAULTS = {
    "killed": (lambda server: server.kill(), lambda server: server.start()),
    "killed, and its data lost": (lambda server: server.kill(), lambda server: (server.empty(), server.start())),
    "hung": (lambda server: server.hang(), lambda server: server.go_on()),
    "out of memory": (fill, empty),
    "read-only": (demote, promote),
    "another password": (change_password, change_password_back),
}


class Host:
    def __init__(self, url, store, told):
        rules = interpret(errors(RULE))
        here = wiring.Here(
            local=lambda: SqliteLedger(store, clock.boot()), store=str(store), boot=clock.boot(), now=clock.now
        )
        opener = wiring.opener(Config(url=url, namespace="test"), {}, here)
        self.processor = AlertProcessor(lambda: self.engine.start())  # noqa: PLW0108 - made below
        self.engine = Engine(self.processor, lambda: rules, ledger=opener)
        self.engine.watch(lambda changes: told.extend(said for _, said in changes))
        provider = TracerProvider()
        provider.add_span_processor(self.processor)
        self.tracer = provider.get_tracer("t")
        self.ledger = opener()

    def close(self):
        self.engine.stop(2.0)
        self.ledger._line.close()

    def call(self, *, fails=False):
        """The longest that ending a call took [s]."""
        said = {"gen_ai.operation.name": "chat"}
        said |= {"otel_llm.outcome": "error", "error.type": "500"} if fails else {"otel_llm.outcome": "completed"}
        span = self.tracer.start_span("chat m", attributes=said)
        before = time.perf_counter()
        span.end()
        return time.perf_counter() - before


@pytest.fixture
def told():
    return []


@pytest.fixture
def host(redis_server, tmp_path, told):
    host = Host(redis_server.url, tmp_path / "store.db", told)
    host.call()
    wait_for(lambda: host.ledger.joined)
    yield host
    host.close()


def warnings(caplog):
    """What was told in the log."""
    return [record.getMessage() for record in caplog.records if record.name == boundary.logger.name]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_host_goes_on_without_redis_and_joins_again(fault, host, redis_server, told, caplog, record_property):
    caplog.set_level(logging.WARNING, logger="otel_llm")
    begin, end = FAULTS[fault]
    durations = []

    def open_():
        if not host.ledger.joined:
            end(redis_server)
            wait_for(lambda: host.ledger.joined)
        begin(redis_server)
        return wait_for(lambda: not host.ledger.joined)

    opened = least(open_, OPENS_WITHIN + 1.0)
    assert opened < OPENS_WITHIN + 1.0  # a question is asked each second, and the tests' machine is shared
    wait_for(lambda: told, between=lambda: (durations.append(host.call(fails=True)), time.sleep(0.01)))
    assert (told[0].status, told[0].annotations["scope"]) == ("firing", "host")

    def join_again():
        if host.ledger.joined:
            begin(redis_server)
            wait_for(lambda: not host.ledger.joined)
        end(redis_server)
        return wait_for(
            lambda: host.ledger.joined, between=lambda: (durations.append(host.call(fails=True)), time.sleep(0.01))
        )

    rejoined = least(join_again, JOINS_WITHIN)
    assert rejoined < JOINS_WITHIN
    wait_for(lambda: "answers: " in warnings(caplog)[-1])  # the word comes after the deed
    said = [("answers: " in text, "on this host alone" in text) for text in warnings(caplog)]
    assert said == [(False, True), (True, False)] * (len(said) // 2)
    assert [said.status for said in told] == ["firing"]
    assert sorted(durations)[len(durations) // 2] < A_CALL_TAKES
    with redis_server.client() as client:
        (kept,) = client.hvals("otel_llm:{test}:kept")
        assert b'"state":"firing"' in kept
    record_property("seconds", {"opened": opened, "joined": rejoined, "longest call": max(durations)})


@pytest.mark.slow
def test_a_redis_that_lost_its_data_is_told_again_what_was_told(host, redis_server, told):
    """Faster than anybody notices: no answer is ever missing, but nothing is there any more."""
    wait_for(lambda: told, between=lambda: (host.call(fails=True), time.sleep(0.01)))
    with redis_server.client() as client:
        client.flushall()
        wait_for(lambda: client.hlen("otel_llm:{test}:kept") == 1)
    wait_for(lambda: len(told) > 1, between=lambda: (host.call(), time.sleep(0.002)))
    assert [said.status for said in told] == ["firing", "resolved"]
    assert told[0].starts_at == told[1].starts_at


def test_a_redis_that_is_not_there_at_first_is_told_once_and_the_host_decides(redis_servers, tmp_path, told, caplog):
    server = redis_servers()
    host = Host(server.url, tmp_path / "store.db", told)
    wait_for(lambda: told, between=lambda: (host.call(fails=True), time.sleep(0.01)))
    assert len([record for record in caplog.records if "on this host alone" in record.getMessage()]) == 1
    host.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.test", "expected a URL that begins with one of redis://"),
        ("redis://:secret@localhost:nowhere/0", "redis.url: "),
        ("redis+sentinel://localhost:1", "expected redis+sentinel://HOST:PORT,HOST:PORT/MASTER"),
    ],
)
def test_a_wrong_url_is_told_once_without_its_password(url, said, tmp_path, told, caplog):
    host = Host(url, tmp_path / "store.db", told)
    wait_for(lambda: told, between=lambda: (host.call(fails=True), time.sleep(0.01)))
    assert said in caplog.text
    assert "secret" not in caplog.text
    assert "scope" not in told[0].annotations
    host.close()


def test_without_the_extra_it_is_said_what_to_install(tmp_path, told, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    host = Host("redis://localhost", tmp_path / "store.db", told)
    wait_for(lambda: told, between=lambda: (host.call(fails=True), time.sleep(0.01)))
    assert caplog.text.count("pip install 'otel-llm[redis]'") == 1
    assert not host.ledger.stands_in
    host.close()


def test_a_stopped_redis_does_not_hold_the_exit(redis_server, tmp_path, told):
    def leave():
        redis_server.go_on()
        host = Host(redis_server.url, tmp_path / "store.db", told)
        host.call()
        wait_for(lambda: host.ledger.joined)
        redis_server.hang()
        begin = time.monotonic()
        host.engine.stop(0.5)
        took = time.monotonic() - begin
        host.close()
        return took

    assert least(leave, 1.0) < 1.0
