"""What hosts tell of their calls, and the commands that show it, with a real Redis."""

import json
import os
import tracemalloc
from functools import partial
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

from otel_llm import config, semconv
from otel_llm.cli import checks, fleet, main
from otel_llm.cli.cells import Wanted
from otel_llm.fleet.keys import FLEETS, Keys
from otel_llm.fleet.publisher import MINUTES_WAITING, STREAM, WAITING, Publisher
from otel_llm.fleet.reading import Window
from otel_llm.store.minutes import MINUTE, Minutes, summarize
from otel_llm.store.query import Filter

pytestmark = pytest.mark.usefixtures("unhurried")
NAMES = ("a", "b")
SECOND = 1_000_000_000
SAID = {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "m", semconv.OUTCOME: "completed"}


def publisher(host, name="chat/prod"):
    return Publisher(Keys(name), lambda: Minutes(host), host=host)


def record(publisher, count=1, *, service="chat", model="m", fails=False, **said):
    """Calls that took 0.1 s each and ended just now."""
    provider = TracerProvider(resource=Resource({"service.name": service, "secret": "x"}))
    provider.add_span_processor(publisher)
    for _ in range(count):
        attributes = {
            semconv.OPERATION_NAME: "chat",
            semconv.REQUEST_MODEL: model,
            semconv.OUTCOME: "error" if fails else "completed",
            semconv.USAGE_INPUT_TOKENS: 7,
            semconv.USAGE_OUTPUT_TOKENS: 3,
            semconv.USAGE_SOURCE: "provider",
            **said,
        }
        span = provider.get_tracer("t").start_span("chat of somebody", attributes=attributes)
        if fails:
            span.set_status(Status(StatusCode.ERROR, "the prompt was: secret"))
        span.end(span.start_time + SECOND // 10)


CONTRACT = Path(__file__).parents[2] / "docs/contract"


def schema(name):
    return json.loads((CONTRACT / f"{name}.schema.json").read_text())


@pytest.fixture
def told(redis_server):
    """Two hosts' calls, told."""
    with redis_server.client() as client:
        client.zadd(FLEETS, {"chat/prod": 1})
        for host, count in (("a", 3), ("b", 5)):
            one = publisher(host)
            record(one, count)
            record(one, fails=host == "b", model="other")
            one.publish(client)
        yield client


@pytest.fixture
def ask(redis_server):
    return partial(otel_llm, redis_server.url)


def otel_llm(url, *words):
    return CliRunner().invoke(main, words, env={"OTEL_LLM_REDIS_URL": url, "NO_COLOR": "1"})


def test_a_summary_of_all_hosts_is_of_all_hosts(told, ask):
    document = json.loads(ask("summary", "--fleet", "--json").stdout)
    jsonschema.validate(document, schema("summary"))
    assert (document["calls"], document["errors"]) == (10, 1)
    (group,) = document["groups"]
    assert (group["input_tokens"], group["output_tokens"]) == (70, 30)
    assert group["duration"]["count"] == 9
    assert group["duration"]["p50"] == pytest.approx(0.1, rel=0.022)


def test_hosts_and_models_are_told_apart(told, ask):
    document = json.loads(ask("summary", "--fleet", "--json", "--by", "host", "--by", "model").stdout)
    counts = {tuple(group["group"].values()): group["calls"] for group in document["groups"]}
    assert counts == {("a", "m"): 3, ("b", "m"): 5, ("a", "other"): 1, ("b", "other"): 1}
    only = json.loads(ask("summary", "--fleet", "--json", "--model", "other").stdout)
    assert only["calls"] == 2
    table = ask("summary", "--fleet", "--by", "host").stdout
    assert "10 calls" in table
    assert [line.split()[0] for line in table.splitlines() if line.split()[:1] in (["a"], ["b"])] == ["b", "a"]


def test_calls_of_all_hosts_are_listed_oldest_first(told, ask):
    found = [json.loads(line) for line in ask("tail", "--fleet", "--json").stdout.splitlines()]
    for call in found:
        jsonschema.validate(call, schema("call"))
    assert [call["resource"]["host.name"] for call in found] == ["a"] * 4 + ["b"] * 6
    assert found[-1]["status"] == "ERROR"
    assert len(ask("tail", "--fleet", "-n", "2").stdout.splitlines()) == 2
    failed = ask("tail", "--fleet", "--json", "--errors").stdout.splitlines()
    assert [json.loads(line)["span_id"] for line in failed] == [found[-1]["span_id"]]


def test_no_content_is_told(redis_server):
    one = publisher("a")
    said = {
        semconv.INPUT_MESSAGES: "secret",
        semconv.REQUEST_STOP_SEQUENCES: ("secret",),
        f"{semconv.METADATA_PREFIX}user": "secret",
        "http.url": "https://x/?key=secret",
    }
    record(one, fails=True, **said)
    with redis_server.client() as client:
        one.publish(client)
        keys = client.keys()
        assert all(b"secret" not in client.dump(key) for key in keys)
        (entry,) = client.xrange("otel_llm:{chat/prod}:calls")
        assert b"secret" not in entry[1][b"call"]
        assert {key: client.ttl(key) for key in keys if client.ttl(key) < 0} == {}


def test_what_cannot_be_told_in_time_is_not_told(redis_server):
    one = publisher("a")
    record(one, WAITING + 10)
    with redis_server.client() as client:
        while one._ended:
            one.publish(client)
        assert client.xlen("otel_llm:{chat/prod}:calls") == WAITING
    assert STREAM >= WAITING


def test_what_waits_while_redis_is_away_is_small_whatever_calls_hold(redis_server):
    one = publisher("a")
    tracemalloc.start()
    try:
        for _ in range(0, WAITING, 100):
            record(one, 100, **{semconv.INPUT_MESSAGES: os.urandom(20_000).hex()})
            one.condense()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 5_000_000  # 80 MB are content
    with redis_server.client() as client:
        while one._ready:
            one.publish(client)
        assert client.xlen("otel_llm:{chat/prod}:calls") == WAITING


def test_minutes_of_a_long_outage_are_told_when_redis_is_back_and_no_more_than_may_wait(redis_server):
    one = publisher("a")
    for minute in range(MINUTES_WAITING + 5):
        for _ in range(2):
            one._sums.add(SAID, minute * MINUTE, minute * MINUTE, failed=False, service=None)
            one.condense()
    with redis_server.client() as client:
        client.zadd(FLEETS, {"chat/prod": 1})
        one.publish(client)
    told = Window(redis_server.url).minutes()
    assert sorted(minute for minute, _ in told) == list(range(5, MINUTES_WAITING + 5))
    assert summarize(told, Filter(), ())["calls"] == 2 * MINUTES_WAITING


def test_a_call_is_shown_when_it_ends(told, redis_server, monkeypatch):
    monkeypatch.setenv("OTEL_LLM_REDIS_URL", redis_server.url)
    followed = fleet.calls(Filter(limit=1), Wanted(), follow=True)
    assert next(followed).span.resource["host.name"] == "b"
    one = publisher("c")
    record(one, **{semconv.RESPONSE_FINISH_REASONS: ("stop",)})
    one.publish(told)
    newest = next(followed)
    assert (newest.span.resource["host.name"], newest.finish) == ("c", "stop")
    followed.close()


def test_a_fork_leaves_to_the_parent_what_had_ended(redis_server):
    one = publisher("a")
    record(one)
    child = os.fork()
    if child == 0:
        os._exit(len(one._ended))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(one._ended) == 1


def test_a_fleet_that_tells_nothing_has_no_data(redis_server, ask):
    assert ask("summary", "--fleet").exit_code == 3
    assert ask("tail", "--fleet").stdout == ""


def test_without_a_redis_it_is_said_what_is_missing():
    for command in ("summary", "tail"):
        done = otel_llm("", command, "--fleet")
        assert done.exit_code == 1
        assert done.stderr == (
            "--fleet: expected a Redis that the hosts share, found none (OTEL_LLM_REDIS_URL is not set)\n"
        )


def test_a_redis_that_is_away_is_told(free_port):
    done = otel_llm(f"redis://:secret@127.0.0.1:{free_port()}", "tail", "--fleet")
    assert done.exit_code == 1
    assert "Redis cannot be read: " in done.stderr


@pytest.mark.parametrize("words", [("--by", "host"), ("--fleet", "--by", "hour")])
def test_hosts_are_a_fleet_s_and_hours_a_store_s(words):
    assert otel_llm("", "summary", *words).exit_code == 2


def test_doctor_says_who_is_there_and_who_judges(redis_server):
    loaded = config.load(environ={"OTEL_LLM_REDIS_URL": redis_server.url})
    (found,) = checks.redis(loaded)
    assert found.detail.endswith("nobody has joined yet")
    with redis_server.client() as client:
        ahead = client.time()[0] + 60  # they are at work for as long as this takes
        client.zadd(FLEETS, {"chat/prod": 1})
        client.zadd("otel_llm:{chat/prod}:workers", {"a 1": ahead * 1000, "a 2": ahead * 1000, "b 3": 1})
        client.set("otel_llm:{chat/prod}:lease", "a 2 0f0f")
    (found,) = checks.redis(loaded)
    assert found.status == "ok"
    assert found.detail.endswith("; chat/prod: 2 processes on 1 host, a 2 judges")


def test_doctor_says_that_redis_does_not_answer_without_its_password(free_port):
    url = f"redis://:secret@127.0.0.1:{free_port()}"
    (found,) = checks.redis(config.load(environ={"OTEL_LLM_REDIS_URL": url}))
    assert found.status == "fail"
    assert "secret" not in found.detail
    (found,) = checks.redis(config.load(environ={}))
    assert found.status == "ok"


def test_minutes_of_several_processes_add_up_to_what_one_would_say():
    whole, parts = Minutes("a"), [Minutes("a"), Minutes("a")]
    for place in range(200):
        said = {semconv.OPERATION_NAME: "chat", semconv.OUTCOME: "completed", semconv.USAGE_OUTPUT_TOKENS: place}
        start = 100 * MINUTE + place * SECOND
        for sums in (whole, parts[place % 2]):
            sums.add(said, start, start + (place + 1) * SECOND // 10, failed=False, service="s")
    one = summarize(whole.take().items(), Filter(), ())
    both = summarize([pair for sums in parts for pair in sums.take().items()], Filter(), ())
    assert both == one
    assert one["calls"] == 200
    assert whole.take() == {}


def test_a_minute_that_is_over_does_not_begin_again():
    sums = Minutes("a")
    said = {semconv.OPERATION_NAME: "chat"}
    for minute in (100, 101, 102, 103, 90):
        sums.add(said, minute * MINUTE, minute * MINUTE, failed=False, service=None)
        told = sums.take()
    assert list(told) == [101]


def test_kinds_beyond_a_bound_are_told_without_names():
    sums = Minutes("a")
    for place in range(300):
        said = {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: f"m{place}"}
        sums.add(said, 0, 0, failed=False, service=None)
    document = summarize(sums.take().items(), Filter(), ("model",))
    assert (document["calls"], len(document["groups"])) == (300, 201)
