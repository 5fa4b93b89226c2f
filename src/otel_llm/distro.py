"""The one place that wires the parts together: distro, configurator, hooks, ``otel_llm.instrument()``.

Whoever configured the SDK (this distribution, another one, ``OTEL_CONFIG_FILE``, the application itself), the parts are
added to the providers in one way: `attach`. Nothing here opens a file or starts a thread; the store does at its first
span. A fault of ours is told once and the application runs on.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import wrapt
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, id_generator

from otel_llm import boundary, config, exporting, leaving, logs, semconv, upkeep
from otel_llm.alert.processor import AlertProcessor
from otel_llm.alert.settings import Config as AlertConfig
from otel_llm.gate import importing
from otel_llm.ledger import Ledger, LocalLedger
from otel_llm.probe import driver, sources
from otel_llm.probe.accounts import Accounts
from otel_llm.probe.loops import Loops
from otel_llm.probe.observation import Observer
from otel_llm.probe.reporter import Reporter
from otel_llm.probe.settings import Config as ProbeConfig
from otel_llm.probe.sightings import Sightings
from otel_llm.record import content, peers, transport
from otel_llm.record.ids import IdGenerator
from otel_llm.record.sampling import RecordInferences
from otel_llm.store import database, exporters

_SHORTEST_INTERVAL: Final = 0.1
"""Between two collections of metrics into the store, whatever the setting says [s]."""

_FIRST_LOOK: Final = 0.5
"""From the first call until the machine is looked at [s]: a short program has utilisations too, at its exit."""

_EXIT_BUDGET: Final = 1.0
"""Most time that the store may take of the process's exit [s]."""

_LAST_BURST: Final = 0.6
"""Most time that forwarding may take of it [s]: what it does not send is in the store for the next process."""

_OTLP_MODULE: Final = "opentelemetry.exporter.otlp."

_lock = threading.RLock()
_attached: dict[str, Any] = {}
"""By signal, the provider that the store is attached to; ``database`` and ``settings`` once they are known."""

_upkeep: Final = upkeep.Upkeep()
_loops: Final = Loops()


class Configurator(_OTelSDKConfigurator):
    """Entry point ``opentelemetry_configurator``: the SDK as the environment says it, and the parts attached."""

    def _configure(self, **settings: Any) -> None:
        if os.environ.get("OTEL_CONFIG_FILE"):
            super()._configure()  # type: ignore[no-untyped-call]
        else:
            defaults: dict[str, str] = {}
            with boundary.guard("distro.defaults"):
                chosen = _settings(None)
                defaults = exporting.for_sdk(os.environ, _forwarded(chosen))
                if chosen.store.enabled and chosen.store.path:
                    defaults |= exporting.origins(os.environ, Path(chosen.store.path))
            with exporting.environment(defaults):
                super()._configure(**settings)  # type: ignore[no-untyped-call]
        with boundary.guard("distro.leaving"):
            # Providers that we set up, before the store is added: the store bounds itself.
            providers = (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider())
            parts = leaving.exporting_parts(*providers)
            leaving.bound(parts)
            _upkeep.exports.follow(parts)
            _register_exit()
        ensure_attached()


def __getattr__(name: str) -> Any:
    """`Distro`, as its entry point names it: what it derives from takes longer to load than all of ours."""
    if name == "Distro":
        return import_module("otel_llm.arriving").Distro
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def ensure_attached() -> None:
    """Attach the parts to the providers that are set; entry point ``opentelemetry_pre_instrument``. Never raises."""
    with boundary.guard("distro.attach"):
        attach()


def attach(arguments: Mapping[str, object] | None = None) -> None:
    """Add store, sampler and ids to the SDK's providers, each once; set up the tap and logging.

    Args:
        arguments: Settings by dotted key; they win over YAML and environment.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    with _lock:
        settings = _settings(arguments)
        transport.configure(settings.record, partial(_witness, settings.probe), settings.cost)
        for part in (
            _harden,
            _attach_store,
            _attach_forwarding,
            _attach_probe,
            _attach_fleet,
            _attach_alerts,
            _attach_preload,
        ):
            with boundary.guard("distro.attach"):  # one that fails costs no other
                part(settings)


def _settings(arguments: Mapping[str, object] | None) -> config.Settings:
    """The settings of this process; faults are told the first time."""
    if "settings" not in _attached or arguments:
        loaded = config.load(arguments=arguments)
        _attached["settings"] = loaded.settings
        with boundary.guard("distro.log"):
            logs.set_up(loaded.settings.log)
        for fault in loaded.faults:
            boundary.logger.warning("%s; using what stood before", fault)
    settings: config.Settings = _attached["settings"]
    return settings


def _witness(settings: ProbeConfig, address: str | None, port: int | None) -> Any:
    """A call begins: watch its event loop, and have its server's energy measured, where that is on this host."""
    if settings.host:
        _loops.note()
    return _energy(address, port) if settings.gpu else None


