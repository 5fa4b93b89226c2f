"""urllib3 and requests: what their user sees is what he would see without us, and each attempt is one span."""

import gc
import io
import itertools
import json
import threading
import time
import weakref

import pytest
import requests
import urllib3
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import StatusCode
from seen import LATE, ending, only, patiently

from otel_llm import semconv

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
GOOD = ("completed", StatusCode.UNSET, None)

fresh = itertools.count()


def url(server, case, path="/v1/chat/completions"):
    return f"http://127.0.0.1:{server.port}/{case}/u3{next(fresh)}{path}"


def _into(response):
    buffer = bytearray(50)
    while size := response.readinto(buffer):
        yield bytes(buffer[:size])


def _pieces(read):
    while piece := read():
        yield piece


OF_REQUESTS = {
    "content": lambda response: [response.content],
    "text": lambda response: [response.text],
    "small": lambda response: response.iter_content(7),
    "chunks": lambda response: response.iter_content(None),
    "lines": lambda response: response.iter_lines(),
    "raw": lambda response: response.raw.stream(100, decode_content=False),
}
OF_URLLIB3 = {
    "data": lambda response: [response.data],
    "read": lambda response: [response.read()],
    "some": lambda response: _pieces(lambda: response.read(100)),
    "one": lambda response: _pieces(lambda: response.read1(100)),
    "into": _into,
    "stream": lambda response: response.stream(),
    "chunked": lambda response: response.read_chunked() if response.chunked else response.stream(),
    "iter": iter,
    "text": io.TextIOWrapper,
}
READERS = {"requests": OF_REQUESTS, "urllib3": OF_URLLIB3}
WAYS = [(library, how) for library, readers in READERS.items() for how in readers]


def look(library, response):
    """What a response shows of itself."""
    raw = response.raw if library == "requests" else response
    return (
        *(type(response), type(raw), raw.status, raw.reason, raw.version, sorted(raw.headers)),
        *(raw.chunked, raw.length_remaining, [one.status_code for one in getattr(response, "history", ())]),
    )


def tell(error):
    """An exception as the user sees it, causes included; objects' addresses and numbers left out."""
    chain = []
    while error is not None:
        chain.append((type(error), str(error).partition("at 0x")[0].partition("/u3")[0]))
        error = error.__cause__ or error.__context__
    return chain


def send(library, target, *, body=None, timeout=LATE, **more):
    if library == "requests":
        body = {"json": BODY} if body is None else {"data": body}
        return requests.post(target, stream=True, timeout=timeout, **body, **more)
    body = {"body": json.dumps(BODY).encode() if body is None else body}
    more = {"preload_content": False, "retries": False, **more}
    return urllib3.PoolManager().request("POST", target, timeout=timeout, **body, **more)


def visit(library, how, target, *, most=None, **more):
    """Everything that a user sees of one request; at ``most`` so many pieces are taken."""
    seen = []
    pieces = []
    try:
        response = send(library, target, **more)
        seen.append(look(library, response))
        for number, piece in enumerate(READERS[library][how](response), 1):
            pieces.append(piece)
            if number == most:
                break
        response.close()
        raw = response.raw if library == "requests" else response
        seen.append((raw.closed, raw.connection is None, raw.tell()))
    except Exception as error:  # noqa: BLE001 - it is what the user sees
        seen.append(tell(error))
    if pieces and isinstance(pieces[0], (bytes, str)):
        pieces = [type(pieces[0])().join(pieces)]
    return seen, pieces


def both(once):
    """What is seen without the tap and with it; they must be equal."""
    with suppress_instrumentation():
        expected = once()
    seen = once()
    assert seen == expected
    return seen


@pytest.fixture(params=READERS)
def library(request):
    return request.param


