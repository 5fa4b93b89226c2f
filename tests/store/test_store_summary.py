import math
import statistics
from array import array
from datetime import UTC, datetime

import pytest
from finished_spans import SECOND, Spans
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import Status, StatusCode
from test_query import valid

from otel_llm.calls import Call
from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.query import Filter, Reader, StoreError
from otel_llm.store.spread import Spread


def percentiles(values):
    made = Spread()
    made.add(values)
    return made.percentiles()


TIMES = st.none() | st.floats(0.001, 100)
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "request_model": st.sampled_from(["a", "b", None]),
            "provider": st.sampled_from(["openai", "anthropic"]),
            "outcome": st.sampled_from(["completed", "error", "cancelled", "abandoned", None]),
            "resend_count": st.none() | st.integers(1, 3),
            "input_tokens": st.none() | st.integers(0, 1000),
            "output_tokens": st.none() | st.integers(0, 1000),
            "cache_read_input_tokens": st.none() | st.integers(0, 1000),
            "usage_source": st.sampled_from(["provider", "estimated", None]),
            "time_to_first_token": TIMES,
            "time_per_output_token": TIMES,
            "queue_wait": TIMES,
            "cost": TIMES,
            "cost_currency": st.sampled_from(["USD", "EUR"]),
            "energy": TIMES,
            "took": st.integers(1, 100).map(lambda tenths: tenths / 10),
            "at": st.integers(0, 7200),
        }
    ),
    max_size=25,
)


def spread(values):
    values = sorted(value for value in values if value is not None)
    if not values:
        return None

    def quantile(fraction):
        place = (len(values) - 1) * fraction
        low, high = math.floor(place), math.ceil(place)
        return pytest.approx(values[low] + (values[high] - values[low]) * (place - low))

    return {
        "mean": pytest.approx(sum(values) / len(values)),
        "p50": quantile(0.5),
        "p90": quantile(0.9),
        "p95": quantile(0.95),
        "p99": quantile(0.99) if len(values) >= 100 else None,
        "max": pytest.approx(values[-1]),
        "count": len(values),
    }


def total(values):
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def ratio(part, whole):
    return pytest.approx(part / whole) if part is not None and whole else None


def spent(calls):
    """Costs by currency."""
    costs = {}
    for call in calls:
        if call["cost"] is not None:
            costs[call["cost_currency"]] = costs.get(call["cost_currency"], 0) + call["cost"]
    return {currency: pytest.approx(amount) for currency, amount in costs.items()} or None


def overlap(calls):
    """How many calls there were at most at the start of one."""
    return max(
        sum(1 for other in calls if other["at"] <= call["at"] < round(other["at"] + other["took"], 1)) for call in calls
    )


def line(group, calls):
    """What a group should say, counted by hand."""
    resends = sum(1 for call in calls if call["resend_count"])
    failed = sum(1 for call in calls if call["outcome"] == "error")
    told = [call for call in calls if call["usage_source"] != "estimated"]
    wall = max(call["at"] + call["took"] for call in calls) - min(call["at"] for call in calls)
    output = total(call["output_tokens"] for call in told)
    given = total(call["input_tokens"] for call in told)
    energy = total(call["energy"] for call in calls)
    made = total(call["output_tokens"] for call in told if call["energy"] is not None)
    cancelled = sum(1 for call in calls if call["outcome"] == "cancelled")
    errors = max(0, failed - resends)
    return {
        "group": group,
        "calls": len(calls) - resends,
        "attempts": len(calls),
        "errors": max(0, failed - resends),
        "failed_attempts": failed,
        "cancelled": sum(1 for call in calls if call["outcome"] == "cancelled"),
        "abandoned": sum(1 for call in calls if call["outcome"] == "abandoned"),
        "input_tokens": total(call["input_tokens"] for call in told),
        "output_tokens": output,
        "cache_read_input_tokens": total(call["cache_read_input_tokens"] for call in told),
        "error_rate": ratio(errors, len(calls) - resends),
        "cancel_rate": ratio(cancelled, len(calls)),
        "cache_hit_share": ratio(total(call["cache_read_input_tokens"] for call in told), given),
        "calls_per_second": ratio(len(calls) - resends, wall if len(calls) - resends > 1 else 0),
        "input_tokens_per_second": ratio(given, wall),
        "tokens_per_second": ratio(output, wall),
        "concurrency": {"mean": pytest.approx(sum(call["took"] for call in calls) / wall), "max": overlap(calls)},
        "duration": spread(call["took"] for call in calls if call["outcome"] in {"completed", None}),
        "time_to_first_token": spread(call["time_to_first_token"] for call in calls),
        "time_per_output_token": spread(call["time_per_output_token"] for call in calls),
        "queue_wait": spread(call["queue_wait"] for call in calls),
        "cost": spent(calls),
        "priced": sum(1 for call in calls if call["cost"] is not None),
        "energy": None if energy is None else pytest.approx(energy),
        "energy_per_output_token": ratio(energy, made),
    }


