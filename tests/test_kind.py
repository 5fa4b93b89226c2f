"""Plain values fitted to the types of config fields."""

from pathlib import Path
from typing import Literal

import pytest

from otel_llm.kind import MisfitError, convert, expected, plain
from otel_llm.quantity import Duration, Size


@pytest.mark.parametrize(
    ("value", "kind", "fitted"),
    [
        (True, bool, True),
        ("a", str, "a"),
        (Path("a"), str, "a"),
        ("a", Path, Path("a")),
        ("1GB", Size, 10**9),
        (5, Size, 5),
        (5, int, 5),
        ("5m", Duration, 300.0),
        (None, str | None, None),
        ("a", str | None, "a"),
        ("info", Literal["INFO", "DEBUG"], "INFO"),
        (None, dict[str, str], {}),
        ({"a": "b"}, dict[str, str], {"a": "b"}),
    ],
)
def test_a_value_that_fits_is_taken(value, kind, fitted):
    assert convert(value, kind) == fitted


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, bool),
        ("true", bool),
        (5, str),
        ("", str),
        (None, str),
        (True, Size),
        ("-1", Size),
        (None, Duration),
        ([], Duration),
        (5, Duration),
        ("loud", Literal["INFO"]),
        ("a", dict[str, str]),
        ({"a": 5}, dict[str, str]),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(value, kind):
    with pytest.raises(MisfitError, match=r"^expected .+, found .+$"):
        convert(value, kind)


def test_a_quantity_keeps_how_it_was_written():
    assert convert("256MB", Size).text == "256MB"


@pytest.mark.parametrize(("text", "value"), [("YES", True), ("0", False), ("maybe", "maybe")])
def test_a_switch_is_read_from_text(text, value):
    assert plain(text, bool) == value


def test_pairs_are_read_from_text():
    assert plain("a=b, c:1=d,", dict[str, str]) == {"a": "b", "c:1": "d"}


@pytest.mark.parametrize("text", ["a", "a=", "=b", "a=b,c"])
def test_what_is_no_pair_is_refused(text):
    with pytest.raises(MisfitError):
        plain(text, dict[str, str])


def test_every_kind_has_words():
    assert expected(Literal["A", "B"]) == "one of A, B"
    assert expected(dict[str, str]) == "a mapping of texts"
    assert expected(str | None) == "text"
