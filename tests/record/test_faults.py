"""Whatever of ours fails, the application sees nothing of it, every span that started ends and the fault is counted.

Each function of ours that runs during a call is made to raise, in turn, in each of the `scenes.CALLS` in which it runs.
"""

import sys
import time
from types import SimpleNamespace

import pytest
import scenes
from opentelemetry.sdk.metrics._internal.instrument import _Histogram
from opentelemetry.sdk.trace import Span, Tracer

import test_distro_faults
from otel_llm import boundary, semconv, shortcut, supervisor
from otel_llm.alert.processor import AlertProcessor
from otel_llm.probe.meter import Meter
from otel_llm.probe.sightings import Sightings
from otel_llm.record import in_process, metrics, queues, recording, registry, tally, tariff, transport
from otel_llm.record.ids import IdGenerator
from otel_llm.record.reading import Reading
from otel_llm.record.sampling import RecordInferences
from otel_llm.record.settings import Config, CostConfig
from parts import faults

ROOMS = (
    *("otel_llm.record", "otel_llm.calls", "otel_llm.redaction"),
    *("otel_llm.alert.processor", "otel_llm.probe.sightings", "otel_llm.probe.meter", "otel_llm.probe.energy"),
    *("otel_llm.listeners", "otel_llm.shortcut", "otel_llm.labour", "otel_llm.supervisor"),
)
KNOWN = faults.places(*ROOMS)

