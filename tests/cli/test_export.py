"""Out of one store and into another, and tables for other tools, as a user types it."""

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from pyarrow import parquet

import otel_llm
from otel_llm.cli import main
from otel_llm.store.database import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
from finished_spans import Spans

FORMATS = ["jsonl", "otlp-json"]


def run(*arguments, store, given=None):
    return CliRunner().invoke(main, [*arguments, "--db", str(store)], input=given)


def exported(store, form, *more):
    done = run("export", "--format", form, *more, store=store)
    assert done.exit_code == 0, done.stderr
    return done.stdout_bytes


def kept(path, *spans):
    database = Database(path)
    for span in spans:
        assert database.submit_span(span)
    assert database.flush(5)
    assert database.close(5)
    return path


def copied(store, form, target):
    done = run("import", "-", store=target, given=exported(store, form))
    assert done.exit_code == 0, done.stderr
    return target


def told(store, form):
    lines = exported(store, form).decode().splitlines()
    return sorted(lines) if form == "jsonl" else json.dumps(list(map(json.loads, lines)), sort_keys=True)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats())
VALUES = st.one_of(SCALARS, st.lists(TEXT, max_size=3).map(tuple))
NAMES = st.sampled_from(["gen_ai.usage.input_tokens", "gen_ai.request.temperature", "gen_ai.operation.name", "a", "$b"])
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=5)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(1)),
    trace_state=st.sampled_from([TraceState(), TraceState([("a", "b")])]),
)


@st.composite
def histories(draw):
    spans = Spans()
    made = []
    for _ in range(draw(st.integers(1, 4))):
        context = draw(CONTEXTS)
        parent = SpanContext(context.trace_id, draw(st.integers(1, 9)), draw(st.booleans()), TraceFlags(1))
        events = [Event(draw(TEXT), draw(ATTRIBUTES), timestamp=5)] * draw(st.integers(0, 1))
        links = [Link(draw(CONTEXTS), draw(ATTRIBUTES))] * draw(st.integers(0, 1))
        own = {"kind": draw(st.sampled_from(SpanKind)), "status": draw(st.sampled_from([Status(), ERROR]))}
        parents = {"parent": parent} if draw(st.booleans()) else {}
        made.append(
            spans.span(draw(ATTRIBUTES), name=draw(TEXT), context=context, events=events, links=links, **own, **parents)
        )
    return made


ERROR = Status(StatusCode.ERROR, "it broke")


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_and_imported_is_exported_the_same(tmp_path_factory, form):
    @settings(deadline=None, max_examples=25)
    @given(history=histories())
    def check(history):
        folder = tmp_path_factory.mktemp("trip")
        first = kept(folder / "first.db", *history)
        second = copied(first, form, folder / "second.db")
        assert told(first, form) == told(second, form)
        if form == "jsonl":
            assert told(first, "otlp-json") == told(second, "otlp-json")

    check()


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture
def store(tmp_path, spans):
    calls = [spans.call(input_tokens=number, request_model=f"m{number}") for number in range(3)]
    return kept(tmp_path / "calls.db", *calls, spans.span({"a": 1}, name="not a call"))


@pytest.mark.parametrize("form", FORMATS)
def test_importing_twice_changes_nothing(store, tmp_path, form):
    target = copied(store, form, tmp_path / "target.db")
    before = told(target, form)
    done = run("import", "-", store=target, given=exported(store, form))
    assert "0 new, 4 there already, 0 faulty" in done.stderr
    assert told(target, form) == before


def test_faulty_lines_are_told_with_their_numbers_and_the_others_taken(store, tmp_path):
    lines = exported(store, "jsonl").decode().splitlines()
    broken = json.loads(lines[1])
    lines[1] = json.dumps({**broken, "trace_id": "xyz"})
    text = "\n".join(
        [
            lines[0],
            lines[1],
            "not json",
            '{"else": 1}',
            json.dumps({**broken, "attributes": {"a": {"$x": 1}}}),
            lines[2],
        ]
    )
    done = run("import", "-", store=tmp_path / "target.db", given=text)
    assert done.exit_code == 1
    assert [line.split(" ")[0] for line in done.stderr.splitlines()[:-1]] == ["-:2:", "-:3:", "-:4:", "-:5:"]
    assert "2 new, 0 there already, 4 faulty" in done.stderr


