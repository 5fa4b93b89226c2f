import json
import sqlite3
from pathlib import Path

import pytest
from finished_spans import SECOND
from jsonschema import Draft202012Validator
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, SpanContext

from otel_llm.store.connection import Connection
from otel_llm.store.migration import schema_steps
from otel_llm.store.query import AmbiguousError, Filter, NotFoundError, Reader, StoreError

CONTRACT = Path(__file__).parents[2] / "docs" / "contract"


def valid(name, data):
    schema = json.loads((CONTRACT / f"{name}.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(json.dumps(data)))


@pytest.fixture
def reader(kept, path):
    opened = []

    def read(*spans):
        kept(*spans)
        opened.append(Reader(path))
        return opened[-1]

    yield read
    for one in opened:
        one.close()


def names(spans):
    return [span.attributes.get("gen_ai.request.model") for span in spans]


def test_calls_come_newest_first(reader, spans):
    read = reader(*(spans.call(request_model=model) for model in "abc"))
    assert names(read.calls(Filter())) == ["c", "b", "a"]
    assert names(read.calls(Filter(limit=1))) == ["c"]
    assert names(read.calls(Filter(limit=0))) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"model": "a"}, ["a"]),
        ({"model": "answered"}, ["b"]),
        ({"service": "other"}, ["b"]),
        ({"provider": "anthropic"}, ["c"]),
        ({"provider": "nobody"}, []),
        ({"model": "a", "provider": "openai", "service": "app"}, ["a"]),
    ],
)
def test_a_filter_asks_for_what_it_says(reader, spans, asked, expected):
    read = reader(
        spans.call(request_model="a"),
        spans.call(request_model="b", response_model="answered", service="other"),
        spans.call(request_model="c", provider="anthropic"),
    )
    assert names(read.calls(Filter(**asked))) == expected
    assert read.summary(Filter(**asked))["attempts"] == len(expected)


def test_since_is_inclusive_and_until_exclusive(reader, spans):
    some = [spans.call(request_model=model) for model in "abc"]
    read = reader(*some)
    asked = Filter(since=some[1].start_time, until=some[2].start_time)
    assert names(read.calls(asked)) == ["b"]
    assert read.summary(asked)["attempts"] == 1


def test_calls_of_overflowed_series_are_found_by_their_values(tmp_path, spans, monkeypatch):
    from otel_llm.store.batch import Batches  # noqa: PLC0415 - only here

    connection, batches = Connection(tmp_path / "x.db"), Batches()
    monkeypatch.setattr(batches._spans._series, "_limit", 0)
    batches.write(
        connection.sqlite, [(0, spans.call(request_model="m", input_tokens=3)), (0, spans.call(request_model="n"))]
    )
    with Reader(connection.path) as read:
        asked = Filter(model="m", provider="openai")
        assert names(read.calls(asked)) == ["m"]
        assert read.summary(asked, ("model",))["groups"][0]["input_tokens"] == 3
        assert [line["group"]["hour"] is not None for line in read.summary(Filter(), ("hour",))["groups"]] == [True]
    connection.close()


def test_calls_and_call_keep_the_contract(reader, spans):
    link = Link(SpanContext(1, 2, is_remote=False))
    read = reader(
        spans.call(
            input_tokens=3, output_tokens=2, time_to_first_token=0.1, time_per_output_token=0.2, usage_source="provider"
        ),
        spans.call(error="429", status_code=429, resend_count=1),
        spans.span(
            {"gen_ai.operation.name": "chat", "none": None, "raw": b"x"}, events=[Event("e", None, 1)], links=[link]
        ),
    )
    found = read.calls(Filter())
    valid("calls", [span.as_json() for span in found])
    for span in found:
        valid("call", span.as_json())
        valid("call", span.as_json(detail=True))


def test_an_absent_attribute_is_not_null(reader, spans):
    (found,) = reader(spans.call(input_tokens=None)).calls(Filter())
    assert "gen_ai.usage.input_tokens" not in found.as_json()["attributes"]


def test_a_duration_is_in_seconds(reader, spans):
    (found,) = reader(spans.call(took=1.5)).calls(Filter())
    assert found.duration == 1.5


def test_a_clock_set_back_gives_no_negative_duration_in_json(reader, spans):
    (found,) = reader(spans.call(took=-1)).calls(Filter())
    assert found.duration == -1
    assert found.as_json()["duration"] == 0


@pytest.mark.parametrize("digits", [4, 5, 15, 16])
def test_a_span_is_shown_by_the_beginning_of_its_id(reader, spans, digits):
    span = spans.call()
    read = reader(span)
    assert read.show(f"{span.context.span_id:016x}"[:digits]).span_id == f"{span.context.span_id:016x}"


@pytest.mark.parametrize("digits", [7, 16, 31, 32])
def test_a_call_is_shown_by_its_trace_id_among_other_spans(reader, spans, digits):
    call = spans.call(trace_id=0xABCD << 112)
    read = reader(call, spans.span({"http.url": "x"}, trace_id=0xABCD << 112))
    assert read.show(f"{call.context.trace_id:032x}"[:digits]).span_id == f"{call.context.span_id:016x}"


