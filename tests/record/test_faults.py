"""Whatever of ours fails, the application sees nothing of it, every span that started ends and the fault is counted.

Each function of ours that runs during a call is made to raise, in turn, in each of the `scenes.CALLS` in which it runs.
"""

import time

import pytest
import scenes
from opentelemetry.sdk.metrics._internal.instrument import _Histogram
from opentelemetry.sdk.trace import Span, Tracer

from otel_llm import boundary, semconv
from otel_llm.alert.processor import AlertProcessor
from otel_llm.probe.meter import Meter
from otel_llm.probe.sightings import Sightings
from otel_llm.record import tariff, transport
from otel_llm.record.reading import Reading
from otel_llm.record.settings import Config
from parts import faults

ROOMS = (
    *("otel_llm.record", "otel_llm.calls", "otel_llm.redaction"),
    *("otel_llm.alert.processor", "otel_llm.probe.sightings", "otel_llm.probe.meter", "otel_llm.listeners"),
)
KNOWN = faults.places(*ROOMS)

LIBRARYS = "stands in the place of the library's own function: what it does itself is call ours, one by one, guarded"
USERS = "called by the user, to be handed what it makes; it only keeps what it is given"
SDKS = "called by the SDK: what it does itself stands in its own boundary"
GUARDED = "nothing but a guard and what stands in it"
THREADS = "a thread's first frame: what it does itself is call ours, guarded"
COLLECTORS = "called by the garbage collector, which tells an exception on stderr and goes on"
SDKS = "called by the SDK in a span's beginning or end: all that it does itself is call ours, guarded"
LEFT_OUT = {
    "record.peers:Peers.on_start": SDKS,
    "record.peers:_watch_end.<locals>.end": SDKS,
    "record.shells.httpx:_send": LIBRARYS,
    "record.shells.httpx:_send_async": LIBRARYS,
    "record.shells.httpx:_nothing": LIBRARYS,
    "record.shells.httpx:_tracer.<locals>.trace": LIBRARYS,
    "record.shells.httpx:_async_tracer.<locals>.trace": LIBRARYS,
    "record.shells.httpx:SyncPieces.__iter__": LIBRARYS,
    "record.shells.httpx:SyncPieces.close": LIBRARYS,
    "record.shells.httpx:AsyncPieces.__aiter__": LIBRARYS,
    "record.shells.httpx:AsyncPieces.aclose": LIBRARYS,
    "record.shells.aiohttp:_connect": LIBRARYS,
    "record.shells.aiohttp:_connect_watched": LIBRARYS,
    "record.shells.aiohttp:_pass": LIBRARYS,
    "record.shells.aiohttp:_follow.<locals>.once": LIBRARYS,
    "record.shells.aiohttp:_send": LIBRARYS,
    "record.shells.aiohttp:_start": LIBRARYS,
    "record.shells.aiohttp:_Arriving.append": LIBRARYS,
    "record.shells.aiohttp:_Ends.clear": LIBRARYS,
    "record.shells.aiohttp:_Waits.__enter__": LIBRARYS,
    "record.shells.aiohttp:_Waits.__exit__": LIBRARYS,
    "record.shells.aiohttp:_Waits.__getattr__": LIBRARYS,
    "record.shells.aiohttp:_Ends.finish": LIBRARYS,
    "record.shells.urllib3:_urlopen": LIBRARYS,
    "record.shells.urllib3:_make_request": LIBRARYS,
    "record.shells.urllib3:_close": LIBRARYS,
    "record.shells.urllib3:_await_connection.<locals>.once": LIBRARYS,
    "record.in_process:perform": LIBRARYS,
    "record.in_process:run": LIBRARYS,
    "record.in_process:begin": GUARDED,
    "record.in_process:_stream": LIBRARYS,
    "record.in_process:wrapper.<locals>.wrap": LIBRARYS,
    "record.local.transformers:_generate": LIBRARYS,
    "record.local.xllamacpp:_handle": LIBRARYS,
    "record.local.xllamacpp:_tell": LIBRARYS,
    "record.shells.urllib3:_follow.<locals>.fp_read": LIBRARYS,
    "record.shells.urllib3:_follow.<locals>.handle_chunk": LIBRARYS,
    "record.shells.urllib3:_follow.<locals>.error_catcher": LIBRARYS,
    "alert.processor:AlertProcessor.on_start": SDKS,
    "alert.processor:AlertProcessor.on_end": SDKS,
    "probe.sightings:Sightings.on_end": SDKS,
    "probe.meter:Meter._run": THREADS,
    "record.tariff:Best._load": THREADS,
    "record.queues:queue": USERS,
    "record.queues:Queue.__init__": USERS,
    "record.queues:Queue.wait": USERS,
    "record.queues:Queue.enqueue": USERS,
    "record.queues:Queue.depth": USERS,
    "record.queues:Wait.__init__": USERS,
    "record.queues:Wait.__enter__": USERS,
    "record.queues:Wait.__exit__": USERS,
    "record.queues:Ticket.__init__": USERS,
    "record.queues:Ticket.__enter__": USERS,
    "record.queues:Ticket.__exit__": USERS,
    "record.queues:Ticket.waited": USERS,
    "record.queues:Ticket.__del__": COLLECTORS,
    "record.queues:_Block.__aenter__": USERS,
    "record.queues:_Block.__aexit__": USERS,
    "record.client:call": USERS,
    "record.client:metric": USERS,
    "record.client:ManualCall.__init__": USERS,
    "record.client:ManualCall.__enter__": USERS,
    "record.client:ManualCall.__exit__": USERS,
    "record.client:ManualCall.__aenter__": USERS,
    "record.client:ManualCall.__aexit__": USERS,
    "record.client:ManualCall.first_token": USERS,
    "record.client:ManualCall.usage": USERS,
    "record.client:ManualCall.finish": USERS,
    "record.client:ManualCall.response": USERS,
    "record.client:ManualCall.metadata": USERS,
    "record.decorator:_wrap.<locals>.wrapper": USERS,
    "record.decorator:_wrap_async.<locals>.wrapper": USERS,
    "record.decorator:_wrap_generator.<locals>.wrapper": USERS,
    "record.decorator:_wrap_async_generator.<locals>.wrapper": USERS,
    "record.transport:Orphan.__del__": COLLECTORS,
    "record.transport:_Reaper._watch": COLLECTORS,
}
"""Functions that may raise through to the user if they fail themselves, and why that is so."""

