"""Reading a user's YAML: whatever the bytes, plain values and faults, never an exception."""

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.document import Document, Fault, parse, quote


def read(text):
    document = Document(name="x.yaml")
    parse(text if isinstance(text, bytes) else text.encode(), document)
    return document


def test_values_are_plain_and_lines_are_remembered():
    document = read("a:\n  b: 1\n  c:\n    - x\n    - {d: 1.5}\n")
    assert document.values == {"a": {"b": 1, "c": ["x", {"d": 1.5}]}}
    assert document.lines == {"a": 1, "a.b": 2, "a.c": 3, "a.c[0]": 4, "a.c[1]": 5, "a.c[1].d": 5}


def test_what_looks_like_a_date_or_a_time_stays_text():
    assert read("a: 2026-01-01\nb: 1:30\nc: '5'\nd: 0x10\n").values == {
        "a": "2026-01-01",
        "b": "1:30",
        "c": "5",
        "d": "0x10",
    }


def test_switches_are_booleans_and_nothing_is_none():
    assert read("a: yes\nb: off\nc:\nd: ~\n").values == {"a": True, "b": False, "c": None, "d": None}


def test_an_unknown_key_deep_inside_is_told_with_the_line_of_what_is_around_it():
    document = read("a:\n  b: 1\n")
    assert document.where("a.nothing.here") == "x.yaml:1"


def test_a_key_that_is_no_word_is_a_fault():
    assert [str(fault) for fault in read("[1, 2]: x\n").faults] == [
        "x.yaml:1: expected a plain word as key, found a sequence"
    ]


def test_a_fault_says_where_what_and_what_to_do():
    fault = Fault(where="x.yaml:3", key="a.b", expected="text", found="5", hint="did you mean c?")
    assert str(fault) == "x.yaml:3: a.b: expected text, found 5 (did you mean c?)"


def test_what_was_found_is_shown_in_one_bounded_line():
    assert quote("a\nb") == r"'a\nb'"
    assert len(quote("x" * 1000)) == 80


@given(st.binary(max_size=200) | st.text(alphabet="ab:- \n\t{}[]&*!|>'\"#%@,?~0", max_size=80))
def test_nothing_in_a_file_raises(data):
    document = read(data)
    assert isinstance(document.values, dict)