def _energy(address: str | None, port: int | None) -> Any:
    """A ticket that says at the call's end what it took; ``None`` where that is not to be known."""
    if "meter" not in _attached:
        _attached["meter"] = None
        if driver.library_fault() is None:
            from otel_llm.probe.meter import Meter  # noqa: PLC0415 - only where there are cards

            _attached["meter"] = Meter()
    meter = _attached["meter"]
    return meter.begin(address, port) if meter is not None else None


def _attach_preload(_settings: config.Settings) -> None:
    """Have `_preload` called once."""
    if "preload" not in _attached:
        _attached["preload"] = True
        for library in transport.LIBRARIES:
            wrapt.register_post_import_hook(_preload, library)


def _preload(_module: Any) -> None:
    """Import what the first call will need while the application imports its HTTP client, not during the call."""
    with boundary.guard("distro.preload"):
        for name in ("otel_llm.record.recording", "otel_llm.store.writer"):
            import_module(name)
        if driver.library_fault() is None:
            import_module("otel_llm.probe.meter")
        settings = _attached.get("settings")
        if settings is not None and settings.redis.url:
            with suppress(ImportError):  # who asks Redis tells that the extra is missing
                import_module("redis.cluster")


def _harden(_settings: config.Settings) -> None:
    """Keep ids unique under ``random.seed()``, calls single, and unsampled inferences visible to processors."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return
    if type(provider.id_generator) is id_generator.RandomIdGenerator:
        provider.id_generator = IdGenerator()  # type: ignore[assignment]
    if not isinstance(provider.sampler, RecordInferences):
        provider.sampler = RecordInferences(provider.sampler)
    peers.watch(provider)


def _attach_store(settings: config.Settings) -> None:
    """Have spans, metrics and logs kept, each signal unless the environment names other exporters for it."""
    if not settings.store.enabled:
        return
    store = _attached["database"] = _upkeep.store = database.shared(settings.store.path, settings.store)
    _register_exit()
    providers = {
        "traces": trace.get_tracer_provider(),
        "metrics": metrics.get_meter_provider(),
        "logs": get_logger_provider(),
    }
    for signal, provider in providers.items():
        if _attached.get(signal) is provider or exporting.STORE not in exporting.names(signal, os.environ):
            continue
        if signal == "traces" and hasattr(provider, "add_span_processor"):
            provider.add_span_processor(exporters.StoreSpanProcessor(store))
        elif signal == "metrics" and hasattr(provider, "add_metric_reader"):
            _attached["reader"] = exporters.StoreMetricReader(store, max(settings.probe.interval, _SHORTEST_INTERVAL))
            provider.add_metric_reader(_attached["reader"])
        elif signal == "logs" and hasattr(provider, "add_log_record_processor"):
            provider.add_log_record_processor(exporters.StoreLogProcessor(store))
        else:
            continue
        _attached[signal] = provider


def _attach_forwarding(settings: config.Settings) -> None:
    """Have the store's content sent on; begins with the first thing that is stored."""
    store = _attached.get("database")
    if not settings.forward or store is None or "forwarders" in _attached:
        return
    _attached["forwarders"] = ()
    signals = [signal for signal in _forwarded(settings) if signal in _attached]
    if not signals:
        boundary.logger.warning("forward: expected OTEL_EXPORTER_OTLP_ENDPOINT or one of its like; nothing is sent")
        return
    own = [signal for signal in signals if leaving.exports_with(_OTLP_MODULE, _attached[signal])]
    for signal in own:
        boundary.logger.warning("forward: %s go out through the application's own OTLP exporter; not forwarded", signal)
    from otel_llm.store.forwarding import forwarders  # noqa: PLC0415 - only for who forwards

    remaining = [signal for signal in signals if signal not in own]
    made, faults = forwarders(store.path, os.environ, remaining, since=time.time_ns())
    for fault in faults:
        boundary.logger.warning("forward: %s; nothing is sent there", fault)
    for forwarder in made:
        store.at_first(forwarder.start)
        store.at_last(partial(forwarder.stop, _LAST_BURST))
    _attached["forwarders"] = _upkeep.forwarders = tuple(made)