@pytest.mark.parametrize(("library", "how"), WAYS)
@pytest.mark.parametrize("case", ["stream", "whole", "gzip", "br", "zstd", "deflate"])
def test_a_call_that_is_read_to_its_end_is_completed(recorded, server, library, case, how):
    both(lambda: visit(library, how, url(server, case)))
    span, said = only(recorded)
    assert ending(span) == GOOD
    assert (said[semconv.USAGE_INPUT_TOKENS], said[semconv.USAGE_OUTPUT_TOKENS]) == (7, 5)
    assert (semconv.TIME_TO_FIRST_TOKEN in said) == (case != "whole")
    assert said[semconv.REQUEST_MODEL] == "m"
    assert (said[semconv.SERVER_ADDRESS], said[semconv.SERVER_PORT]) == ("127.0.0.1", server.port)


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("case", ["stream", "whole", "gzip"])
def test_a_body_that_urllib3_reads_itself_is_recorded_without_times(recorded, server, case, decode):
    both(lambda: visit("urllib3", "data", url(server, case), preload_content=True, decode_content=decode))
    span, said = only(recorded)
    assert (ending(span), said[semconv.USAGE_OUTPUT_TOKENS]) == (GOOD, 5)
    assert semconv.TIME_TO_FIRST_TOKEN not in said
    assert semconv.TIME_PER_OUTPUT_TOKEN not in said


FAILURES = {
    "reset": "urllib3.exceptions.ProtocolError",
    "cut": "urllib3.exceptions.ProtocolError",
    "eof": "incomplete_stream",
    "html": "500",
    "missing": "404",
    "inband": "busy",
    "hang": "urllib3.exceptions.ReadTimeoutError",
    "silent": "urllib3.exceptions.ReadTimeoutError",
}


@pytest.mark.parametrize(("library", "how"), [("requests", "content"), ("urllib3", "read"), ("urllib3", "stream")])
@pytest.mark.parametrize("case", FAILURES)
def test_a_call_that_fails_tells_how(recorded, server, library, case, how):
    def look(soon):
        both(lambda: visit(library, how, url(server, case), timeout=soon))
        assert ending(only(recorded)[0]) == ("error", StatusCode.ERROR, FAILURES[case])

    patiently(recorded, case, look)


def test_nobody_listening_is_an_error(recorded, library, refusing_port):
    target = f"http://127.0.0.1:{refusing_port}/v1/chat/completions"
    both(lambda: visit(library, "text", target))
    assert ending(only(recorded)[0])[2] == "urllib3.exceptions.NewConnectionError"


def test_a_pool_without_a_free_connection_is_an_error(recorded, server):
    def once():
        pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, block=True)
        held = pool.urlopen("GET", "/whole/x", preload_content=False)
        try:
            pool.urlopen("POST", "/whole/x/v1/chat/completions", body=b"{}", pool_timeout=0.05)
        except urllib3.exceptions.EmptyPoolError as error:
            return tell(error)
        finally:
            held.close()

    both(once)
    assert ending(only(recorded)[0])[2] == "urllib3.exceptions.EmptyPoolError"


@pytest.mark.parametrize(("library", "how"), [("requests", "lines"), ("urllib3", "stream"), ("urllib3", "some")])
def test_a_reader_that_stops_has_abandoned_the_call(recorded, server, library, how):
    both(lambda: visit(library, how, url(server, "hang"), most=1))
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


def test_a_body_that_is_never_looked_at_is_abandoned(recorded, server, library):
    send(library, url(server, "stream")).close()
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


@pytest.mark.parametrize("started", [True, False])
def test_an_answer_that_is_dropped_ends_and_is_freed_at_once(recorded, server, library, started):
    gc.disable()
    try:
        response = send(library, url(server, "hang"))
        raw = weakref.ref(response.raw if library == "requests" else response)
        if started:
            next(READERS[library]["small" if library == "requests" else "stream"](response))
        del response
        assert raw() is None
        assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)
    finally:
        gc.enable()


def test_an_answer_in_a_cycle_ends_with_its_collection(recorded, server, library):
    response = send(library, url(server, "hang"))
    response.itself = response
    if library == "requests":
        response.raw.itself = response.raw
    del response
    gc.collect()
    assert ending(only(recorded)[0]) == ("abandoned", StatusCode.UNSET, None)


def test_a_redirect_that_is_followed_is_two_attempts(recorded, server, library):
    both(lambda: visit(library, "text", url(server, "redirect"), **({"retries": 3} if library == "urllib3" else {})))
    first, second = recorded.wait(2)
    assert [ending(span) for span in (first, second)] == [GOOD, GOOD]
    assert first.attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 307
    assert second.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] == 1
    assert [link.context.span_id for link in second.links] == [first.context.span_id]


