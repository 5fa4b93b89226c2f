"""A span read back equals the span written."""

import math
from collections import deque
from contextlib import closing
from fractions import Fraction
from operator import attrgetter

import pytest
from finished_spans import Spans, cleaned
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from test_values import ANY_TEXT, SCALARS, VALUES, same

from otel_llm import semconv
from otel_llm.calls import ATTRIBUTES, Call
from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.query import Filter, Reader
from otel_llm.store.redaction import KEEP, verdict
from otel_llm.store.rows import TOGETHER
from otel_llm.store.written import Written
from parts.waiting import WITHIN

NAMES = st.sampled_from(sorted(ATTRIBUTES.values())) | ANY_TEXT.filter(lambda name: name and verdict(name) == KEEP)
ATTRIBUTE_MAPS = st.dictionaries(NAMES, SCALARS | VALUES, max_size=8)


@pytest.fixture
def back(database, path, kept):
    """Write a span and read it."""

    def write_and_read(span):
        kept(span)
        with Reader(path) as reader:
            (found,) = reader.trace(f"{span.context.trace_id:032x}")
        return found

    return write_and_read


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """The same without a thread, for many spans."""
    path = tmp_path_factory.mktemp("rows") / "rows.db"
    connection, writer = Connection(path), Batches()

    def write_and_read(span, writer=writer):
        done = writer.write(connection.sqlite, [(0, span)])
        assert done.stored == 1
        with Reader(path) as reader:
            (found,) = reader.trace(f"{span.context.trace_id:032x}")
        return found

    yield write_and_read
    connection.close()


@settings(max_examples=300, deadline=None)
@given(attributes=ATTRIBUTE_MAPS)
def test_any_attributes_come_back_with_value_and_type(through, attributes):
    held = cleaned(attributes)
    assert same(through(Spans().span(held)).attributes, dict(held))


@pytest.mark.parametrize("name", sorted(ATTRIBUTES.values()))
@pytest.mark.parametrize(
    "value", [0, -1, 2**63, 0.0, -0.0, 1.5, math.inf, True, "", "a\0b", "\ud800", ("a",), (1,), b"x"]
)
def test_a_typed_column_never_changes_a_value(through, spans, name, value):
    assert same(through(spans.span(cleaned({name: value}))).attributes, {name: value})


def test_a_nan_comes_back(back, spans):
    found = back(spans.span({semconv.TIME_TO_FIRST_TOKEN: math.nan})).attributes
    assert math.isnan(found[semconv.TIME_TO_FIRST_TOKEN])


def test_a_call_comes_back(back, spans):
    call = Call(
        operation="chat", provider="openai", request_model="m", stream=True, temperature=0.0, queue_wait=0.0, seed=3,
        finish_reasons=("stop", "length"), input_tokens=0, stop_sequences=("a",), metadata={"user": "u"},
    )  # fmt: skip
    assert Call.from_attributes(back(spans.span(call.attributes())).attributes) == call


