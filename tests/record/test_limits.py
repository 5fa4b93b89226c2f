"""How near the rate limits are; time is an argument."""

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.record.limits import LASTS, MOST, Limits, Said, Saturation

KEY = (("gen_ai.provider.name", "openai"),)


def told(limits, at):
    return dict(limits.tell(at)).get(KEY)


def heard(*pieces):
    limits = Limits()
    for at, remaining, *more in pieces:
        limits.hear(KEY, Said(remaining, *more), at)
    return limits


def test_one_answer_tells_what_is_left_and_no_forecast():
    assert told(heard((0.0, 90, 100, 30.0)), 10.0) == Saturation(90, 100, 20.0, None)


def test_the_forecast_is_what_is_left_over_what_is_used():
    limits = heard((0.0, 100), (10.0, 80))
    assert told(limits, 10.0).time_to_limit == 80 / (20 / 10)


def test_only_the_last_minute_counts():
    limits = heard((0.0, 10_000), (1.0, 1000), (100.0, 990), (110.0, 980))
    assert told(limits, 110.0).time_to_limit == 980 / (20 / 60)


def test_nothing_used_is_no_forecast():
    assert told(heard((0.0, 100), (10.0, 100)), 20.0).time_to_limit is None


def test_a_rise_is_no_use():
    limits = heard((0.0, 50), (10.0, 40), (20.0, 100))
    assert told(limits, 20.0).time_to_limit == 100 / (10 / 20)


def test_less_than_a_second_says_nothing():
    assert told(heard((0.0, 100), (0.5, 10)), 0.6).time_to_limit is None


def test_after_the_reset_only_the_limit_is_known():
    limits = heard((0.0, 3, 100, 6.0))
    assert told(limits, 5.9).remaining == 3
    assert told(limits, 6.1) == Saturation(None, 100, None, None)


def test_what_fell_over_a_reset_is_not_taken_for_use():
    limits = heard((0.0, 100, 100, 6.0), (7.0, 20, 100, 6.0))
    assert told(limits, 9.0).time_to_limit is None


def test_old_words_are_forgotten():
    assert told(heard((0.0, 3, 100)), LASTS + 1) is None


def test_a_series_without_remaining_has_no_forecast():
    assert told(heard((0.0, None, 100), (5.0, None, 100)), 6.0) == Saturation(None, 100, None, None)


def test_series_are_bounded_and_the_stalest_goes():
    limits = Limits()
    for number in range(MOST + 1):
        limits.hear((("m", number),), Said(1), float(number) / 1000)
    keys = [key for key, _ in limits.tell(1.0)]
    assert len(keys) == MOST
    assert (("m", 0),) not in keys


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10**6), st.none() | st.floats(0, 100)), min_size=1, max_size=60)
)
def test_no_figure_is_ever_below_zero(steps):
    limits, at = Limits(), 0.0
    for wait, remaining, reset in steps:
        at += wait
        limits.hear(KEY, Said(remaining, 10**6, reset), at)
        one = told(limits, at)
        assert all(value is None or value >= 0 for value in one)
    assert len(limits._series[KEY]._used) <= 13
