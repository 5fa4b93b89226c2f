import json
import math
import re
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.store.values import is_clean, pack, pack_value, presentable, shorten, unpack, unpack_value

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False)
    | ANY_TEXT
    | st.binary(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(ANY_TEXT | st.sampled_from(["$map", "$int"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def same(one, other):
    """Equal in value and type, negative zeros told apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other


@given(st.dictionaries(ANY_TEXT | st.sampled_from(["$pairs", "$utf8", "gen_ai.x"]), VALUES, max_size=4))
def test_any_attributes_come_back_as_they_were(attributes):
    assert same(unpack(pack(attributes)), attributes)


@given(VALUES)
def test_any_value_comes_back_as_it_was(value):
    assert same(unpack_value(pack_value(value)), value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_come_back(value):
    assert repr(unpack(pack({"x": value}))["x"]) == repr(value)


def test_ordinary_attributes_are_ordinary_json():
    assert json.loads(pack({"a": 1, "b": "ü", "c": ("x", "y"), "d": 0.5})) == {
        "a": 1,
        "b": "ü",
        "c": ["x", "y"],
        "d": 0.5,
    }


@pytest.mark.parametrize("value", [HTTPStatus.OK, re.IGNORECASE, True])
def test_a_number_of_a_kind_of_its_own_is_kept_as_the_number_that_it_is(value):
    assert unpack(pack({"status": value})) == {"status": int(value)}


def test_no_attributes_are_read_from_no_text():
    assert unpack(None) == {}


def test_a_text_that_sqlite_would_cut_is_not_clean():
    assert not is_clean("a\0b")
    assert not is_clean("\ud800")
    assert is_clean("ü")


@given(VALUES)
def test_what_people_see_is_plain_json(value):
    json.dumps(presentable(value), allow_nan=False).encode()


def test_people_see_bytes_as_base64_and_nothing_of_null():
    assert presentable({"b": b"1\0", "n": None, "f": math.nan, "t": ("a",)}) == {"b": "MQA=", "f": "NaN", "t": ["a"]}


def test_everything_inside_is_shortened():
    assert shorten({"a": ("xyz", b"xyz", 7), "b": 1, "c": 2}, 2) == {"a": ("xy", b"xy"), "b": 1}