def test_a_document_over_several_lines_is_read(store, tmp_path):
    document = json.loads(exported(store, "otlp-json"))
    done = run("import", "-", store=tmp_path / "target.db", given=json.dumps(document, indent=2))
    assert "4 new" in done.stderr


def test_otlp_json_has_hexadecimal_ids_and_numbers_for_kinds(store):
    document = json.loads(exported(store, "otlp-json"))
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert len(bytes.fromhex(span["traceId"])) == 16
    assert len(bytes.fromhex(span["spanId"])) == 8
    assert span["kind"] == 3
    assert span["startTimeUnixNano"].isdigit()


def test_csv_has_a_column_for_each_fact(store):
    rows = list(csv.DictReader(io.StringIO(exported(store, "csv").decode())))
    assert [row["input_tokens"] for row in rows] == ["0", "1", "2", ""]
    assert json.loads(rows[3]["attributes"]) == {"a": 1}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_csv_holds_no_formula(tmp_path, spans, text):
    store = kept(tmp_path / "calls.db", spans.call(request_model=text))
    (row,) = csv.DictReader(io.StringIO(exported(store, "csv").decode(), newline=""))
    assert row["request_model"] == f"'{text}"


def test_parquet_has_types(store, tmp_path):
    target = tmp_path / "calls.parquet"
    exported(store, "parquet", "-o", str(target))
    table = parquet.read_table(target)
    assert table["input_tokens"].to_pylist() == [0, 1, 2, None]
    assert str(table.schema.field("start_time").type) == "timestamp[ns, tz=UTC]"
    assert target.stat().st_mode & 0o777 == 0o600


