"""Records by the short way are the SDK's own, for every reader, view and span."""

import math

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import ExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics import Histogram as Kind
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExponentialBucketHistogramAggregation, SumAggregation, View
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_llm.record import histogram
from otel_llm.record.histogram import Origin, Series

KEY = (("gen_ai.request.model", "m"), ("server.address", "localhost"))
OTHER = (("gen_ai.request.model", "n"),)
CONTEXT = set_span_in_context(
    NonRecordingSpan(SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
)


class Both:
    """The same records by the SDK's door and by ours, side by side in one provider."""

    def __init__(self, *temporalities, views=(), **more):
        self.readers = [InMemoryMetricReader({Kind: one}) for one in temporalities]
        self.provider = MeterProvider(self.readers, views=views, shutdown_on_exit=False, **more)
        meter = self.provider.get_meter("test")
        self._slow = meter.create_histogram("slow", explicit_bucket_boundaries_advisory=[1, 10])
        self._swift = meter.create_histogram("swift", explicit_bucket_boundaries_advisory=[1, 10])
        self.series = {}

    def record(self, value, key, context=CONTEXT):
        self.record_all([(value, context)], key)

    def record_all(self, told, key):
        for value, context in told:
            self._slow.record(value, dict(key), context)
        series = self.series.setdefault(key, Series(self._swift, key))
        series.record([(value, Origin(context)) for value, context in told])

    def points(self, reader):
        """Points by instrument, without their times."""
        told = {"slow": [], "swift": []}
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
            told[metric.name] = [
                (
                    dict(point.attributes),
                    (point.count, point.sum, point.min, point.max, tuple(point.bucket_counts)),
                    [(one.value, one.trace_id, one.span_id) for one in point.exemplars],
                )
                for point in metric.data.data_points
            ]
        return told


@pytest.fixture
def short_way(monkeypatch):
    """Each record that took the short way; its own trial is over."""
    Both(CUMULATIVE).record(1, KEY)
    taken = []
    add = histogram._add
    monkeypatch.setattr(histogram, "_add", lambda *given: (taken.append(given), add(*given)))
    return taken


CUMULATIVE, DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA


@pytest.mark.parametrize("temporalities", [(CUMULATIVE,), (DELTA,), (DELTA, CUMULATIVE)])
def test_points_and_exemplars_are_those_of_the_public_door_collection_by_collection(temporalities, short_way):
    both = Both(*temporalities)
    for _ in range(3):
        for value in (0.5, 5, 5.5, 100):
            both.record(value, KEY)
            both.record(value * 2, OTHER)
        for reader in both.readers:
            told = both.points(reader)
            assert told["swift"] == told["slow"]
            assert len(told["swift"]) == 2
    assert len(short_way) == 3 * 8 - 2


def _span(number, flags=TraceFlags.SAMPLED):
    context = SpanContext(7, number, is_remote=False, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(context))


@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
def test_many_at_once_are_what_they_are_one_by_one(temporality, short_way):
    both = Both(temporality)
    told = [(0.5, _span(1)), (5, _span(2)), (0.7, _span(3)), (5.5, _span(4, 0)), (100, _span(5, 0)), (0.1, Context())]
    for _ in range(3):
        both.record_all(told, KEY)
        points = both.points(both.readers[0])
        assert points["swift"] == points["slow"]
        [(_, _, exemplars)] = points["swift"]
        assert [span for _, _, span in exemplars] == [3, 2]
    assert len(short_way) == 3


@pytest.mark.parametrize("aggregation", [ExponentialBucketHistogramAggregation(), SumAggregation()])
def test_another_aggregation_of_the_users_gets_what_the_public_door_gives_it(aggregation):
    both = Both(CUMULATIVE, views=[View(instrument_name="*", aggregation=aggregation)])
    for _ in range(2):
        both.record_all([(1, _span(1)), (5, _span(2))], KEY)
    [metrics] = both.readers[0].get_metrics_data().resource_metrics[0].scope_metrics
    [slow, swift] = (
        [point.sum if hasattr(point, "sum") else point.value for point in one.data.data_points]
        for one in metrics.metrics
    )
    assert slow == swift == [12]


def test_a_filter_of_the_users_own_is_asked_of_each_value(short_way):
    class Large(ExemplarFilter):
        def should_sample(self, value, *_):
            return value > 3

    both = Both(CUMULATIVE, exemplar_filter=Large())
    for value in (5, 1, 4, 2):
        both.record(value, KEY)
    told = both.points(both.readers[0])
    assert told["swift"] == told["slow"]
    assert [value for _, _, exemplars in told["swift"] for value, _, _ in exemplars] == [4]
    assert short_way == []


def test_outside_of_a_span_there_is_no_exemplar():
    both = Both(CUMULATIVE)
    both.record(1, KEY, Context())
    both.record(2, KEY, Context())
    [(_, counted, exemplars)] = both.points(both.readers[0])["swift"]
    assert (counted, exemplars) == ((2, 3, 1, 2, (1, 1, 0)), [])


def test_a_view_that_keeps_fewer_attributes_joins_series():
    both = Both(CUMULATIVE, views=[View(instrument_name="*", attribute_keys={"server.address"})])
    for _ in range(3):
        both.record(1, KEY)
        both.record(2, (("gen_ai.request.model", "n"), ("server.address", "localhost")))
    told = both.points(both.readers[0])
    assert told["swift"] == told["slow"]
    assert [attributes for attributes, _, _ in told["swift"]] == [{"server.address": "localhost"}]


def test_a_view_that_drops_the_instrument_drops_its_records():
    both = Both(CUMULATIVE, views=[View(instrument_name="swift", aggregation=DropAggregation())])
    for _ in range(3):
        both.record(1, KEY)
    assert both.points(both.readers[0])["swift"] == []


def test_a_reader_that_is_added_later_gets_what_comes_after():
    both = Both(CUMULATIVE)
    both.record(1, KEY)
    both.record(1, KEY)
    late = InMemoryMetricReader()
    both.provider.add_metric_reader(late)
    both.record(3, KEY)
    [(_, counted, _)] = both.points(late)["swift"]
    assert counted == (1, 3, 3, 3, (0, 1, 0))


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_what_the_sdk_refuses_is_refused(value, short_way):
    both = Both(CUMULATIVE)
    both.record(1, KEY)
    both.record(value, KEY)
    [(_, counted, _)] = both.points(both.readers[0])["swift"]
    assert counted == (1, 1, 1, 1, (1, 0, 0))
    assert short_way == []


def test_beyond_the_sdks_series_all_else_is_one():
    both = Both(CUMULATIVE)
    for _ in range(2):
        for number in range(2100):
            both.record(1, (("gen_ai.request.model", str(number)),))
    told = both.points(both.readers[0])
    assert told["swift"] == told["slow"]
    assert sum(counted[0] for _, counted, _ in told["swift"]) == 4200


def test_an_sdk_that_keeps_its_aggregations_elsewhere_is_recorded_by_its_public_door(monkeypatch, short_way):
    monkeypatch.setattr(histogram, "_trusted", {})
    monkeypatch.setattr(histogram, "_places", lambda _series: iter(()))
    both = Both(CUMULATIVE)
    both.record(1, KEY)
    both.record(2, KEY)
    told = both.points(both.readers[0])
    assert told["swift"] == told["slow"]
    assert short_way == []


def test_a_way_that_leads_elsewhere_is_not_taken(monkeypatch):
    monkeypatch.setattr(histogram, "_trusted", {})
    monkeypatch.setattr(histogram, "_add", lambda *_: None)
    both = Both(CUMULATIVE)
    both.record(1, KEY)
    both.record(2, KEY)
    told = both.points(both.readers[0])
    assert told["swift"] == told["slow"]
    assert list(histogram._trusted.values()) == [False]


def test_an_instrument_of_no_sdk_is_recorded_by_its_public_door():
    class Foreign:
        def __init__(self):
            self.records = []

        def record(self, *given):
            self.records.append(given)

    foreign = Foreign()
    mine = Series(foreign, KEY)
    mine.record([(1, Origin(CONTEXT)), (2, Origin(CONTEXT))])
    assert foreign.records == [(1, dict(KEY), CONTEXT), (2, dict(KEY), CONTEXT)]
