"""Roll-ups say what the spans that they stand for said."""

import sqlite3
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing

import pytest
from finished_spans import SECOND, Spans
from hypothesis import given, settings
from hypothesis import strategies as st
from test_query import valid
from test_store_summary import CALLS, line

from otel_llm.store import connection as connections
from otel_llm.store import plans, retention, rollup, summary
from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.filter import Filter
from otel_llm.store.group import FIGURES
from otel_llm.store.interning import Table
from otel_llm.store.query import Reader
from otel_llm.store.scan import HOUR
from parts.waiting import WITHIN

DAY = 86_400
RANGES = st.none() | st.integers(-3600, 3 * 3600)
SPREADS = ("duration", "time_to_first_token", "time_per_output_token", "queue_wait")


@pytest.fixture
def connection(tmp_path):
    opened = Connection(tmp_path / "rollup.db")
    yield opened
    opened.close()


def write(connection, *some):
    return Batches().write(connection.sqlite, [(0, span) for span in some])


def told(connection, by=(), exact=0, **asked):
    """A summary that reads roll-ups wherever it may."""
    found = summary.summarize(connection.sqlite, Filter(**asked), by, exact=exact)
    valid("summary", found)
    return found


def near(expected):
    """Counts as they are, percentiles within 2.2 %, the greatest as it is."""
    if expected is None:
        return None
    exact = {name: expected[name] for name in ("max", "count")}
    rough = {
        name: None if expected[name] is None else pytest.approx(expected[name].expected, rel=0.022, abs=1e-9)
        for name in ("mean", "p50", "p90", "p95", "p99")
    }
    return rough | exact


def roughly(expected):
    mean = expected["concurrency"]["mean"]
    return expected | {name: near(expected[name]) for name in SPREADS} | {"concurrency": {"mean": mean, "max": None}}


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.tuples(CALLS, st.booleans()), min_size=1, max_size=4),
    since=RANGES,
    until=RANGES,
    model=st.sampled_from([None, "a", "b"]),
    provider=st.sampled_from([None, "openai"]),
)
def test_roll_ups_equal_brute_force(tmp_path_factory, batches, since, until, model, provider):
    spans, connection = Spans(), Connection(tmp_path_factory.mktemp("roll") / "roll.db")
    base = spans.start = spans.start // HOUR * HOUR  # the ranges then begin and end on the hour at times
    for calls, folding in batches:
        made = [spans.call(**call) for call in calls]
        write(connection, *made, *made[:3])
        write(connection, *made[-3:])
        if folding:
            rollup.fold(connection.sqlite, least=1)
    chosen = [
        call
        for calls, _ in batches
        for call in calls
        if (since is None or call["at"] >= since)
        and (until is None or call["at"] < until)
        and model in {None, call["request_model"]}
        and provider in {None, call["provider"]}
    ]
    times = {
        name: None if value is None else base + value * SECOND for name, value in (("since", since), ("until", until))
    }
    found = told(connection, by=("model",), model=model, provider=provider, **times)
    groups = defaultdict(list)
    for call in chosen:
        groups[call["request_model"]].append(call)
    connection.close()
    assert len(found["groups"]) == len(groups)
    for name, calls in groups.items():
        (told_of,) = [group for group in found["groups"] if group["group"] == {"model": name}]
        told_of["concurrency"]["max"] = None
        assert told_of == roughly(line({"model": name}, calls))


def folding_process(path, number):
    """Write in a process of its own, folding all the while; the other's turn may take longer than a writer waits."""
    connections.BUSY_TIMEOUT = WITHIN
    spans, connection, writer = Spans(), Connection(path), Batches()
    for _ in range(20):
        made = [spans.call(at=-7200 * number, input_tokens=1, output_tokens=2) for _ in range(25)]
        writer.write(connection.sqlite, [(0, span) for span in made])
        rollup.fold(connection.sqlite, least=10)
    connection.close()


def test_two_processes_fold_each_span_once(connection):
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(folding_process, [connection.path] * 2, range(2)))
    rollup.fold(connection.sqlite, least=1)
    found = told(connection)["groups"][0]
    assert (found["attempts"], found["input_tokens"], found["output_tokens"]) == (1000, 1000, 2000)
    assert connection.sqlite.execute("SELECT sum(attempts) FROM rollups").fetchone() == (1000,)