DAMAGED = "what it cannot inflate counts as a damaged body, which is no fault of ours"
UNCOUNTED = {
    "record.framing:_zlib.<locals>.<lambda>": DAMAGED,
    "record.framing:_deflate.<locals>.inflate": DAMAGED,
    "record.framing:_brotli.<locals>.inflate": DAMAGED,
    "record.framing:_zstd.<locals>.inflate": DAMAGED,
}

COUNTING = {
    *("record.metrics:ClientMetrics.end", "record.recording:Recording._uncount", "record.client:ManualCall._uncount"),
}
"""Where a fault leaves a call in flight in the metric: what counts it down."""

ITS_READING = {
    "record.content.capture:_Aloud.__init__",
    "record.content.capture:_Aloud.feed",
    "record.content.capture:_Aloud._take",
    "record.content.capture:Captured.feed",
    "record.content.capture:Captured.reading",
}
"""What of the capture of content stands in the reading itself; everything else that fails loses content alone."""

CONTENT = {*semconv.CONTENT, semconv.TRUNCATED}

MEASURED = {semconv.ENERGY, semconv.ENERGY_IDLE, semconv.ENERGY_METHOD, semconv.CONNECTION_WAIT}
"""What the machine says of a call, or does not: cards are asked ten times a second, a server on loopback counts as one
of this host, and a connection may be there already."""

SDK = [(Tracer, "start_span"), (Span, "set_attributes"), (Span, "set_status"), (_Histogram, "record")]
"""What of the SDK itself may fail."""


def play(recorded, server, scene):
    """Play a scene from scratch; what its user sees, once every span has ended."""
    transport._patched["tap"].recorder = None
    recorded.take()
    recorded.started.clear()
    boundary.reset()
    seen = scenes.play(server, scene)
    deadline = time.monotonic() + 2
    while len(recorded.spans) < len(recorded.started) and time.monotonic() < deadline:
        time.sleep(0.005)
    return seen


def begun(recorded):
    return len(recorded.started), len(recorded.spans)


def in_flight(recorded):
    recorder = transport._patched["tap"].recorder
    return sum(recorder.metrics._active.values()) if recorder is not None else 0


@pytest.fixture(autouse=True)
def _own_prices(monkeypatch):
    """Other people's table of prices takes a second to load."""
    monkeypatch.setattr(tariff, "_PACKAGE", "otel_llm_has_no_such_package")


@pytest.fixture
def config():
    """All that may look at a call looks at it."""
    meter = Meter()
    transport.configure(Config(), meter.begin)
    yield Config()
    transport.configure(Config())
    meter._servers.clear()  # calls that a fault left open there would keep its thread


