"""Client metrics: few calls, right points, bounded."""

import os
import threading
from types import SimpleNamespace

import httpx
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_llm import boundary, semconv
from otel_llm.calls import Call
from otel_llm.record import metrics as metrics_module
from otel_llm.record import queues, transport
from otel_llm.record.metrics import ClientMetrics
from otel_llm.record.tally import identity

CALL = {"model": "m", "stream": True, "messages": []}


def post(server, case):
    with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501 - the server is plain
        try:
            return client.post(f"http://127.0.0.1:{server.port}/{case}/metrics/v1/chat/completions", json=CALL)
        except httpx.HTTPError:
            return None


@pytest.fixture
def calls(monkeypatch):
    """The names of the instruments that this thread calls, in order; those of other tests are the reaper's."""
    names, here = [], threading.get_ident()
    for kind, method in ((Histogram, "record"), (Counter, "add"), (UpDownCounter, "add")):
        original = getattr(kind, method)

        def spy(self, *args, original=original, **more):
            if threading.get_ident() == here:
                names.append(self.name)
            return original(self, *args, **more)

        monkeypatch.setattr(kind, method, spy)
    return names


def test_an_inference_is_at_most_five_instrument_calls(recorded, server, asleep, calls):
    post(server, "stream")
    transport.recorder().metrics.measure()
    # The SDK may count spans and points of its own.
    mine = [name for name in calls if name.startswith(("gen_ai.", "otel_llm."))]
    assert sorted(mine) == [
        semconv.METRIC_OPERATION_DURATION,
        semconv.METRIC_TIME_TO_FIRST_CHUNK,
        semconv.METRIC_TOKEN_USAGE,
        semconv.METRIC_TOKEN_USAGE,
        semconv.METRIC_TIME_PER_OUTPUT_TOKEN,
    ]