def test_every_part_of_a_span_comes_back(back, spans):
    state = TraceState([("a", "1"), ("b", "2")])
    trace_id, start = 0xABC, spans.start
    span = spans.span(
        {"x": 1},
        trace_id=trace_id,
        name="GET \ud800",
        kind=SpanKind.CONSUMER,
        context=SpanContext(trace_id, 0xDEF, is_remote=False, trace_flags=TraceFlags(3), trace_state=state),
        parent=SpanContext(trace_id, 0x123, is_remote=True),
        status=Status(StatusCode.ERROR, "it broke"),
        resource=Resource({"service.name": "s", "list": [1, 2], "raw": b"x"}, "https://schema/1"),
        instrumentation_scope=InstrumentationScope("lib", None, "https://schema/2", {"a": True}),
        events=[Event("e", {"k": (1.5,)}, 17)],
        links=[Link(SpanContext(5, 6, is_remote=True, trace_state=state), {"l": "v"})],
        start_time=start,
        end_time=2**62,
    )
    found = back(span)
    assert found.trace_id == f"{0xABC:032x}"
    assert found.span_id == f"{0xDEF:016x}"
    assert found.parent_span_id == f"{0x123:016x}"
    assert found.name == "GET \ud800"
    assert found.kind == "CONSUMER"
    assert (found.status, found.status_message) == ("ERROR", "it broke")
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (start, 2**62)
    assert found.resource == {"service.name": "s", "list": (1, 2), "raw": b"x"}
    assert found.resource_schema_url == "https://schema/1"
    assert found.scope == {"name": "lib", "version": None, "schema_url": "https://schema/2", "attributes": {"a": True}}
    assert found.events == [{"name": "e", "time_unix_nano": 17, "attributes": {"k": (1.5,)}, "dropped_attributes": 0}]
    assert found.links == [
        {
            "trace_id": f"{5:032x}",
            "span_id": f"{6:016x}",
            "trace_state": "a=1,b=2",
            "flags": 256 | 512,
            "attributes": {"l": "v"},
            "dropped_attributes": 0,
        }
    ]
    assert found.trace_state == "a=1,b=2"
    assert found.flags == 3 | 256 | 512
    assert found.dropped == {}


def test_what_the_sdk_dropped_is_told(database, back, monkeypatch):
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    links = [Link(SpanContext(1, number, is_remote=False)) for number in (1, 2)]
    with tracer.start_as_current_span("x", attributes={"a": 1, "b": 2}, links=links) as span:
        for name in "abc":
            span.add_event(name)
    assert back(span).dropped == {"attributes": 1, "events": 2, "links": 1}


def test_a_span_without_scope_and_resource_attributes_comes_back(back, spans):
    found = back(spans.span(None, resource=Resource({}), instrumentation_scope=None))
    assert (found.attributes, found.resource, found.scope) == ({}, {}, {})


def test_headers_queries_and_keys_are_never_stored(back, spans, path, database):
    secret = "sk-proj-0123456789abcdef"  # noqa: S105 - nobody's
    back(
        spans.span(
            {
                "url.full": f"https://a/b?key={secret}",
                "url.query": f"key={secret}",
                "http.request.header.authorization": (f"Bearer {secret}",),
            },
            status=Status(StatusCode.ERROR, f"bad key {secret}"),
            events=[Event("exception", {"exception.message": f"Incorrect API key provided: {secret}"}, 1)],
            links=[Link(SpanContext(5, 6, is_remote=True), {"http.url": f"https://a/?{secret}"})],
        )
    )
    database.close(WITHIN)
    assert secret.encode() not in path.read_bytes()


def test_a_series_too_many_keeps_its_values_in_the_row(through, spans, monkeypatch):
    batches = Batches()
    monkeypatch.setattr(batches._spans._series, "_limit", 0)
    monkeypatch.setattr(batches._spans._parameters, "_limit", 0)
    found = []
    for number in range(2):
        span = spans.call(request_model=f"m{number}", temperature=0.5, finish_reasons=("stop",))
        found.append((span, through(span, batches)))
    for span, read in found:
        assert read.name == span.name
        assert same(read.attributes, dict(span.attributes))


def test_a_span_beyond_256_kib_is_cut_and_says_so(back, spans, path):
    found = back(spans.span({"big": "x" * 1_000_000, "wide": tuple("y" * 1000 for _ in range(1000)), "n": 1}))
    assert found.attributes[semconv.TRUNCATED] is True
    assert found.attributes["n"] == 1
    assert sum(len(value) for value in (found.attributes["big"], *found.attributes["wide"])) < 256 * 1024


