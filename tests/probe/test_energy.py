import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.probe.energy import MOST_CALLS, Ledger


def ledger(*, watts: float = 300.0, rest: float | None = 100.0, until: float = 20.0) -> Ledger:
    """One card that draws the same all the time, sampled ten times a second."""
    made = Ledger()
    for tick in range(int(until * 10) + 1):
        made.note(tick / 10, {"a": watts * tick / 10}, {} if rest is None else {"a": rest}, sampled=False)
    return made


def test_a_call_alone_takes_all_above_rest_and_rest_is_apart():
    made = ledger()
    window = made.begin(2.0)
    share = made.end(window, 7.0, 50)
    assert share.active == pytest.approx(1000.0)
    assert share.idle == pytest.approx(500.0)
    assert not share.sampled


def test_without_knowing_rest_all_of_it_is_the_calls():
    made = ledger(rest=None)
    share = made.end(made.begin(2.0), 7.0, 50)
    assert share.active == pytest.approx(1500.0)
    assert share.idle is None


def test_two_calls_share_by_output_tokens():
    made = ledger(rest=0.0)
    first, second = made.begin(0.0), made.begin(0.0)
    small = made.end(first, 10.0, 100)
    assert small.active == pytest.approx(1500.0)  # the other's tokens are not known yet: it counts as a usual one
    large = made.end(second, 10.0, 300)
    assert large.active == pytest.approx(2250.0)


def test_calls_that_overlap_in_part_share_that_part_and_nothing_is_lost():
    made = ledger(rest=0.0)
    first, second = made.begin(0.0), made.begin(5.0)
    shares = [made.end(first, 10.0, 100).active, made.end(second, 15.0, 100).active]
    assert shares == [pytest.approx(2250.0), pytest.approx(2250.0)]


def test_a_call_without_tokens_counts_as_a_usual_one():
    made = ledger(rest=0.0)
    first, second = made.begin(0.0), made.begin(0.0)
    made.end(first, 10.0, 100)
    assert made.end(second, 10.0, None).active == pytest.approx(1500.0)


def test_a_short_call_has_no_share():
    made = ledger()
    assert made.end(made.begin(2.0), 2.15, 5) is None


def test_a_call_that_began_before_the_first_sample_has_no_share():
    made = Ledger()
    window = made.begin(0.0)
    made.note(5.0, {"a": 0.0}, {}, sampled=False)
    made.note(5.1, {"a": 30.0}, {}, sampled=False)
    assert made.end(window, 5.2, 5) is None


def test_the_end_may_lie_a_little_behind_the_last_sample():
    made = ledger(rest=0.0, until=5.0)
    assert made.end(made.begin(1.0), 5.05, 10).active == pytest.approx(1215.0)
    assert made.end(made.begin(1.0), 5.5, 10) is None


def test_a_card_that_vanishes_takes_the_share_with_it():
    made = ledger(until=5.0)
    window = made.begin(1.0)
    made.note(5.1, {"b": 7.0}, {}, sampled=False)
    made.note(5.2, {"b": 8.0}, {}, sampled=False)
    assert made.end(window, 5.2, 10) is None


def test_samples_of_power_are_said_to_be_some():
    made = Ledger()
    for tick in range(20):
        made.note(tick / 10, {"a": tick * 10.0, "b": tick * 10.0}, {}, sampled=tick == 4)
    assert made.end(made.begin(0.0), 1.5, 10).sampled


def test_no_share_is_negative():
    made = ledger(watts=50.0, rest=100.0)
    assert made.end(made.begin(1.0), 5.0, 10).active == 0.0


def test_calls_beyond_the_bound_are_not_measured():
    made = ledger()
    windows = [made.begin(1.0) for _ in range(MOST_CALLS)]
    assert made.begin(1.0) is None
    assert all(made.end(window, 5.0, 10) is not None for window in windows)
    late = made.begin(1.5)
    assert made.end(late, 5.0, 10) is None  # more calls were beside it than are remembered


def test_a_call_that_nobody_ends_is_forgotten():
    made = ledger()
    window = made.begin(1.0)
    made.forget(2.0)
    assert not made.is_open
    assert made.end(window, 5.0, 10) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 8.0), st.floats(0.5, 10.0)), min_size=1, max_size=8))
def test_shares_of_calls_with_one_rate_add_up_to_what_was_taken_while_any_lasted(calls):
    made = ledger(rest=0.0)
    windows = sorted((start + length, start) for start, length in calls)
    opened = [(made.begin(start), start, end) for end, start in windows]
    shared = sum(made.end(window, end, round(100 * (end - start)) or 1).active for window, start, end in opened)
    covered, reached = 0.0, 0.0
    for start, end in sorted((start, end) for end, start in windows):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    assert shared == pytest.approx(300.0 * covered, rel=0.02)
