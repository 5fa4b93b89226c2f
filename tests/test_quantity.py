"""Durations and sizes as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quantity import Duration, Size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("5m", 300),
        ("4h", 14_400),
        ("14d", 1_209_600),
        ("2w", 1_209_600),
        ("1.5h", 5_400),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        (" 10 s ", 10),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_as_written(text, seconds):
    assert Duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "10", "-5s", "5x", "s", "1,5h", "5 minutes", "ms", "10ss", "1e3s", ".5s", "5s!", "--", None, [], True],
)
def test_what_is_no_duration_says_what_was_expected_and_found(text):
    with pytest.raises(ValueError, match="expected a duration such as 500ms") as caught:
        Duration.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KB", 64_000),
        ("64kb", 64_000),
        ("64KiB", 65_536),
        ("256MB", 256_000_000),
        ("1.5GB", 1_500_000_000),
        ("10 B", 10),
        ("1024", 1024),
        (1024, 1024),
    ],
)
def test_a_size_is_read_as_written(text, size):
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 TB", "1.5", "one", "1MBs", None, 1.5, "²"])
def test_what_is_no_size_says_what_was_expected_and_found(text):
    with pytest.raises(ValueError, match="expected a size such as 64KB") as caught:
        Size.parse(text)
    assert repr(text) in str(caught.value)


def test_a_quantity_remembers_how_it_was_written():
    assert (Duration.parse("14d").text, Size.parse("256MB").text) == ("14d", "256MB")


def test_a_quantity_is_the_number_that_it_stands_for():
    assert (Duration.parse("10s") + 1, Size.parse("1KB") * 2) == (11, 2000)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for kind in (Duration, Size):
        try:
            value = kind.parse(text)
        except ValueError:
            continue
        assert value >= 0
        assert math.isfinite(value)