def test_schema_and_code_name_the_same_columns(path, kept, spans):
    kept(spans.call())
    from otel_llm.store import plans, rows, signals  # noqa: PLC0415 - their names are short and common

    expected = {
        "series": {"id", "digest", *rows.SERIES_COLUMNS},
        "resources": {"id", "digest", *rows.RESOURCE_COLUMNS},
        "scopes": {"id", "digest", *rows.SCOPE_COLUMNS},
        "spans": {"id", *rows._ALWAYS, *rows._SOMETIMES, *plans.SPAN_FIELDS},
        "logs": {"id", *signals.LOG_COLUMNS},
        "points": {"id", *signals.POINT_COLUMNS},
        "streams": {"id", "digest", *signals.STREAM_COLUMNS},
    }
    with Reader(path) as reader:
        for table, columns in expected.items():
            assert {row[1] for row in reader._sqlite.execute(f"PRAGMA table_info({table})")} == columns


def test_every_field_of_a_call_has_one_place():
    from otel_llm.store.plans import PARAMETER_FIELDS, SERIES_FIELDS, SPAN_FIELDS  # noqa: PLC0415 - see above

    assert sorted([*PARAMETER_FIELDS, *SERIES_FIELDS, *SPAN_FIELDS]) == sorted(ATTRIBUTES)


def test_only_calls_are_calls(kept, spans, path):
    kept(spans.call(), spans.span({"gen_ai.operation.name": "execute_tool"}), spans.span({"http.url": "http://x"}))
    with Reader(path) as reader:
        assert len(reader.calls(Filter())) == 1


def test_content_is_kept_whole_up_to_what_a_call_of_ours_may_have(back):
    content = dict.fromkeys(semconv.CONTENT, '[{"a":"' + 'x"' * 16_000 + '"}]')
    span = Spans().span({semconv.OPERATION_NAME: "chat", **content, "http.request.header.authorization": "secret"})
    found = back(span)
    assert {name: found.attributes[name] for name in content} == content
    assert "http.request.header.authorization" not in found.attributes


def test_content_beyond_that_is_cut_and_says_so(back):
    found = back(Spans().span({semconv.OPERATION_NAME: "chat", semconv.INPUT_MESSAGES: "x" * 2_000_000}))
    assert len(found.attributes[semconv.INPUT_MESSAGES]) < 120_000
    assert found.attributes[semconv.TRUNCATED] is True


def test_a_span_of_the_sdk_is_read_inside_as_it_is_outside():
    from otel_llm.store.alike import INSIDE  # noqa: PLC0415 - see above
    from otel_llm.store.rows import _OUTSIDE  # noqa: PLC0415 - see above

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("x", attributes={"a": 1}) as span:
        span.add_event("e")
    inside, outside = list(INSIDE(span)), list(_OUTSIDE(span))
    assert dict(outside[9]) == inside[9]
    inside[9], outside[9] = None, None
    assert [list(part) if isinstance(part, deque) else part for part in inside] == [
        list(part) if type(part) is tuple else part for part in outside
    ]


def test_spans_as_processors_get_them_go_together_and_can_be_made_again(tmp_path):
    ended = []

    class Processor(SpanProcessor):
        def on_end(self, span):
            ended.append(span)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Processor())
    tracer = provider.get_tracer("x", "1")
    for tokens in range(4):
        call = Call(operation="chat", provider="p", input_tokens=tokens, finish_reasons=("stop",), stream=True)
        with tracer.start_as_current_span("agent"):
            span = tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=call.attributes())
            span.set_status(StatusCode.ERROR)
            span.end()
    spans = [span for span in ended if span.name == "chat"]
    connection, batches = Connection(tmp_path / "s.db"), Batches()
    (first,) = batches.write(connection.sqlite, [(0, spans[0])]).kept
    done = batches.write(connection.sqlite, [(0, span) for span in spans[1:]])
    connection.close()
    assert first is spans[0]
    assert [type(kept) for kept in done.kept] == [Written] * 3
    made = [one.span() for one in done.kept]
    assert [one.attributes for one in made] == [dict(span.attributes) for span in spans[1:]]
    parts = attrgetter("name", "context", "parent", "start_time", "end_time", "kind", "status.status_code", "resource")
    assert [parts(one) for one in made] == [parts(span) for span in spans[1:]]
    assert {one.instrumentation_scope for one in made} == {spans[0].instrumentation_scope}


