import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_store_summary import spread

from otel_llm.store.spread import Spread

VALUES = st.lists(st.floats(1e-9, 1e6) | st.sampled_from([0.0, 2.0, 4.0]), max_size=300)


def made(values):
    one = Spread()
    one.add(values)
    return one


@given(packed=VALUES, more=VALUES, exact=VALUES)
def test_percentiles_of_bins_and_values_are_within_2_2_percent(packed, more, exact):
    told = made(exact)
    for values in (packed, more):
        told.unpack(made(values).pack())
    values = packed + more + exact
    found = told.percentiles()
    assert (found is None) == (not values)
    if values:
        expected = spread(values)
        assert (found["count"], found["max"]) == (len(values), max(values))
        for name in ("p50", "p90", "p95", "p99"):
            if expected[name] is None:
                assert found[name] is None
            else:
                assert found[name] == pytest.approx(expected[name].expected, rel=2 ** (1 / 32) - 1 + 1e-9, abs=1e-12)
                assert min(values) <= found[name] <= max(values)


@given(values=VALUES, more=VALUES)
def test_packing_in_two_steps_is_packing_at_once(values, more):
    told = made(more)
    told.unpack(made(values).pack())
    assert told.pack() == made(values + more).pack()


@pytest.mark.parametrize("value", [0.0, -1.0, 5e-324, 1e-9, 1.0, 1e300])
def test_one_value_is_told_as_it_is(value):
    told = Spread()
    told.unpack(made([value]).pack())
    assert told.percentiles()["p50"] == value


def test_a_bin_is_that_of_an_exponential_histogram_at_scale_4():
    index = math.ceil(math.log2(1.5) * 2**4) - 1
    lower, upper = 2 ** (index / 16), 2 ** ((index + 1) / 16)
    told = Spread()
    told.unpack(made([1.0, 1.5, 2.0]).pack())
    assert lower < 1.5 <= upper
    assert told.percentiles()["p50"] == pytest.approx(math.sqrt(lower * upper))


def test_a_count_may_take_eight_bytes():
    told = made([1.0])
    for _ in range(33):
        packed = told.pack()
        told = Spread()
        told.unpack(packed)
        told.unpack(packed)
    assert told.percentiles()["count"] == 2**33
    again = Spread()
    again.unpack(told.pack())
    assert again.percentiles()["count"] == 2**33


def test_hundreds_of_values_take_few_bytes():
    assert len(made([1.0 + number / 100 for number in range(300)]).pack()) < 140


def test_nothing_has_no_bytes():
    assert made([]).pack() is None