def _attach_probe(settings: config.Settings) -> None:
    """Have the machine read whenever a reader collects; once a host for whatever goes to the same place."""
    provider = metrics.get_meter_provider()
    sightings = Sightings()
    if _attached.get("probed") is provider:
        return
    accounts = Accounts(_upkeep.fates, _upkeep.depths, _upkeep.joined)
    offers = sources.offered(settings.probe, sightings, _loops, accounts)
    ends = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    place = "\n".join((_kept(settings, "metrics") or "", *(os.environ.get(name, "") for name in ends)))
    observer = Observer(offers, interval=max(settings.probe.interval, _SHORTEST_INTERVAL), reporter=Reporter(place))
    observer.register(provider.get_meter(semconv.SCOPE_NAME, semconv.SCOPE_VERSION))
    _attached.update(probed=provider, observer=observer)
    add = getattr(trace.get_tracer_provider(), "add_span_processor", None)
    if settings.probe.server and add is not None:
        add(sightings)
    if "database" in _attached:
        _look_soon(_attached["database"], observer)


def _attach_alerts(settings: config.Settings) -> None:
    """Have finished calls and the machine's readings judged; the engine is loaded at the first of them."""
    provider = trace.get_tracer_provider()
    add = getattr(provider, "add_span_processor", None)
    if _attached.get("judged") is provider or add is None:
        return
    # One for a process, whatever its providers: it is what the engine takes from.
    processor = _attached.setdefault("processor", AlertProcessor(partial(_judge, settings)))
    add(processor)
    _attached["judged"] = provider
    _upkeep.alerts = processor
    observer = _attached.get("observer")
    if observer is not None and _attached.get("heard") is not observer:
        observer.subscribe(processor.take)
        _attached["heard"] = observer
    _register_exit()


def _attach_fleet(settings: config.Settings) -> None:
    """Have other hosts told of this process's calls; the engine's ledger says when."""
    provider = trace.get_tracer_provider()
    add = getattr(provider, "add_span_processor", None)
    if not settings.redis.url or add is None or _attached.get("published") is provider:
        return
    from otel_llm.fleet import wiring  # noqa: PLC0415 - nobody else pays
    from otel_llm.store.minutes import Minutes  # noqa: PLC0415

    publisher = wiring.publisher(settings.redis, getattr(provider, "resource", Resource({})).attributes, Minutes)
    add(publisher)
    _attached.update(published=provider, publisher=publisher)


def _judge(settings: config.Settings) -> None:
    """Start the engine, of this process, unless it runs."""
    engine = _attached.get("engine")
    if engine is not None:
        engine.start()
    elif _attached.get("engine_loading") != os.getpid():
        _attached["engine_loading"] = os.getpid()
        threading.Thread(target=_load_engine, args=(settings,), name="otel-llm-alerts-load", daemon=True).start()


def _load_engine(settings: config.Settings) -> None:
    """Make the engine and start it; on a thread of its own, for its modules take a while to load."""
    with boundary.guard("distro.alerts"):
        with importing.lock:
            from otel_llm.alert import clock, engine, telling  # noqa: PLC0415
            from otel_llm.store.ledger import SqliteLedger  # noqa: PLC0415

            outlet = _outlet(settings.alerts)
        alerts, path = settings.alerts, _kept(settings, "traces")
        judge = engine.Engine(
            _attached["processor"],
            engine.load_rules(alerts.rules, defaults=alerts.defaults, webhook=alerts.webhook),
            ledger=_ledger(settings, partial(SqliteLedger, Path(path), clock.boot()) if path else None),
            outlet=outlet,
            file=alerts.rules,
            gauge_interval=settings.probe.interval,
        )
        judge.watch(telling.emit)
        if leaving.has_begun():  # a short program: the SDK would complain of a provider that is shut down
            return
        meter = metrics.get_meter_provider().get_meter(semconv.SCOPE_NAME, semconv.SCOPE_VERSION)
        telling.register(meter, judge, outlet)
        _attached["engine"] = judge
        judge.start()


def _ledger(settings: config.Settings, local: Callable[[], LocalLedger] | None) -> Callable[[], Ledger] | None:
    """Opens what outlives the process: the host's own ledger, or the fleet's in front of it."""
    if not settings.redis.url:
        return local
    from otel_llm.alert import clock  # noqa: PLC0415
    from otel_llm.alert.memory import MemoryLedger  # noqa: PLC0415
    from otel_llm.fleet import wiring  # noqa: PLC0415

    resource = getattr(trace.get_tracer_provider(), "resource", None)
    said = getattr(resource, "attributes", {})
    store = str(settings.store.path) if local is not None else f"process {os.getpid()}"
    here = wiring.Here(local=local or MemoryLedger, store=store, boot=clock.boot(), now=clock.now)
    opener = wiring.opener(settings.redis, said, here, _attached.get("publisher"))

    def opened() -> Ledger:
        ledger = opener()
        _upkeep.fleet = os.getpid(), lambda: ledger.joined
        return ledger

    return opened