@settings(max_examples=30, deadline=None)
@given(calls=CALLS, by=st.sampled_from([(), ("model",), ("provider", "model")]))
def test_a_summary_equals_brute_force(tmp_path_factory, calls, by):
    spans, connection = Spans(), Connection(tmp_path_factory.mktemp("sum") / "sum.db")
    Batches().write(connection.sqlite, [(0, spans.call(**call)) for call in calls])
    with Reader(connection.path) as reader:
        found = reader.summary(Filter(), by)
    connection.close()
    valid("summary", found)
    key = {"model": "request_model", "provider": "provider"}
    groups = {}
    for call in calls:
        groups.setdefault(tuple(call[key[word]] for word in by), []).append(call)
    expected = [line(dict(zip(by, group, strict=True)), some) for group, some in groups.items()]
    assert len(found["groups"]) == len(expected)
    for one in expected:
        (told,) = [group for group in found["groups"] if group["group"] == one["group"]]
        assert told == one
    whole = line({}, calls) if calls else {"calls": 0, "attempts": 0, "errors": 0}
    assert {name: found[name] for name in ("calls", "attempts", "errors")} == {
        name: whole[name] for name in ("calls", "attempts", "errors")
    }
    assert found["error_rate"] == (whole["errors"] / whole["calls"] if whole["calls"] else None)


@pytest.fixture
def summary(kept, path):
    def read(*spans, by=(), **asked):
        kept(*spans)
        with Reader(path) as reader:
            return reader.summary(Filter(**asked), by)

    return read


def test_a_failed_attempt_that_was_resent_is_no_failed_call(summary, spans):
    found = summary(spans.call(error="429"), spans.call(resend_count=1))
    assert (found["attempts"], found["calls"], found["errors"], found["error_rate"]) == (2, 1, 0, 0.0)
    assert found["groups"][0]["failed_attempts"] == 1


def test_a_call_whose_attempts_all_failed_is_one_error(summary, spans):
    found = summary(
        spans.call(error="500"), spans.call(error="500", resend_count=1), spans.call(error="500", resend_count=2)
    )
    assert (found["attempts"], found["calls"], found["errors"], found["error_rate"]) == (3, 1, 1, 1.0)


def test_the_error_of_another_instrumentation_is_told_by_its_status(summary, spans):
    attributes = Call(operation="chat", provider="openai", request_model="m").attributes()
    found = summary(spans.span(attributes, status=Status(StatusCode.ERROR)), spans.span(attributes))
    assert found["errors"] == 1
    assert found["groups"][0]["duration"]["count"] == 1


def test_estimated_tokens_are_not_shown_as_measured(summary, spans):
    found = summary(spans.call(output_tokens=7, usage_source="estimated"))["groups"][0]
    assert found["output_tokens"] is None
    assert found["tokens_per_second"] is None


def test_cached_tokens_are_null_until_a_provider_reports_some(summary, spans):
    assert summary(spans.call(input_tokens=9))["groups"][0]["cache_read_input_tokens"] is None
    reported = {"cache_read_input_tokens": 6, "usage_source": "provider"}
    found = summary(spans.call(**reported), spans.call(cache_read_input_tokens=3, usage_source="estimated"))
    assert found["groups"][0]["cache_read_input_tokens"] == 6


def test_the_model_is_the_one_asked_for(summary, spans):
    found = summary(
        spans.call(request_model="m", response_model="m-1"),
        spans.call(request_model=None, response_model="n"),
        by=("model",),
    )
    assert [line["group"] for line in found["groups"]] == [{"model": "m"}, {"model": "n"}]


def test_hours_come_in_order(summary, spans):
    hour = 3600
    start = spans.start / SECOND
    found = summary(spans.call(at=hour), spans.call(at=hour), spans.call(at=0), by=("hour",))
    expected = [
        datetime.fromtimestamp((start + more) // hour * hour, UTC).isoformat().replace("+00:00", "Z")
        for more in (0, hour)
    ]
    assert [line["group"]["hour"] for line in found["groups"]] == expected


def test_groups_by_service_and_operation(summary, spans):
    found = summary(
        spans.call(service="a"), spans.call(service="b", operation="embeddings"), by=("service", "operation")
    )
    assert [line["group"] for line in found["groups"]] == [
        {"service": "a", "operation": "chat"},
        {"service": "b", "operation": "embeddings"},
    ]


def test_an_unknown_grouping_is_refused(summary, spans):
    with pytest.raises(
        StoreError, match="by: expected any of model, provider, service, operation, hour, found 'colour'"
    ):
        summary(spans.call(), by=("colour",))


def test_without_bounds_the_data_s_extent_is_told(summary, spans):
    call = spans.call(took=2)
    found = summary(call)
    assert found["since"] == datetime.fromtimestamp(call.start_time // 1000 / 1e6, UTC).isoformat().replace(
        "+00:00", "Z"
    )
    assert found["until"] == datetime.fromtimestamp(call.end_time // 1000 / 1e6, UTC).isoformat().replace("+00:00", "Z")


def test_bounds_that_were_asked_for_are_told(summary, spans):
    found = summary(spans.call(), since=0, until=SECOND)
    assert (found["since"], found["until"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z")
    assert found["groups"] == []
    valid("summary", found)


def test_the_99th_percentile_needs_a_hundred_samples():
    assert percentiles(array("d", range(99)))["p99"] is None
    assert percentiles(array("d", range(101)))["p99"] == 99


def test_percentiles_are_linear_between_ranks():
    values = [1.0, 5.0, 2.0, 9.0]
    found = percentiles(array("d", values))
    assert found["p50"] == statistics.median(values)
    assert found["max"] == 9.0


def test_nothing_measured_has_no_percentiles():
    assert percentiles(array("d")) is None
