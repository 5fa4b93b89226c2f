"""Sending what the store holds: all of it, once, however the backend answers."""

import gc
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from finished_spans import RESOURCE
from opentelemetry._logs import LogRecord
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import ReadableLogRecord

from otel_llm.store.errors import NotFoundError, StoreError
from otel_llm.store.replay import GaveUpError, Replay, Wish
from otel_llm.store.sender import MOST_READ, Destination
from parts.sink import sink
from parts.waiting import WITHIN


@pytest.fixture
def backend():
    with sink() as made:
        yield made


@pytest.fixture
def sent(path, backend):
    """Send everything now; gives the tally."""

    def send(*, url=None, headers=(), compressed=False, timeout=60.0, waited=None, **wish):
        destination = Destination(url=url or backend.url, headers=dict(headers), compressed=compressed, timeout=timeout)
        waits = [] if waited is None else waited
        with Replay(path, destination, Wish(**{"patience": 60.0, **wish}), waits.append) as replay:
            for _ in replay.run():
                pass
            return replay.tally

    return send


def ids(spans):
    return sorted(span.context.span_id for span in spans)


def received(backend):
    return sorted(int.from_bytes(span.span_id) for span in backend.spans())


def test_every_span_is_sent_with_its_ids_and_times(kept, spans, backend, sent):
    made = [spans.call(input_tokens=number) for number in range(3)]
    kept(*made)
    assert sent().sent == {"spans": 3}
    assert received(backend) == ids(made)
    assert {span.start_time_unix_nano for span in backend.spans()} == {span.start_time for span in made}


def test_nothing_is_sent_twice(kept, spans, backend, sent):
    kept(spans.call())
    sent()
    kept(spans.call())
    assert sent().sent == {"spans": 1}
    assert sent().sent == {}
    assert len(backend.spans()) == 2


def test_again_sends_it_all_again(kept, spans, backend, sent):
    kept(spans.call())
    sent()
    assert sent(again=True).sent == {"spans": 1}


def test_another_backend_has_a_place_of_its_own(kept, spans, sent):
    kept(spans.call())
    sent()
    with sink() as other:
        sent(url=other.url)
        assert len(other.spans()) == 1


def test_only_the_time_that_was_asked_for_is_sent_and_the_rest_later(kept, spans, backend, sent):
    early, late = spans.call(at=0), spans.call(at=100)
    kept(early, late)
    sent(since=late.start_time)
    assert received(backend) == ids([late])
    sent()
    assert received(backend) == ids([early, late])


def test_a_store_that_was_emptied_is_sent_from_its_start(kept, spans, path, backend, sent):
    kept(spans.call(), spans.call())
    sent()
    with closing(sqlite3.connect(path)) as sqlite:
        sqlite.execute("DELETE FROM spans")
        sqlite.commit()
    kept(spans.call())
    sent()
    assert len(backend.spans()) == 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_refused_for_now_is_sent_again(kept, spans, backend, sent, status):
    backend.answers = [(status, {"Retry-After": "7"}, b"busy")]
    kept(spans.call())
    waited = []
    assert sent(waited=waited).sent == {"spans": 1}
    assert waited == [7.0]
    assert len(backend.spans()) == 1


def test_a_date_to_come_back_at_is_understood(kept, spans, backend, sent):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    backend.answers = [(503, {"Retry-After": at}, b"")]
    kept(spans.call())
    waited = []
    sent(waited=waited)
    assert 15 < waited[0] <= 20


@pytest.mark.parametrize(("odd", "expected"), [("soon", 1.0), ("-3", 0.0)])
def test_an_odd_time_to_come_back_does_no_harm(kept, spans, backend, sent, odd, expected):
    backend.answers = [(503, {"Retry-After": odd}, b"")]
    kept(spans.call())
    waited = []
    sent(waited=waited)
    assert waited == [pytest.approx(expected, abs=0.3)]


def test_a_backend_that_wants_years_is_given_up(kept, spans, backend, sent):
    backend.answers = [(503, {"Retry-After": "1e9"}, b"")]
    kept(spans.call())
    with pytest.raises(GaveUpError):
        sent()


def test_pauses_grow_while_a_backend_fails(kept, spans, backend, sent):
    backend.answers = [(503, {}, b"")] * 4
    kept(spans.call())
    waited = []
    sent(waited=waited)
    assert waited == [pytest.approx(pause, rel=0.21) for pause in (1, 2, 4, 8)]


def test_a_backend_that_breaks_the_connection_is_tried_again(kept, spans, backend, sent):
    backend.answers = [None]
    kept(spans.call())
    waited = []
    assert sent(waited=waited).sent == {"spans": 1}