LIBRARYS = "stands in the place of the library's own function: what it does itself is call ours, one by one, guarded"
USERS = "called by the user, to be handed what it makes; it only keeps what it is given"
GUARDED = "nothing but a guard and what stands in it"
THREADS = "a thread's first frame: what it does itself is call ours, guarded"
COLLECTORS = "called by the garbage collector, which tells an exception on stderr and goes on"
SDKS = "called by the SDK in a span's beginning or end: all that it does itself is call ours, guarded"
DECIDES = "called by the SDK in every span's beginning: a few steps on values that the SDK made"
COLLECTS = "called by the SDK as it collects metrics, which tells of what it raises and goes on"
LAST = "ends a call after another fault of ours: nothing is left to mend its own"
LEFT_OUT = {
    "record.ids:IdGenerator.generate_span_id": DECIDES,
    "record.ids:IdGenerator.generate_trace_id": DECIDES,
    "record.ids:IdGenerator.is_trace_id_random": DECIDES,
    "record.sampling:RecordInferences.should_sample": DECIDES,
    "record.metrics:ClientMetrics._observe_active": COLLECTS,
    "record.metrics:ClientMetrics._observe_limits": COLLECTS,
    "record.metrics:ClientMetrics._observe_operations": COLLECTS,
    "record.metrics:ClientMetrics._observe_spent": COLLECTS,
    "record.metrics:_observe_depths": COLLECTS,
    "record.metrics:_observe_errors": COLLECTS,
    "record.metrics:_observe_unpriced": COLLECTS,
    "record.client:ManualCall.content": USERS,
    "record.client:ManualCall.give_up": LAST,
    "supervisor:Loop._run": THREADS,
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
    "record.client:current_call": USERS,
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
TRIED = "tries out a way round the SDK, which is not taken where that fails"
UNCOUNTED = {
    "shortcut:_agree": TRIED,
    **{
        f"record.spans:{name}": TRIED
        for name in (
            *("_agree", "_around", "_filled", "_same", "_twin", "_Pattern.__init__", "_Pattern.begin"),
            *("_Pattern.fits", "_Pattern._make", "_Twins.__init__", "_Twins.should_sample"),
            *("_Twins.generate_span_id", "_Twins.generate_trace_id", "_Twins.is_trace_id_random", "_Twins.on_start"),
        )
    },
    "record.framing:_unreadable": DAMAGED,
    "record.framing:_zlib.<locals>.<lambda>": DAMAGED,
    "record.framing:_deflate.<locals>.inflate": DAMAGED,
    "record.framing:_brotli.<locals>.inflate": DAMAGED,
    "record.framing:_zstd.<locals>.inflate": DAMAGED,
}

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

PRICES = """\
models:
  odd: 5
  m-1: {input: 1, output: 2, above: {1000: {input: 2, output: 3}}, tiers: {batch: {input: 0.5, output: 1}}}
gpu_hour:
  127.0.0.1: {price: 2, gpus: 2}
  "*": 1
"""

DOORS = "no function of ours: what others, or its kinds, have to have"
IMPORTED = "runs while modules are imported"
SWITCHED = "runs while the tap is switched on or off, or the process ends: `test_distro_faults` makes it fail"
ONCE = "tries out, once in a process, a way round the SDK that is not taken where that fails"
MADE = "runs once, as a tap or a recorder is made, behind a boundary that is tried"
ASKED = "what the SDK or the user asks of it beside calls"
SUPERVISED = "runs on a thread of its own, which the supervisor begins again: as its time allows, or not at all"
FORKED = "runs in a forked child, whose hooks Python tells of and goes on"
ELSEWHERE = (
    "only where the host has another library or system; all that calls it stands behind a boundary that is tried"
)
UNREACHED = {
    "record.exchange:Format.PATHS": DOORS,
    "record.exchange:Format.open": DOORS,
    "record.exchange:Format.read": DOORS,
    "record.in_process:Read.__call__": DOORS,
    "record.peers:Told.tell_so_far": DOORS,
    "record.queues:_Block.__enter__": DOORS,
    "record.queues:_Block.__exit__": DOORS,
    "record.metrics:Closing.close": DOORS,
    "record.metrics:Closing.key": DOORS,
    "record.tariff:Tariff.find": DOORS,
    "record.tariff:Tariff.name": DOORS,
    "calls:_attribute": IMPORTED,
    "calls:_kind": IMPORTED,
    "record.decorator:_wrap": IMPORTED,
    "record.decorator:_wrap_async": IMPORTED,
    "record.decorator:_wrap_async_generator": IMPORTED,
    "record.decorator:_wrap_generator": IMPORTED,
    "record.decorator:traced": IMPORTED,
    "record.decorator:traced.<locals>.decorate": IMPORTED,
    "record.in_process:wrapper": IMPORTED,
    "record.local.llama_cpp:patch": IMPORTED,
    "record.local.transformers:patch": IMPORTED,
    "record.local.vllm:patch": IMPORTED,
    "record.local.xllamacpp:patch": IMPORTED,
    "record.shells.aiohttp:patch": IMPORTED,
    "record.shells.httpx:patch": IMPORTED,
    "record.shells.urllib3:patch": IMPORTED,
    "record.transport:_patch": IMPORTED,
    "record.transport:_Reaper.__init__": IMPORTED,
    "alert.processor:AlertProcessor.__init__": SWITCHED,
    "alert.processor:Intake.__init__": SWITCHED,
    "probe.sightings:Sightings.__init__": SWITCHED,
    "record.instrumentor:WireInstrumentor.instrument": SWITCHED,
    "record.instrumentor:WireInstrumentor.instrumentation_dependencies": ASKED,
    "record.instrumentor:WireInstrumentor.is_instrumented_by_opentelemetry": ASKED,
    "record.sampling:RecordInferences.__init__": SWITCHED,
    "record.transport:__getattr__": SWITCHED,
    "record.transport:configure": SWITCHED,
    "record.transport:end_all": SWITCHED,
    "record.transport:switch_off": SWITCHED,
    "record.transport:switch_on": SWITCHED,
    "record.transport:_Reaper.drain": SWITCHED,
    "record.transport:_Tap.__init__": SWITCHED,
    "supervisor:Loop.__init__": SWITCHED,
    "supervisor:Loop._begin_anew": SWITCHED,
    "probe.meter:Meter.__init__": MADE,
    "probe.meter:Meter._begin_anew": MADE,
    "record.content.capture:_load": MADE,
    "record.content:redact_with": MADE,
    "record.recording:_global_metrics": MADE,
    "record.instrumentor:WireInstrumentor.uninstrument": ASKED,
    "record.transport:tapped": ASKED,
    "alert.processor:AlertProcessor.force_flush": ASKED,
    "alert.processor:AlertProcessor.shutdown": ASKED,
    "labour:spent": ASKED,
    "record.queues:Ticket.waited": ASKED,
    "record.sampling:RecordInferences.get_description": ASKED,
    "supervisor:Loop.standing": ASKED,
    "supervisor:Loop.stop": ASKED,
    "supervisor:standing": ASKED,
    "supervisor:standing.<locals>.<lambda>": ASKED,
    "alert.processor:_begin_anew": FORKED,
    "record.metrics:ClientMetrics._begin_anew": FORKED,
    "record.queues:Queue.forget": FORKED,
    "record.queues:_forget_all": FORKED,
    "listeners:_processes_elsewhere": ELSEWHERE,
    "record.framing:_at_once": ELSEWHERE,
    "record.framing:_at_once.<locals>.<lambda>": ELSEWHERE,
    "record.tariff:Best._load": ELSEWHERE,
    "record.tariff:GenaiPrices.__init__": ELSEWHERE,
    "record.tariff:GenaiPrices.find": ELSEWHERE,
    "record.tariff:GenaiPrices.models": ELSEWHERE,
    "record.tariff:_aliases": ELSEWHERE,
    "record.tariff:_plan": ELSEWHERE,
    "record.tariff:_price": ELSEWHERE,
    "record.tariff:_rate": ELSEWHERE,
    "record.histogram:_leads_there": ONCE,
    "record.histogram:_agree": ONCE,
    "record.histogram:_contexts": ONCE,
    "record.histogram:_points": ONCE,
    "record.histogram:_told": ONCE,
    "record.metrics:ClientMetrics.give_up": SUPERVISED,
    "alert.processor:AlertProcessor.take": SUPERVISED,
    "alert.processor:Intake.dropped": SUPERVISED,
    "alert.processor:Intake.oldest": SUPERVISED,
    "alert.processor:Intake.take": SUPERVISED,
    "listeners:_parent": SUPERVISED,
    "listeners:processes": SUPERVISED,
    "probe.energy:Ledger._apportion": SUPERVISED,
    "probe.energy:Ledger._at": SUPERVISED,
    "probe.energy:Ledger._covers": SUPERVISED,
    "probe.energy:Ledger.forget": SUPERVISED,
    "probe.energy:Ledger.is_open": SUPERVISED,
    "probe.energy:Ledger.note": SUPERVISED,
    "probe.meter:Meter._run": SUPERVISED,
    "probe.meter:Meter._sample": SUPERVISED,
    "probe.meter:Meter._scope": SUPERVISED,
    "record.transport:_Reaper.rest": SUPERVISED,
    "supervisor:Loop._crashed": SUPERVISED,
    "supervisor:Loop._rest": SUPERVISED,
    "supervisor:Loop._finish": SUPERVISED,
    "supervisor:Loop.is_own": SUPERVISED,
    "supervisor:Loop.retire": SUPERVISED,
    "supervisor:pause": SUPERVISED,
}
"""Functions that run in none of the scenes, and why; what `SUPERVISED` has may run in some."""

KEPT = [
    *(tally.identity.cache_clear, recording._start.cache_clear, in_process._seen.clear, shortcut._trusted.clear),
    queues._queues.clear,
]
"""Empties what keeps a result of ours for the next call."""

SDK = [(Tracer, "start_span"), (Span, "set_attributes"), (Span, "set_status"), (_Histogram, "record")]
"""What of the SDK itself may fail."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Calls are measured without waiting for others: here each scene waits until they are."""
    monkeypatch.setattr(metrics, "_GATHERED", 0.0)


def begin_anew(recorded):
    """Forget whatever makes a function run only once, threads of ours among it."""
    transport.reaper._loop.stop(1)
    transport.reaper._loop = supervisor.Loop("reaper", transport.reaper._run, where="record.reaper")
    transport._patched["tap"].recorder = None
    for forget in KEPT:
        forget()
    recorded.take()
    recorded.started.clear()
    boundary.reset()


def play(recorded, server, scene):
    """What a scene's user sees, once every span has ended and is measured."""
    seen = scenes.play(server, scene)
    await_that(lambda: not is_busy(recorded))
    return seen


def await_that(condition):
    """Wait until ``condition`` holds, or has had its time."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)


def is_busy(recorded):
    """Whether a span is open; where all went well, whether one is to be measured."""
    recorder = transport._patched["tap"].recorder
    waits = recorder is not None and (recorder.metrics._ended or recorder.metrics._measuring.locked())
    return len(recorded.spans) < len(recorded.started) or bool(waits and not boundary.errors())


def begun(recorded):
    """Which spans started, and which ended."""
    return tuple(sorted(span.get_span_context().span_id for span in of) for of in (recorded.started, recorded.spans))


def in_flight(recorded):
    recorder = transport._patched["tap"].recorder
    return len(recorder.open) if recorder is not None else 0


@pytest.fixture(autouse=True)
def _prices_and_formats(monkeypatch):
    """Other people's table of prices takes a second to load. Another package brings a format that takes nothing."""
    monkeypatch.setattr(tariff, "_PACKAGE", "otel_llm_has_no_such_package")
    talk = SimpleNamespace(PATHS=("/talk",), open=lambda _request, _hosts: None, read=lambda _message, _facts: False)
    point = SimpleNamespace(name="talk", load=lambda: talk)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] * (group == registry.GROUP))