def test_without_pyarrow_parquet_says_what_to_install(store, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    target = tmp_path / "calls.parquet"
    done = run("export", "--format", "parquet", "-o", str(target), store=store)
    assert (done.exit_code, list(tmp_path.glob("*parquet*"))) == (1, [])
    assert "pip install 'otel-llm[parquet]'" in done.stderr


def test_html_is_escaped(tmp_path, spans):
    store = kept(tmp_path / "calls.db", spans.call(request_model="<script>alert(1)</script>"))
    page = exported(store, "html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "1 spans." in page


def test_only_what_is_asked_for_is_exported(store):
    assert len(exported(store, "jsonl", "--model", "m1").splitlines()) == 1
    assert len(exported(store, "jsonl", "--calls").splitlines()) == 3
    newest = [json.loads(line)["name"] for line in exported(store, "jsonl", "--limit", "2").splitlines()]
    assert newest == ["chat gpt-x", "not a call"]


def test_more_than_a_page_is_exported_once_each(tmp_path, spans):
    made = [spans.span({"n": number}, at=number // 7) for number in range(1203)]
    store = kept(tmp_path / "calls.db", *made)
    lines = list(map(json.loads, exported(store, "jsonl").splitlines()))
    assert sorted(line["attributes"]["n"] for line in lines) == list(range(1203))
    assert len(json.loads(exported(store, "jsonl", "--limit", "1").splitlines()[0])) > 0


def test_nothing_to_export_is_no_data_and_no_file(store, tmp_path):
    done = run("export", "--model", "none", "-o", str(tmp_path / "x.jsonl"), store=store)
    assert done.exit_code == 3
    assert not (tmp_path / "x.jsonl").exists()


def test_an_export_into_a_closed_pipe_ends_quietly(store):
    command = f"{sys.executable} -c 'from otel_llm.cli import main; main()' export --db {store} | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"{", b"")


@pytest.mark.parametrize("signal", ["logs", "metrics"])
@pytest.mark.parametrize("form", ["jsonl", "csv", "otlp-json"])
def test_logs_and_metrics_are_exported_too(tmp_path, signal, form):
    store = tmp_path / "signals.db"
    script = f"""
import time
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from otel_llm.store.database import Database
from pathlib import Path
database = Database(Path({str(store)!r}))
record = LogRecord(timestamp=time.time_ns(), body="=words", trace_id=5, span_id=6, attributes={{"a": 1}})
database.submit_logs([ReadableLogRecord(record, Resource({{"service.name": "app"}}))])
reader = InMemoryMetricReader()
meter = MeterProvider([reader], Resource({{"service.name": "app"}})).get_meter("m")
meter.create_histogram("words").record(0.5)
meter.create_counter("count").add(2)
database.submit_metrics(reader.get_metrics_data())
assert database.flush(5)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    text = exported(store, form, "--signal", signal).decode()
    assert "words" in text
    assert "app" in text


def test_load_gives_flat_rows_of_calls(store):
    rows = otel_llm.load(path=store)
    assert [row["input_tokens"] for row in rows] == [0, 1, 2]
    assert isinstance(rows[0]["start_time"], datetime)
    assert rows[0]["start_time"].tzinfo is UTC
    assert rows[0]["time_to_first_token"] is None
    assert len(otel_llm.load(path=store, model="m1")) == 1
    assert otel_llm.load(path=store, since="1s") == []
    assert len(otel_llm.load(path=store, until=datetime.now(UTC))) == 3


def test_load_reads_the_configured_store(store, monkeypatch):
    monkeypatch.setenv("OTEL_LLM_STORE_PATH", str(store))
    assert len(otel_llm.load(limit=2)) == 2


def test_sql_answers_as_table_json_and_csv(store):
    query = "SELECT model, input_tokens FROM calls ORDER BY input_tokens"
    assert run("sql", query, store=store).stdout.split() == [
        "model",
        "input_tokens",
        *["m0", "0", "m1", "1", "m2", "2"],
    ]
    assert json.loads(run("sql", query, "--json", store=store).stdout)[1] == {"model": "m1", "input_tokens": 1}
    assert run("sql", query, "--format", "csv", store=store).stdout.splitlines()[2] == "m1,1"


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM spans",
        "WITH x AS (SELECT 1) DELETE FROM spans",
        "ATTACH DATABASE '{folder}/other.db' AS other",
        "VACUUM INTO '{folder}/other.db'",
        "PRAGMA writable_schema = ON",
        "PRAGMA user_version = 9",
        "PRAGMA journal_mode = DELETE",
        "CREATE TEMP TABLE t (a)",
        "DROP VIEW calls",
        "BEGIN IMMEDIATE",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM spans",
        "",
    ],
)
def test_sql_writes_nothing(store, tmp_path, query):
    before = exported(store, "jsonl")
    done = run("sql", query.format(folder=tmp_path), store=store)
    assert done.exit_code == 2, done.output
    assert exported(store, "jsonl") == before
    assert not (tmp_path / "other.db").exists()


def test_sql_ends_when_its_time_is_up(store):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    done = run("sql", endless, "--timeout", "200ms", store=store)
    assert done.exit_code == 1
    assert "expected an answer within 0.2 s, found none" in done.stderr


def test_sql_says_when_there_are_more_rows(store):
    done = run("sql", "SELECT * FROM calls", "--limit", "1", "--json", store=store)
    assert len(json.loads(done.stdout)) == 1
    assert "The first 1 rows" in done.stderr


def test_an_export_of_otlp_is_a_request_that_others_read(store):
    # Ids apart, which protobuf's own JSON has in base64.
    request = json_format.Parse(exported(store, "otlp-json"), ExportTraceServiceRequest())
    assert len(request.resource_spans[0].scope_spans[0].spans) == 4


def test_a_file_that_is_not_there_is_a_usage_error_and_makes_no_store(tmp_path):
    done = run("import", str(tmp_path / "none.jsonl"), store=tmp_path / "target.db")
    assert done.exit_code == 2
    assert "expected a file that can be read" in done.stderr
    assert not (tmp_path / "target.db").exists()