def _outlet(alerts: AlertConfig) -> Any:
    """Who tells people: this process, an Alertmanager, or nobody."""
    if alerts.mode == "local":
        from otel_llm.alert.post import LatePost  # noqa: PLC0415

        return LatePost()
    if alerts.mode == "alertmanager":
        from otel_llm.alert import alertmanager  # noqa: PLC0415

        if alerts.url and alertmanager.is_url(alerts.url):
            return alertmanager.Alertmanager(alerts.url)
        boundary.logger.warning("alerts.url: expected where Alertmanager listens; nobody is told of alerts")
    return None


def _look_soon(store: database.Database, observer: Observer) -> None:
    """Have the machine looked at once, soon after the first call."""

    def look() -> None:
        cancel()
        observer.readings()

    cancel = store.every(_FIRST_LOOK, look)


def _register_exit() -> None:
    """Have `_leave` called at exit; registered after the SDK's own handlers and so called before them."""
    if "exit" not in _attached:
        _attached["exit"] = True
        atexit.register(_leave)


def _kept(settings: config.Settings, signal: str) -> str | None:
    """The store that keeps ``signal``, if any."""
    is_named = exporting.STORE in exporting.names(signal, os.environ)
    return settings.store.path if settings.store.enabled and is_named else None


def _forwarded(settings: config.Settings) -> tuple[str, ...]:
    """The signals that go out of the store instead of through the SDK's OTLP exporter."""
    return exporting.for_both(os.environ) if settings.forward and settings.store.enabled else ()


def instrument(
    settings: Mapping[str, object] | None = None,
    *,
    redact: content.Redact | None = None,
) -> None:
    """Do in one line what ``opentelemetry-instrument`` does: for notebooks, tests and plain scripts.

    Providers that the application has set are used as they are; without any, the SDK is set up as the environment
    says. Calling it again changes nothing. It never raises for a fault of its own.

    Args:
        settings: By dotted key, e.g. ``{"store.path": "calls.db"}``; they win over YAML and environment.
        redact: Is given the content of each call, messages by attribute, before it goes anywhere, and returns what may;
            ``None`` for nothing. Where it raises, the call's content is dropped.
    """
    with boundary.guard("distro.instrument"), _lock:
        if redact is not None:
            content.redact_with(redact)
        if settings:
            _settings(settings)
        if not isinstance(trace.get_tracer_provider(), TracerProvider):
            Configurator().configure()  # type: ignore[no-untyped-call]
        attach(settings)
        if not transport.is_on():
            transport.switch_on()


def uninstrument() -> None:
    """Stop recording calls. Providers, and what they export to, stay as they are."""
    with boundary.guard("distro.uninstrument"):
        transport.switch_off()


def flush(timeout: float = 5.0) -> bool:
    """Have everything recorded so far exported and on disk.

    Args:
        timeout: Most time to wait [s].

    Returns:
        Whether it was done in time.
    """
    done = threading.Event()
    deadline = time.monotonic() + timeout
    results: list[bool] = []

    def work() -> None:
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
            force = getattr(provider, "force_flush", None)
            if force is not None:
                results.append(False)
                with boundary.guard("distro.flush"):
                    results[-1] = force(int(timeout * 1000)) is not False
        done.set()

    with boundary.guard("distro.flush"):
        transport.reaper.drain()
    with boundary.guard("distro.flush"):
        # On a thread: the SDK's own flush does not keep to its time-out.
        threading.Thread(target=work, name="otel-llm-flush", daemon=True).start()
        stored = _attached["database"].flush(timeout) if "database" in _attached else True
        return done.wait(max(0.0, deadline - time.monotonic())) and stored and all(results)
    return False


def _leave() -> None:
    """At exit: end the calls that are open, collect metrics once more, and have all of it on disk."""
    parts = (leaving.begin, transport.end_all, _finish_probe, _finish_alerts, _finish_metrics, _finish_store)
    for part in (*parts, _finish_forwarding):
        with boundary.guard("distro.leave"):  # one that fails costs no other
            part()


def _finish_probe() -> None:
    if "observer" in _attached:
        _attached["observer"].finish()


def _finish_alerts() -> None:
    if "engine" in _attached:
        _attached["engine"].stop(min(_EXIT_BUDGET / 2, leaving.remaining()))


def _finish_metrics() -> None:
    store, reader = _attached.get("database"), _attached.get("reader")
    if store is not None and reader is not None and store.stats().seen:
        # The SDK shuts down only the readers that it was given at its start.
        reader.shutdown()


def _finish_store() -> None:
    if "database" in _attached:
        _attached["database"].flush(min(_EXIT_BUDGET, leaving.remaining()))


def _finish_forwarding() -> None:
    deadline = time.monotonic() + min(_LAST_BURST, leaving.remaining())
    for forwarder in _attached.get("forwarders", ()):
        forwarder.stop(max(0.0, deadline - time.monotonic()))