def test_folding_a_few_rows_at_a_time_changes_nothing(tmp_path, spans, monkeypatch):
    made = [spans.call(at=number * 900, input_tokens=number, output_tokens=number % 3) for number in range(20)]
    found = []
    for at_once in (3, 100):
        monkeypatch.setattr(rollup, "_IN_MEMORY", at_once)
        with closing(Connection(tmp_path / f"{at_once}.db")) as connection:
            write(connection, *made)
            rollup.fold(connection.sqlite, least=1)
            found.append(connection.sqlite.execute("SELECT * FROM rollups").fetchall())
    assert found[0] == found[1]
    assert len(found[0]) > 1


def test_spans_that_wait_are_few(connection, spans):
    write(connection, *(spans.call() for _ in range(9)))
    assert rollup.fold(connection.sqlite, least=10) == 0
    write(connection, spans.call())
    assert rollup.fold(connection.sqlite, least=10) == 10


def test_a_late_span_is_added_to_its_hour(connection, spans):
    write(connection, spans.call(at=0))
    rollup.fold(connection.sqlite, least=1)
    write(connection, spans.call(at=1), spans.call(at=-DAY))
    rollup.fold(connection.sqlite, least=1)
    found = told(connection, by=("hour",))
    assert [group["attempts"] for group in found["groups"]] == [1, 2]


def test_filters_by_service_and_groups_by_service_reach_roll_ups(connection, spans):
    write(connection, spans.call(service="a"), spans.call(service="b"), spans.call(service="b"))
    rollup.fold(connection.sqlite, least=1)
    assert told(connection, service="b")["attempts"] == 2
    assert [group["attempts"] for group in told(connection, by=("service",))["groups"]] == [2, 1]


def test_a_response_model_is_found_in_roll_ups(connection, spans):
    write(connection, spans.call(request_model="m", response_model="m-1"))
    rollup.fold(connection.sqlite, least=1)
    assert told(connection, model="m-1")["attempts"] == 1


def test_spans_of_overflowed_series_are_rolled_up_under_their_own_model(connection, spans, monkeypatch):
    monkeypatch.setattr(Table, "id", _full_series(Table.id))
    write(connection, *(spans.call(request_model=f"m{number}") for number in range(3)))
    rollup.fold(connection.sqlite, least=1)
    assert {group["group"]["model"] for group in told(connection, by=("model",))["groups"]} == {"m0", "m1", "m2"}
    assert told(connection, model="m1")["attempts"] == 1


def _full_series(original):
    """`Table.id` for which every series but the nameless is one too many."""

    def made(self, connection, key, row):
        full = len(row) == len(plans.SERIES_FIELDS) + 5 and row[1] is not None
        return None if full else original(self, connection, key, row)

    return made


def test_beyond_their_bound_kinds_lose_their_names_and_nothing_else(connection, spans, monkeypatch):
    write(connection, *(spans.call(request_model=f"m{number}", output_tokens=5) for number in range(4)))
    monkeypatch.setattr(Table.__init__, "__defaults__", (2,))
    rollup.fold(connection.sqlite, least=1)
    found = told(connection, by=("model",))
    assert (found["attempts"], sum(group["output_tokens"] for group in found["groups"])) == (4, 20)
    assert found["groups"][0]["group"] == {"model": None}


def test_spans_that_are_no_calls_are_not_rolled_up(connection, spans):
    write(connection, spans.span({"http.request.method": "GET"}))
    assert rollup.fold(connection.sqlite, least=1) == 1
    assert connection.sqlite.execute("SELECT count(*) FROM rollups").fetchone() == (0,)


def test_few_spans_are_exact(connection, spans):
    write(connection, *(spans.call(took=took) for took in (1.0, 1.01, 1.02)))
    rollup.fold(connection.sqlite, least=1)
    assert told(connection, exact=3)["groups"][0]["duration"]["p50"] == 1.01
    assert told(connection, exact=2)["groups"][0]["duration"]["p50"] == pytest.approx(1.01, rel=0.022)


@pytest.mark.parametrize("exact", [0, 1000])
def test_roll_ups_outlive_the_spans_and_count_none_twice(connection, spans, exact):
    made = [spans.call(at=-3 * DAY - second, output_tokens=1) for second in range(5)]
    made += [spans.call(at=-second, output_tokens=1) for second in range(5)]
    write(connection, *made)
    before = told(connection, exact=1000)["groups"][0]
    assert retention.expire(connection, max_age=2 * DAY, now=spans.start / SECOND) == 5
    write(connection, spans.call(at=-DAY, output_tokens=1), spans.call(at=-3 * DAY, output_tokens=1))
    after = told(connection, exact=exact)["groups"][0]
    assert (after["attempts"], after["output_tokens"]) == (before["attempts"] + 2, before["output_tokens"] + 2)
    assert after["duration"]["count"] == 12


