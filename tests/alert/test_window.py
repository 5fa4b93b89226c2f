from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.alert.window import OTHER, SLOT, Measure, Slot, Window

samples = st.lists(st.tuples(st.integers(0, 400), st.floats(1e-6, 1e6)), max_size=60)


@given(samples, st.integers(1, 100))
def test_a_window_holds_what_its_last_slots_were_given(given_samples, slots):
    window = Window(slots * SLOT)
    given_samples.sort()
    for number, value in given_samples:
        window.slot(number).measure("x", value)
    now = max((number for number, _ in given_samples), default=0)
    wanted = [value for number, value in given_samples if now - slots < number <= now]
    measure = window.read(now, slots * SLOT).measures.get("x", Measure())
    assert measure.count == len(wanted)
    assert measure.total == pytest.approx(sum(wanted))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_is_within_the_width_of_a_bin(values, fraction):
    measure = Measure()
    for value in values:
        measure.add(value)
    exact = sorted(values)[ceil(fraction * len(values)) - 1]
    assert measure.quantile(fraction) == pytest.approx(exact, rel=0.0221)


def test_zeros_are_values():
    measure = Measure()
    for value in (0.0, 0.0, 0.0, 8.0):
        measure.add(value)
    assert measure.quantile(0.5) == 0.0


@given(samples)
def test_a_slot_comes_back_from_the_store_as_it_went(given_samples):
    slot = Slot()
    for number, value in given_samples:
        slot.measure("x", value)
        slot.attempts += 1
        slot.fail(str(number % 3))
    back = Slot.unpack(slot.pack())
    assert back.pack() == slot.pack()


def test_error_types_beyond_sixteen_are_counted_as_others():
    slot = Slot()
    for number in range(20):
        slot.fail(str(number))
    assert len(slot.types) == 17
    assert slot.types[OTHER] == 4


def test_a_long_window_reaches_back_hours_by_the_minute():
    window = Window(6 * 3600.0)
    for number in range(0, 4320, 12):
        window.slot(number).attempts += 1
    assert window.read(4308, 6 * 3600.0).attempts == 360
    assert window.read(4308, 3600.0).attempts == 60


def test_slots_of_others_count_and_their_newest_word_replaces_the_one_before():
    window = Window(300.0)
    window.slot(10).attempts += 1
    for attempts in (1, 4):
        other = Slot()
        other.attempts = attempts
        window.replace(("worker", 10), other, 10)
    assert window.read(10, 300.0).attempts == 5


def test_a_silent_window_becomes_empty():
    window = Window(300.0)
    window.slot(1).attempts += 1
    window.expire(1000)
    assert window.is_empty()