def test_an_id_is_written_in_any_case_and_with_0x(reader, spans):
    span = spans.call()
    assert reader(span).show(f" 0x{span.context.span_id:016X} ").name == span.name


def test_an_ambiguous_id_names_the_candidates(reader, spans):
    some = [
        spans.span({"gen_ai.operation.name": "chat"}, span_id=0xABCD_0000_0000_0000 + number) for number in range(3)
    ]
    with pytest.raises(AmbiguousError) as error:
        reader(*some).show("abcd")
    assert error.value.candidates == ("abcd000000000000", "abcd000000000001", "abcd000000000002")


def test_an_unknown_id_is_not_found(reader, spans):
    with pytest.raises(NotFoundError, match=r"0123: expected a stored span, found none"):
        reader(spans.call()).show("0123")


@pytest.mark.parametrize("identifier", ["", "abc", "xyz1", "a" * 33])
def test_what_is_no_id_is_refused(reader, spans, identifier):
    with pytest.raises(StoreError, match="hexadecimal"):
        reader(spans.call()).show(identifier)


def test_a_trace_is_every_span_of_it_in_order(reader, spans):
    later = spans.span({"http.url": "x"}, trace_id=7, at=5, name="later")
    earlier = spans.call(trace_id=7, at=1)
    read = reader(later, earlier, spans.call())
    assert [span.name for span in read.trace(f"{7:032x}")] == ["chat gpt-x", "later"]


def test_a_trace_id_must_be_whole(reader, spans):
    with pytest.raises(StoreError, match="32 hexadecimal digits"):
        reader(spans.call()).trace("abcd")


def test_a_cursor_gives_each_call_once(reader, kept, spans):
    read = reader(spans.call(request_model="a"), spans.span({"x": 1}))
    found, cursor = read.after(0, Filter())
    assert names(found) == ["a"]
    assert read.after(cursor, Filter()) == ([], cursor)
    kept(spans.call(request_model="b"), spans.call(request_model="c", provider="other"), spans.call(request_model="d"))
    found, cursor = read.after(cursor, Filter(provider="openai"))
    assert names(found) == ["b", "d"]
    assert read.after(cursor, Filter())[0] == []


def test_a_limited_cursor_goes_on_where_it_stopped(reader, spans):
    read = reader(*(spans.call(request_model=model) for model in "abc"))
    found, cursor = read.after(0, Filter(limit=2))
    assert names(found) == ["a", "b"]
    assert names(read.after(cursor, Filter(limit=2))[0]) == ["c"]


def test_a_cursor_may_begin_now(reader, kept, spans):
    read = reader(spans.call())
    nothing, cursor = read.after(-1, Filter())
    assert nothing == []
    kept(spans.call(request_model="new"))
    assert names(read.after(cursor, Filter())[0]) == ["new"]


def test_the_view_calls_speaks_seconds_and_names(reader, spans):
    call = spans.call(
        took=2,
        service="svc",
        stream=True,
        input_tokens=3,
        output_tokens=4,
        time_to_first_token=0.5,
        error="429",
        status_code=429,
    )
    read = reader(call, spans.span({"x": 1}))
    cursor = read._sqlite.execute("SELECT * FROM calls")
    ((row),) = cursor.fetchall()
    found = dict(zip((column[0] for column in cursor.description), row, strict=True))
    assert found["trace_id"] == f"{call.context.trace_id:032x}"
    assert found["start_time_unix"] == pytest.approx(call.start_time / SECOND)
    assert found["start_time"].endswith("Z")
    expected = {
        "duration": 2.0,
        "service": "svc",
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-x",
        "status": "ERROR",
        "outcome": "error",
        "error_type": "429",
        "status_code": 429,
        "input_tokens": 3,
        "output_tokens": 4,
        "time_to_first_token": 0.5,
        "stream": 1,
        "resend_count": None,
    }
    assert {key: found[key] for key in expected} == expected


def test_info_says_what_the_file_holds(reader, spans, path):
    first, last = spans.call(), spans.call()
    info = reader(first, last).info()
    assert info["rows"]["spans"] == 2
    assert (info["oldest"], info["newest"]) == (first.start_time, last.start_time)
    assert (info["path"], info["schema_version"], info["journal_mode"]) == (str(path), len(schema_steps()), "wal")
    assert (info["max_size"], info["max_age"]) == (256_000_000, 14 * 86_400)
    assert info["sqlite_version"] == sqlite3.sqlite_version
    assert info["size"] == path.stat().st_size
    assert info["wal_size"] > 0


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"x.db: expected a store, found no file"):
        Reader(tmp_path / "x.db")


def test_another_file_is_no_store(tmp_path):
    (tmp_path / "x.db").write_text("text")
    with pytest.raises(StoreError, match="expected a store of otel-llm"):
        Reader(tmp_path / "x.db")


def test_a_reader_cannot_write(reader, spans):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader(spans.call())._sqlite.execute("DELETE FROM spans")