@pytest.fixture
def recorded(recorded):
    """With the processors that the distro adds."""
    recorded.provider.add_span_processor(AlertProcessor(lambda: None))
    recorded.provider.add_span_processor(Sightings())
    return recorded


@pytest.fixture
def ran(recorded, server, request, monkeypatch, cards):
    """A scene, what of ours runs in it, and what its user sees."""
    scene = request.param
    if scene[0] is scenes.Content:
        monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "SPAN_AND_EVENT")
    play(recorded, server, scene)  # what runs only once has run
    with faults.watched(KNOWN) as places:
        seen = play(recorded, server, scene)
    yield scene, places, seen
    boundary.reset()


@pytest.mark.slow
@pytest.mark.parametrize("ran", scenes.CALLS, ids=scenes.name, indirect=True)
def test_a_fault_in_any_function_of_ours_is_unseen_and_counted_and_every_span_ends(recorded, server, ran):
    scene, places, expected = ran
    whole, wrong = [set(span.attributes) - CONTENT - MEASURED for span in recorded.spans], []
    for place in sorted(places, key=lambda place: place.name):
        if place.name in LEFT_OUT:
            continue
        with faults.failing(place) as calls:
            seen = play(recorded, server, scene)
        started, ended = begun(recorded)
        counted = sum(boundary.errors().values())
        if seen != expected:
            wrong.append((place.name, "seen", seen))
        if started != ended:
            wrong.append((place.name, "spans", started, ended))
        if calls and not counted and place.name not in UNCOUNTED:
            wrong.append((place.name, "uncounted", len(calls)))
        if in_flight(recorded) and place.name not in COUNTING:
            wrong.append((place.name, "in flight", in_flight(recorded)))
        if place.name.startswith("record.content.") and place.name not in ITS_READING:
            told = [set(span.attributes) - CONTENT - MEASURED for span in recorded.spans]
            if told != whole:
                wrong.append((place.name, "lost", told))
    assert wrong == []
    assert places


def test_everything_that_is_left_out_exists_and_has_a_reason():
    names = {place.name for place in KNOWN.values()}
    assert {*LEFT_OUT, *UNCOUNTED} <= names
    assert all(LEFT_OUT.values())


def test_a_function_that_fails_is_really_replaced(recorded, server):
    place = next(place for place in KNOWN.values() if place.name == "record.reading:Reading.feed")
    with faults.failing(place) as calls:
        play(recorded, server, (scenes.Httpx2, "read", "stream", scenes.CHAT))
    boundary.reset()
    assert calls == ["record.reading:Reading.feed"]  # and is not called again


@pytest.fixture
def faulty(monkeypatch):
    """Makes a method fail."""

    def break_(holder, name):
        def fail(*_args, **_more):
            raise faults.Injected

        monkeypatch.setattr(holder, name, fail)

    yield break_
    boundary.reset()


@pytest.mark.parametrize(("holder", "name"), SDK, ids=[name for _, name in SDK])
@pytest.mark.parametrize("case", ["stream", "inband"])
def test_a_fault_of_the_sdk_is_unseen_and_what_started_ends(recorded, server, faulty, case, holder, name):
    scene = (scenes.Httpx2, "read", case, scenes.CHAT)
    expected = play(recorded, server, scene)
    faulty(holder, name)
    assert play(recorded, server, scene) == expected
    started, ended = begun(recorded)
    assert started == ended


def test_a_fault_is_a_metric(recorded, server, faulty):
    faulty(Reading, "finish")
    scenes.play(server, (scenes.Httpx2, "read", "stream", scenes.CHAT))
    (point,) = recorded.points()[semconv.METRIC_SELF_ERRORS]
    assert (point.value, dict(point.attributes)) == (1, {semconv.SELF_WHERE: "record.read"})


@pytest.mark.parametrize("name", ["_observe_operations", "_observe_active", "_observe"])
def test_a_fault_while_metrics_are_collected_costs_those_alone(recorded, server, name):
    scenes.play(server, (scenes.Httpx2, "read", "stream", scenes.CHAT))
    place = next(place for place in KNOWN.values() if place.name == f"record.metrics:ClientMetrics.{name}")
    with faults.failing(place):
        assert semconv.METRIC_OPERATION_DURATION in recorded.points()
    boundary.reset()


def test_facts_that_were_gathered_before_a_fault_are_kept(recorded, server, faulty):
    faulty(Reading, "finish")
    scenes.play(server, (scenes.Httpx2, "read", "stream", scenes.CHAT))
    (span,) = recorded.spans
    assert span.attributes[semconv.OUTCOME] == "completed"
    assert span.attributes[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
    assert span.attributes[semconv.TIME_TO_FIRST_TOKEN] > 0