def test_a_backend_that_is_away_is_given_up_after_the_patience(kept, spans, sent):
    kept(spans.call())
    with sink() as gone:
        url = gone.url
    with pytest.raises(GaveUpError, match="refused"):
        sent(url=url, patience=2.5)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_will_never_be_taken_ends_it(kept, spans, backend, sent, status):
    backend.answers = [(status, {}, b"no such thing")]
    kept(spans.call())
    with pytest.raises(GaveUpError, match=f"HTTP {status} no such thing"):
        sent()
    assert sent().sent == {"spans": 1}


def test_one_span_that_is_refused_does_not_hold_up_the_others(kept, spans, backend, sent):
    made = [spans.call() for _ in range(9)]
    poison = made[4].context.span_id.to_bytes(8)
    backend.answers = [lambda _, body: (400, {}, b"bad") if poison in body else (200, {}, b"")] * 50
    kept(*made)
    tally = sent()
    assert (tally.sent, tally.refused) == ({"spans": 8}, 1)
    assert received(backend) == ids([*made[:4], *made[5:]])


def test_what_a_backend_takes_in_part_is_counted(kept, spans, backend, sent):
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    backend.answers = [(200, {}, ExportTraceServiceResponse(partial_success=partial).SerializeToString())]
    kept(*(spans.call() for _ in range(3)))
    tally = sent()
    assert (tally.refused, tally.trouble) == (2, "too old")


def test_an_answer_of_any_length_is_read_with_a_cap(kept, spans, backend, sent):
    backend.answers = [(200, {}, b"\xff" * (40 * MOST_READ))]
    kept(spans.call(), spans.call())
    gc.collect()
    assert sent().sent == {"spans": 2}
    kept(spans.call())
    assert sent().sent == {"spans": 1}


def test_a_backend_that_keeps_silent_is_left_after_the_timeout(kept, spans, backend, sent):
    silent = threading.Event()
    backend.answers = [lambda *_: silent.wait(60) and (200, {}, b"")]
    kept(spans.call())
    waited = []
    assert sent(timeout=0.2, waited=waited).sent == {"spans": 1}
    assert waited
    silent.set()


def test_headers_and_gzip_are_sent(kept, spans, backend, sent):
    kept(spans.call())
    sent(headers={"authorization": "Bearer x"}, compressed=True)
    (_, headers, _), *_ = backend.requests
    assert headers["authorization"] == "Bearer x"
    assert headers["Content-Encoding"] == "gzip"
    assert len(backend.spans()) == 1


@pytest.mark.parametrize("content", [b"", b"ok"])
def test_one_connection_is_kept(kept, spans, backend, sent, content):
    backend.answers = [(200, {}, content)] * 3
    kept(*(spans.call() for _ in range(3)))
    sent(rate=2.0)
    assert (len(backend.requests), backend.connections) == (3, 1)


def test_the_address_may_hold_a_path(kept, spans, backend, sent):
    kept(spans.call())
    sent(url=f"{backend.url}/otlp/v1/traces")
    assert backend.requests[0][0] == "/otlp/v1/traces"


def test_what_the_store_knows_a_backend_by_holds_no_credentials():
    told = Destination(url="https://me:secret@host/otlp?key=secret").identity
    assert told == "http/protobuf https://host:443/otlp"


def test_a_signal_that_the_backend_does_not_know_is_left_out(kept, spans, backend, sent):
    database = kept(spans.call())
    database.submit_logs([ReadableLogRecord(LogRecord(timestamp=time.time_ns(), body="x", attributes={}), RESOURCE)])
    database.flush(WITHIN)
    backend.answers = [lambda path, _: (404, {}, b"") if path == "/v1/logs" else (200, {}, b"")] * 5
    tally = sent()
    assert (tally.sent, tally.left_out) == ({"spans": 1}, {"logs"})


def test_a_rate_is_kept_to(kept, spans, sent):
    kept(*(spans.call() for _ in range(40)))
    waited = []
    sent(rate=20.0, waited=waited)
    assert sum(waited[-1:]) > 1


def test_two_do_not_send_from_one_store_to_one_backend(kept, spans, path, backend):
    kept(spans.call())
    destination = Destination(url=backend.url)
    with Replay(path, destination, Wish()), pytest.raises(StoreError, match="another process"):
        Replay(path, destination, Wish())


def test_a_store_that_is_not_there_is_said(tmp_path, backend):
    with pytest.raises(NotFoundError):
        Replay(tmp_path / "none.db", Destination(url=backend.url), Wish())


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://host", "http://", "http://host:banana"])
def test_an_address_that_cannot_be_one_is_refused(kept, spans, path, url):
    kept(spans.call())
    with pytest.raises(ValueError, match=r"expected an address|[Pp]ort"):
        Replay(path, Destination(url=url), Wish())


def test_a_store_that_was_replaced_ends_it(kept, spans, path, backend):
    kept(spans.call())
    with Replay(path, Destination(url=backend.url), Wish()) as replay:
        path.rename(path.with_name("away.db"))
        with pytest.raises(StoreError, match="another file"):
            list(replay.run())