def test_spans_that_go_together_come_back_each_as_it_was(tmp_path):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    temperatures = [0.0, 0.5, -0.0, 0.5, 1.0, 0.5]
    made = []
    for round_ in range(3):
        for number, temperature in enumerate(temperatures):
            call = Call(
                operation="chat",
                provider="p",
                request_model=f"m{number % 2}",
                temperature=temperature,
                input_tokens=round_,
                finish_reasons=("stop",) if number % 3 else (),
                stream=bool(number % 2),
            )
            with tracer.start_as_current_span("agent"):
                span = tracer.start_span("chat", attributes=call.attributes())
                if number == 1:
                    span.add_event("rare")
                span.end()
            made.append(span)
    connection, batches = Connection(tmp_path / "s.db"), Batches()
    for begin in range(0, len(made), 6):
        assert batches.write(connection.sqlite, [(0, span) for span in made[begin : begin + 6]]).stored == 6
    with Reader(tmp_path / "s.db") as reader:
        for span in made:
            found = reader.show(f"{span.context.span_id:016x}")
            assert same(found.attributes, dict(span.attributes))
            assert found.parent_span_id == f"{span.parent.span_id:016x}"
            assert len(found.events) == len(span.events)
            assert found.flags == 256 | span.context.trace_flags
    connection.close()


def test_equal_values_of_other_types_do_not_go_together(tmp_path):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    names = (semconv.REQUEST_TEMPERATURE, semconv.USAGE_INPUT_TOKENS, semconv.SERVER_PORT)
    values = [(1.0, 1, 1), (1, 1, 1), (True, 1, 1), (1.0, 1.0, 1), (1.0, True, 1), (1.0, 1, True), (1.0, 1, 1.0)]
    made = []
    for _ in range(3):
        for one in values:
            span = tracer.start_span(
                "chat", attributes={"gen_ai.operation.name": "chat", **dict(zip(names, one, strict=True))}
            )
            span.end()
            made.append(span)
    with closing(Connection(tmp_path / "s.db")) as connection:
        batches = Batches()
        for begin in range(0, len(made), len(values)):
            batches.write(connection.sqlite, [(0, span) for span in made[begin : begin + len(values)]])
    with Reader(tmp_path / "s.db") as reader:
        for span in made:
            assert same(reader.show(f"{span.context.span_id:016x}").attributes, dict(span.attributes))


def test_of_many_spans_that_go_together_each_is_stored_once(tmp_path):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    made = []
    for tokens in range(3 * TOGETHER):
        call = Call(operation="chat", provider="p", request_model="m", input_tokens=tokens)
        span = tracer.start_span("chat", attributes=call.attributes())
        span.end()
        made.append(span)
    first, others = made[: TOGETHER // 2], made + made[:TOGETHER] + made[-5:]
    with closing(Connection(tmp_path / "s.db")) as connection:
        batches = Batches()
        batches.write(connection.sqlite, [(0, span) for span in first])
        done = batches.write(connection.sqlite, [(0, span) for span in others])
        rows = connection.sqlite.execute("SELECT span_id, input_tokens FROM spans").fetchall()
    assert (done.stored, done.lost["duplicate"]) == (len(made) - len(first), len(first) + TOGETHER + 5)
    assert sorted(rows) == sorted((span.context.span_id.to_bytes(8), number) for number, span in enumerate(made))


def test_what_is_kept_of_like_spans_shares_what_they_have_in_common(tmp_path):
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    made = []
    for tokens in range(3):
        call = Call(operation="chat", provider="p", request_model=str(Fraction(1, 7)), input_tokens=tokens)
        span = tracer.start_span("chat", attributes=call.attributes())
        span.end()
        made.append(span)
    with closing(Connection(tmp_path / "s.db")) as connection:
        batches = Batches()
        batches.write(connection.sqlite, [(0, made[0])])
        second, third = batches.write(connection.sqlite, [(0, span) for span in made[1:]]).kept
    assert second.common is third.common
    assert (second.own, third.own) == ((1,), (2,))