@pytest.fixture
def config(monkeypatch):
    """All that may look at a call looks at it."""
    meter = Meter()
    settings = Config(paths={"/llm/talk": "openai"})
    transport.configure(settings, meter.begin)
    monkeypatch.setattr(sys.modules[__name__], "KEPT", [*KEPT, lambda: setattr(meter, "_own", None)])
    yield settings
    transport.configure(Config())
    meter._servers.clear()  # calls that a fault left open there would keep its thread


@pytest.fixture
def recorded(recorded):
    """With what the distro adds."""
    recorded.provider.sampler = RecordInferences(recorded.provider.sampler)
    recorded.provider.id_generator = IdGenerator()
    recorded.provider.add_span_processor(AlertProcessor(lambda: None))
    recorded.provider.add_span_processor(Sightings())
    return recorded


@pytest.fixture
def arrange(recorded, request, monkeypatch, tmp_path, cards):
    """Sets up what a scene needs."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)

    def arrange(scene):
        kind = scene[0]
        monkeypatch.setattr(scenes.Scene, "recorded", recorded)
        monkeypatch.setitem(transport._patched, "cost", CostConfig(prices=prices if kind.priced else None))
        monkeypatch.delenv(semconv.CAPTURE_MESSAGE_CONTENT, raising=False)
        if kind.aloud:
            monkeypatch.setenv(semconv.CAPTURE_MESSAGE_CONTENT, "SPAN_AND_EVENT")
        if kind is scenes.InProcess:
            monkeypatch.setattr(kind, "model", request.getfixturevalue("model"))

    yield arrange
    boundary.reset()


@pytest.fixture
def ran(recorded, server, request, arrange):
    """A scene, what of ours runs in it, and what its user sees."""
    scene = request.param
    arrange(scene)
    play(recorded, server, scene)  # what runs once in a process has run
    begin_anew(recorded)
    with faults.watched(KNOWN) as places:
        seen = play(recorded, server, scene)
    return scene, places, seen


@pytest.mark.slow
def test_every_function_of_ours_runs_in_a_scene_or_is_known_not_to(recorded, server, arrange):
    ran = []
    for scene in scenes.CALLS:
        arrange(scene)
        play(recorded, server, scene)
        begin_anew(recorded)
        with faults.watched(KNOWN) as places:
            play(recorded, server, scene)
        ran.append(places)
    unreached = {place.name for place in set(KNOWN.values()).difference(*ran)}
    assert sorted(unreached - UNREACHED.keys()) == []
    assert sorted(name for name in UNREACHED.keys() - unreached if UNREACHED[name] is not SUPERVISED) == []


def failing_in(recorded, server, scene, place):
    """How often ``place`` failed in ``scene``, and what the user saw of it."""
    begin_anew(recorded)
    with faults.failing(place) as calls:
        seen = play(recorded, server, scene)
        if calls and place.name not in UNCOUNTED:
            await_that(boundary.errors)  # a thread of ours may be about to count it
        return calls, seen


@pytest.mark.slow
@pytest.mark.parametrize("ran", scenes.CALLS, ids=scenes.name, indirect=True)
def test_a_fault_in_any_function_of_ours_is_unseen_and_counted_and_every_span_ends(recorded, server, ran):
    scene, places, expected = ran
    whole, wrong = [set(span.attributes) - CONTENT - MEASURED for span in recorded.spans], []
    for place in sorted(places, key=lambda place: place.name):
        if place.name in LEFT_OUT:
            continue
        calls, seen = failing_in(recorded, server, scene, place)
        if seen != expected:  # a client may have run out of time on a machine that is shared: what is ours comes again
            calls, seen = failing_in(recorded, server, scene, place)
        started, ended = begun(recorded)
        counted = sum(boundary.errors().values())
        if seen != expected:
            wrong.append((place.name, "seen", seen))
        if started != ended:
            wrong.append((place.name, "spans", started, ended))
        if calls and not counted and place.name not in UNCOUNTED:
            wrong.append((place.name, "uncounted", len(calls)))
        if in_flight(recorded):
            wrong.append((place.name, "in flight", in_flight(recorded)))
        if place.name.startswith("record.content.") and place.name not in ITS_READING:
            told = [set(span.attributes) - CONTENT - MEASURED for span in recorded.spans]
            if told != whole:
                wrong.append((place.name, "lost", told))
    assert wrong == []
    assert places


def test_everything_that_is_left_out_exists_and_has_a_reason():
    names = {place.name for place in KNOWN.values()}
    assert {*LEFT_OUT, *UNCOUNTED, *UNREACHED} <= names
    assert all({**LEFT_OUT, **UNCOUNTED, **UNREACHED}.values())


def test_what_is_left_to_the_life_of_an_application_fails_there():
    left = {name for name, why in UNREACHED.items() if why is SWITCHED}
    there = {place.name for place in faults.places(*test_distro_faults.ROOMS).values()}
    assert left <= there - test_distro_faults.UNREACHED.keys()


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
    begin_anew(recorded)
    faulty(holder, name)
    assert play(recorded, server, scene) == expected
    started, ended = begun(recorded)
    assert started == ended


def test_a_fault_is_a_metric(recorded, server, faulty):
    faulty(Reading, "finish")
    scenes.play(server, (scenes.Httpx2, "read", "stream", scenes.CHAT))
    (point,) = recorded.points()[semconv.METRIC_SELF_ERRORS]
    assert (point.value, dict(point.attributes)) == (1, {semconv.SELF_WHERE: "record.read"})


@pytest.mark.parametrize("name", ["_observe_operations", "_observe_active", "_observe_spent"])
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