def retry():
    return urllib3.Retry(
        5, status_forcelist=[429], allowed_methods=None, backoff_factor=0, respect_retry_after_header=False
    )


def test_urllib3s_own_retries_are_resends(recorded, server, library):
    def once():
        target = url(server, "flaky")
        if library == "urllib3":
            return visit(library, "stream", target, retries=retry())[1]
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry()))
            return session.post(target, json=BODY).json()

    tracer = trace.get_tracer("app", tracer_provider=recorded.provider)
    with suppress_instrumentation():
        expected = once()
    with tracer.start_as_current_span("work") as work:
        assert once() == expected
        assert trace.get_current_span() is work
    first, second, third = recorded.wait(4)[:3]
    assert [ending(span)[2] for span in (first, second, third)] == ["429", "429", None]
    assert semconv.HTTP_REQUEST_RESEND_COUNT not in first.attributes
    assert [span.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] for span in (second, third)] == [1, 2]
    assert [span.links[0].context.span_id for span in (second, third)] == [
        first.context.span_id,
        second.context.span_id,
    ]
    assert {span.parent.span_id for span in (first, second, third)} == {work.get_span_context().span_id}


def test_a_connection_that_fails_is_tried_again(recorded, server):
    visit("urllib3", "data", url(server, "silent"), timeout=0.05, retries=urllib3.Retry(1, allowed_methods=None))
    first, second = recorded.wait(2)
    assert {ending(span)[2] for span in (first, second)} == {"urllib3.exceptions.ReadTimeoutError"}
    assert second.attributes[semconv.HTTP_REQUEST_RESEND_COUNT] == 1


@pytest.mark.parametrize(
    ("make", "model"),
    [
        (lambda: json.dumps(BODY), "m"),
        (lambda: json.dumps(BODY).encode(), "m"),
        (lambda: io.BytesIO(json.dumps(BODY).encode()), "m"),
        (lambda: iter([b'{"model": ', b'"m"}']), None),
        (lambda: b"\xff{", None),
    ],
    ids=["text", "bytes", "file", "generator", "junk"],
)
def test_what_is_sent_is_what_would_be_sent(recorded, server, library, make, model):
    before = len(server.received)
    both(lambda: visit(library, "text", url(server, "whole"), body=make()))
    plain, tapped = (body for _, _, body in server.received[before:])
    assert plain == tapped
    span, said = only(recorded)
    assert (ending(span), said.get(semconv.REQUEST_MODEL)) == (GOOD, model)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/models", "/v1/traces", "/"])
def test_other_traffic_is_left_alone(recorded, server, library, path):
    visit(library, "text", url(server, "whole", path))
    assert recorded.started == []


def test_the_path_is_read_without_its_query(recorded, server, library):
    visit(library, "text", url(server, "whole", "/v1/chat/completions?api-version=1"))
    assert ending(only(recorded)[0]) == GOOD


def test_a_response_may_be_read_on_another_thread(recorded, server, library):
    response = send(library, url(server, "stream"))
    pieces = []
    read = READERS[library]["lines" if library == "requests" else "stream"]
    thread = threading.Thread(target=lambda: pieces.extend(read(response)))
    thread.start()
    thread.join()
    assert pieces
    assert ending(only(recorded)[0]) == GOOD


def test_the_wait_for_a_connection_is_told_once_connected_and_when_used_again(recorded, server, monkeypatch):
    connect = urllib3.connection.HTTPConnection.connect

    def slowly(connection):
        time.sleep(0.5)
        connect(connection)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "connect", slowly)
    with urllib3.PoolManager() as pool:
        for _ in range(4):
            pool.request("POST", url(server, "whole"), json=BODY)
        (connections,) = [pool.pools.get(key) for key in pool.pools.keys()]  # noqa: SIM118 - no mapping
        connection = connections._get_conn()
        assert "connect" not in vars(connection)
    first, *again = (span.attributes[semconv.CONNECTION_WAIT] for span in recorded.wait(4))
    assert 0 < min(again) < 0.5 <= first


def test_where_nothing_was_sent_no_wait_is_told(recorded, library, refusing_port):
    with pytest.raises(Exception, match=r"refused"):
        send(library, f"http://127.0.0.1:{refusing_port}/v1/chat/completions")
    (span,) = recorded.wait(1)
    assert semconv.CONNECTION_WAIT not in span.attributes