def test_every_metric_has_its_unit(recorded, server, monkeypatch):
    monkeypatch.setattr(queues, "_queues", {})  # they belong to the process
    post(server, "stream")
    boundary.swallow("test", ValueError())
    data = recorded.reader.get_metrics_data()
    units = {m.name: m.unit for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    boundary.reset()
    assert units == {
        semconv.METRIC_OPERATION_DURATION: "s",
        semconv.METRIC_TIME_TO_FIRST_CHUNK: "s",
        semconv.METRIC_TIME_PER_OUTPUT_TOKEN: "s",
        semconv.METRIC_TOKEN_USAGE: "{token}",
        semconv.METRIC_OPERATIONS: "{operation}",
        semconv.METRIC_ACTIVE_REQUESTS: "{request}",
        semconv.METRIC_SELF_ERRORS: "{error}",
        semconv.METRIC_SELF_UNPRICED_CALLS: "{call}",
    }


def test_tokens_are_told_by_type(recorded, server):
    post(server, "stream")
    points = recorded.points()[semconv.METRIC_TOKEN_USAGE]
    assert {point.attributes[semconv.TOKEN_TYPE]: point.sum for point in points} == {"input": 7, "output": 5}
    assert points[0].explicit_bounds == semconv.TOKEN_BUCKETS


def test_buckets_are_ours(recorded, server):
    post(server, "stream")
    points = recorded.points()
    assert points[semconv.METRIC_TIME_PER_OUTPUT_TOKEN][0].explicit_bounds == semconv.TIME_PER_OUTPUT_TOKEN_BUCKETS
    assert points[semconv.METRIC_OPERATION_DURATION][0].explicit_bounds == semconv.DURATION_BUCKETS
    assert points[semconv.METRIC_TIME_TO_FIRST_CHUNK][0].explicit_bounds == semconv.TIME_TO_FIRST_CHUNK_BUCKETS


def test_attributes_are_those_of_the_call(recorded, server):
    post(server, "stream")
    expected = {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "openai",
        semconv.REQUEST_MODEL: "m",
        semconv.SERVER_ADDRESS: "127.0.0.1",
    }
    points = recorded.points()
    assert dict(points[semconv.METRIC_OPERATION_DURATION][0].attributes) == expected
    assert dict(points[semconv.METRIC_OPERATIONS][0].attributes) == {**expected, semconv.RESEND: False}


def test_an_error_shows_in_the_duration_and_not_in_the_operations(recorded, server):
    post(server, "html")
    points = recorded.points()
    assert points[semconv.METRIC_OPERATION_DURATION][0].attributes[semconv.ERROR_TYPE] == "500"
    (operations,) = points[semconv.METRIC_OPERATIONS]
    assert semconv.ERROR_TYPE not in operations.attributes
    assert (operations.value, operations.attributes[semconv.RESEND]) == (1, False)


@pytest.mark.parametrize("case", ["stream", "whole", "html", "cut", "reset", "eof"])
def test_nothing_is_active_behind_a_call(recorded, server, case):
    post(server, case)
    assert [point.value for point in recorded.points()[semconv.METRIC_ACTIVE_REQUESTS]] == [0]


def test_a_call_in_flight_is_active(recorded, server):
    client = httpx.Client(trust_env=False)
    target = f"http://127.0.0.1:{server.port}/hang/metrics/v1/chat/completions"
    response = client.send(client.build_request("POST", target, json=CALL), stream=True)
    (active,) = recorded.points()[semconv.METRIC_ACTIVE_REQUESTS]
    response.close()
    client.close()
    assert active.value == 1
    assert dict(active.attributes) == dict(identity("chat", "openai", "m"))


class Under(SimpleNamespace):
    """A call under way."""

    __hash__ = object.__hash__


def test_what_is_under_way_in_the_parent_is_not_in_a_forked_child(held):
    client, reader = held
    mine, parents = (Under(key=identity("chat", "p", "m"), pid=os.getpid() - older) for older in (0, 1))
    client.open.update((mine, parents))
    assert [point.value for point in series(reader, semconv.METRIC_ACTIVE_REQUESTS)] == [1]
    client.open.clear()
    assert [point.value for point in series(reader, semconv.METRIC_ACTIVE_REQUESTS)] == [0]


def test_exemplars_lead_to_the_span(recorded, server):
    post(server, "stream")
    (span,) = recorded.spans
    points = recorded.points()
    for name in (
        semconv.METRIC_OPERATION_DURATION,
        semconv.METRIC_TOKEN_USAGE,
        semconv.METRIC_TIME_TO_FIRST_CHUNK,
        semconv.METRIC_TIME_PER_OUTPUT_TOKEN,
    ):
        (exemplar,) = points[name][0].exemplars
        assert (exemplar.trace_id, exemplar.span_id) == (span.context.trace_id, span.context.span_id)


def test_what_was_estimated_is_no_metric(recorded, server):
    post(server, "plain")
    assert recorded.spans[0].attributes[semconv.USAGE_SOURCE] == "estimated"
    assert {semconv.METRIC_TOKEN_USAGE, semconv.METRIC_TIME_PER_OUTPUT_TOKEN}.isdisjoint(recorded.points())


@pytest.fixture
def metrics():
    reader = InMemoryMetricReader()
    return ClientMetrics(MeterProvider([reader]).get_meter("test")), reader


def series(reader, name):
    data = reader.get_metrics_data()
    return [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def test_the_number_of_series_is_bounded_and_no_operation_is_lost(metrics):
    kept, reader = metrics
    for number in range(5000):
        call = Call(operation="chat", provider="p", request_model=f"m{number}")
        kept.record(call, 0.1, Context())
    kept.measure()  # the SDK gives a reader ten seconds
    operations = series(reader, semconv.METRIC_OPERATIONS)
    assert len(operations) <= 2001
    assert sum(point.value for point in operations) == 5000
    assert any(point.attributes.get(semconv.METRIC_OVERFLOW) for point in operations)
    assert len(series(reader, semconv.METRIC_ACTIVE_REQUESTS)) <= 2000
    assert sum(point.count for point in series(reader, semconv.METRIC_OPERATION_DURATION)) == 5000


def test_what_nobody_said_is_no_attribute_and_no_point(metrics):
    kept, reader = metrics
    kept.record(Call(operation="chat"), 0.1, Context())
    (duration,) = series(reader, semconv.METRIC_OPERATION_DURATION)
    assert dict(duration.attributes) == {semconv.OPERATION_NAME: "chat"}
    assert series(reader, semconv.METRIC_TOKEN_USAGE) == []


def test_rate_limits_are_gauges_by_provider_model_and_host(recorded):
    left = iter([(90, 9000), (80, 7000)])

    def answer(_request):
        requests, tokens = next(left)
        headers = {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": str(requests),
            "x-ratelimit-reset-requests": "1m0s",
            "x-ratelimit-remaining-tokens": str(tokens),
        }
        return httpx.Response(200, headers=headers, json={"choices": []})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        client.post("https://api.openai.com/v1/chat/completions", json=CALL)
        recorder = transport.recorder()
        later = recorder.clock() + 10
        recorder.clock = lambda: later
        client.post("https://api.openai.com/v1/chat/completions", json=CALL)
    limits = recorder.metrics._limits
    told = {dict(key)[semconv.RATELIMIT_TYPE]: one for key, one in limits.tell(later)}
    assert told["requests"].remaining == 80
    assert told["requests"].limit == 100
    assert told["requests"].reset == pytest.approx(60)
    assert told["requests"].time_to_limit == pytest.approx(80, rel=0.01)
    assert told["tokens"].time_to_limit == pytest.approx(35, rel=0.01)
    points = recorded.points()
    (limit,) = points[semconv.METRIC_RATELIMIT_LIMIT]
    assert limit.value == 100
    assert dict(limit.attributes) == {
        semconv.PROVIDER_NAME: "openai",
        semconv.REQUEST_MODEL: "m",
        semconv.SERVER_ADDRESS: "api.openai.com",
        semconv.RATELIMIT_TYPE: "requests",
    }
    assert {point.value for point in points[semconv.METRIC_RATELIMIT_REMAINING]} == {80, 7000}


def test_a_provider_without_rate_limits_has_no_gauge_of_them(recorded, server):
    post(server, "stream")
    assert not [name for name in recorded.points() if name.startswith("otel_llm.ratelimit")]


@pytest.fixture
def asleep(monkeypatch):
    """The reaper's thread takes nothing up."""
    monkeypatch.setattr(transport.reaper, "take", lambda _one: None)


@pytest.fixture
def held(asleep):
    """Instruments and the reader that collects them."""
    reader = InMemoryMetricReader()
    return ClientMetrics(MeterProvider([reader]).get_meter("test")), reader


def told(reader):
    data = reader.get_metrics_data()
    metrics = [] if data is None else [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
    return sum(p.count for m in metrics if m.name == semconv.METRIC_OPERATION_DURATION for p in m.data.data_points)


def test_a_reader_sees_every_call_that_ended_before_it_collects(held):
    client, reader = held
    for number in range(1, 4):
        client.record(Call(operation="chat"), 0.1, Context())
        assert told(reader) == number


def test_calls_that_nobody_measures_are_measured_by_those_that_end(held, monkeypatch):
    client, _ = held
    monkeypatch.setattr(metrics_module, "_MOST_WAITING", 2)
    for _ in range(5):
        client.record(Call(operation="chat"), 0.1, Context())
    assert len(client._ended) == 2


def test_a_forked_child_measures_none_of_its_parents_calls(held):
    client, reader = held
    client.record(Call(operation="chat"), 0.1, Context())
    client._measuring.acquire()  # by a thread that the child has not
    client._pid -= 1
    client.record(Call(operation="chat"), 0.1, Context())
    assert told(reader) == 1


def test_a_call_that_cannot_be_measured_costs_no_other(held, monkeypatch):
    client, reader = held
    client.record(None, 0.1, Context())
    client.record(Call(operation="chat"), 0.1, Context())
    assert told(reader) == 1
    assert boundary.errors() == {"record.metrics": 1}
    boundary.reset()


def test_a_series_that_cannot_be_recorded_costs_no_other(held, monkeypatch):
    client, reader = held
    monkeypatch.setattr(client._tally._instruments.per_token, "record", None)
    client.record(Call(operation="chat", time_per_output_token=0.1), 0.1, Context())
    assert told(reader) == 1
    assert boundary.errors() == {"record.metrics": 1}
    boundary.reset()


def test_the_thread_lets_calls_gather_and_measures_a_little_at_a_time(held, monkeypatch):
    client, _ = held
    put, rests = [], []
    monkeypatch.setattr(transport.reaper, "take", put.append)
    monkeypatch.setattr(transport.reaper, "rest", rests.append)
    for _ in range(40):
        client.record(Call(operation="chat"), 0.1, Context())
    assert put == [client]
    put[0].close()
    assert (len(client._ended), rests) == (0, [0.25, 0.002, 0.002])
    client.record(Call(operation="chat"), 0.1, Context())
    assert put == [client, client]


def test_after_a_turn_that_failed_the_next_call_asks_for_another(held, monkeypatch):
    client, _ = held
    put = []
    monkeypatch.setattr(transport.reaper, "take", put.append)
    for _ in range(2):
        client.record(Call(operation="chat"), 0.1, Context())
        client.give_up()
    assert put == [client, client]