def test_an_hour_that_lost_some_of_its_spans_is_told_whole(connection, spans, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 40)
    write(connection, *(spans.call(at=-DAY + second / 100, output_tokens=1) for second in range(100)))
    assert retention._delete(connection.sqlite, "spans", "1", (), 40) == 0
    rollup.fold(connection.sqlite, least=1)
    assert retention._delete(connection.sqlite, "spans", "1", (), 40) == 40
    found = told(connection, exact=1000)["groups"][0]
    assert (found["attempts"], found["output_tokens"]) == (100, 100)


def test_an_id_that_is_given_again_is_folded_again(connection, spans):
    write(connection, spans.call(at=0), spans.call(at=-3 * DAY))
    retention.expire(connection, max_age=2 * DAY, now=spans.start / SECOND)  # the row with the greatest id
    write(connection, spans.call(at=1))
    rollup.fold(connection.sqlite, least=1)
    assert connection.sqlite.execute("SELECT sum(attempts) FROM rollups").fetchone() == (3,)
    assert told(connection)["attempts"] == 3


def test_roll_ups_of_another_year_go(connection, spans):
    write(connection, spans.call(at=-401 * DAY), spans.call(at=0))
    rollup.fold(connection.sqlite, least=1)
    assert rollup.prune(connection.sqlite, max_size=256_000_000, now=spans.start / SECOND) == 1
    assert told(connection)["attempts"] == 2  # the span itself is still there


def test_roll_ups_take_a_quarter_of_the_quota_at_most(connection, spans):
    write(connection, *(spans.call(at=-hour * 3600) for hour in range(50)))
    rollup.fold(connection.sqlite, least=1)
    assert rollup.prune(connection.sqlite, max_size=20 * 4096, now=spans.start / SECOND) == 30
    assert told(connection)["attempts"] == 50


def test_swept_kinds_are_those_that_no_roll_up_has(connection, spans):
    write(connection, spans.call(at=-500 * DAY, request_model="old"), spans.call(request_model="new"))
    rollup.fold(connection.sqlite, least=1)
    rollup.prune(connection.sqlite, max_size=256_000_000, now=spans.start / SECOND)
    retention.sweep(connection)
    assert connection.sqlite.execute("SELECT request_model FROM kinds").fetchall() == [("new",)]


def test_what_cannot_be_rolled_up_stops_nothing(connection, spans, monkeypatch):
    write(connection, spans.call())
    with monkeypatch.context() as patched:
        patched.setattr(rollup.Group, "pack", lambda _: 1 / 0)
        assert rollup.fold(connection.sqlite, least=1) == 1
    write(connection, spans.call())
    assert rollup.fold(connection.sqlite, least=1) == 1
    assert connection.sqlite.execute("SELECT sum(attempts) FROM rollups").fetchone() == (1,)


def test_sums_beyond_64_bits_stay_at_their_bound(connection, spans):
    write(connection, *(spans.call(input_tokens=2**62) for _ in range(3)))
    rollup.fold(connection.sqlite, least=1)
    assert told(connection)["groups"][0]["input_tokens"] == 2**63 - 1


def test_the_writer_folds_by_itself(database, path, spans, kept, monkeypatch):
    monkeypatch.setattr(rollup.fold, "__kwdefaults__", {"least": 10})
    kept(*(spans.call() for _ in range(20)))
    database.close(WITHIN)
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT sum(attempts) FROM rollups").fetchone() == (20,)


def test_a_reader_sees_roll_ups_and_what_waits_as_one(connection, spans, monkeypatch):
    monkeypatch.setattr(summary, "EXACT", 0)
    write(connection, spans.call())
    rollup.fold(connection.sqlite, least=1)
    write(connection, spans.call())
    with Reader(connection.path) as reader:
        assert reader.summary(Filter())["attempts"] == 2


def test_schema_and_code_name_the_same_figures(connection):
    columns = {row[1] for row in connection.sqlite.execute("PRAGMA table_info(rollups)")}
    assert columns == {"id", "hour", "kind", *FIGURES}
    columns = {row[1] for row in connection.sqlite.execute("PRAGMA table_info(kinds)")}
    assert columns == {"id", "digest", *rollup.KIND_COLUMNS}
