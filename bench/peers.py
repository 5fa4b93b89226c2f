"""Who is measured beside us: what each needs in its own environment, and how an application switches it on.

Settings are each one's own defaults but for two things: nothing leaves the process, and metrics have one reader where
the instrumentation takes a meter provider. What records the content of messages by default does so here as well.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

OPENAI: Final = "openai==3.54.*"
SDK: Final = "opentelemetry-sdk==1.45.*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One arm.

    Attributes:
        requirements: As pip takes them, the SDK in the version that it allows among them.
        switch_on: Instruments this process.
        ours: Whether this project is installed beside it.
    """

    requirements: tuple[str, ...]
    switch_on: Callable[[], None]
    ours: bool = False


def python(name: str) -> Path:
    """The interpreter of the environment of the arm ``name``: made once, kept outside the tree."""
    from tests.parts.environments import environment  # noqa: PLC0415 - only who starts arms has what this needs

    return environment(*PEERS[name].requirements, ours=PEERS[name].ours)


def _providers() -> None:
    """A tracer provider that exports to nowhere and a meter provider with one reader: what an application sets up."""
    from opentelemetry import metrics, trace  # noqa: PLC0415 - an arm imports what it needs, when it is switched on
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(nowhere()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


def nowhere() -> Any:
    """An exporter that forgets spans."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the SDK's signature
            return SpanExportResult.SUCCESS

    return Nowhere()


def _sdk_floor() -> None:
    """The least that any instrumentation pays: one span of sixteen attributes, three histogram records, no reading."""
    import httpx2  # noqa: PLC0415
    from opentelemetry import metrics, trace  # noqa: PLC0415

    _providers()
    tracer, meter = trace.get_tracer("floor"), metrics.get_meter("floor")
    instruments = [meter.create_histogram(f"floor.{name}") for name in ("input", "output", "duration")]
    start: dict[str, Any] = {f"floor.start.{number}": "value" for number in range(5)}
    end: dict[str, Any] = {f"floor.end.{number}": number for number in range(11)}
    named = {f"floor.name.{number}": "value" for number in range(4)}
    send = httpx2.Client._send_single_request  # noqa: SLF001 - where otel-llm stands as well
    send_async = httpx2.AsyncClient._send_single_request  # noqa: SLF001

    def begin() -> trace.Span:
        return tracer.start_span("chat gpt-4o-mini", kind=trace.SpanKind.CLIENT, attributes=start)

    def finish(span: trace.Span, context: Any) -> None:
        span.set_attributes(end)
        for instrument in instruments:
            instrument.record(1, named, context)
        span.end()

    def sent(client: httpx2.Client, request: httpx2.Request) -> httpx2.Response:
        span = begin()
        context = trace.set_span_in_context(span)
        response = send(client, request)
        finish(span, context)
        return response

    async def sent_async(client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
        span = begin()
        context = trace.set_span_in_context(span)
        response = await send_async(client, request)
        finish(span, context)
        return response

    httpx2.Client._send_single_request = sent  # type: ignore[method-assign]  # noqa: SLF001
    httpx2.AsyncClient._send_single_request = sent_async  # type: ignore[method-assign]  # noqa: SLF001


def settling(name: str) -> Callable[[], object]:
    """What has the arm ``name`` do what it put off: its spans flushed, and measured."""
    if name == "none":
        return int
    from opentelemetry import trace  # noqa: PLC0415

    flush: Callable[[], object] = getattr(trace.get_tracer_provider(), "force_flush", int)
    if not PEERS[name].ours:
        return flush
    from otel_llm.record import transport  # noqa: PLC0415

    def settle() -> None:
        transport.recorder().metrics.measure()
        flush()

    return settle


def _sdk_configured() -> None:
    """What the store needs before any of ours is loaded: the SDK as its own configurator makes it, and SQLite."""
    import sqlite3  # noqa: PLC0415

    from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # noqa: PLC0415

    os.environ.update({f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")})
    _OTelSDKConfigurator().configure()  # type: ignore[no-untyped-call]
    sqlite = sqlite3.connect(os.environ["OTEL_LLM_STORE_PATH"], check_same_thread=False)
    sqlite.executescript("PRAGMA journal_mode = WAL; CREATE TABLE spans (id INTEGER PRIMARY KEY, name TEXT)")
    _open.append(sqlite)


_open: Final[list[Any]] = []
"""What an arm holds until its process ends."""


def kept(name: str) -> dict[str, int]:
    """How many spans of the arm ``name`` were stored or counted as dropped; nothing where there is no store."""
    if name != "otel-llm-store":
        return {}
    import otel_llm  # noqa: PLC0415
    from otel_llm.store.query import Filter, Reader  # noqa: PLC0415

    otel_llm.flush()
    with Reader(Path(os.environ["OTEL_LLM_STORE_PATH"])) as reader:
        return {"stored": len(reader.calls(Filter(limit=100_000)))}


def _none() -> None:
    """No instrumentation."""


def _otel_llm() -> None:
    from otel_llm.record.transport import WireInstrumentor  # noqa: PLC0415

    _providers()
    WireInstrumentor().instrument()


def _otel_llm_store() -> None:
    import otel_llm  # noqa: PLC0415

    otel_llm.instrument({"store.path": os.environ["OTEL_LLM_STORE_PATH"]})


def _genai_openai() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor  # noqa: PLC0415

    _providers()
    OpenAIInstrumentor().instrument()


def _traceloop() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

    _providers()
    OpenAIInstrumentor().instrument()


def _openinference() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

    _providers()
    OpenAIInstrumentor().instrument()


def _logfire() -> None:
    import logfire  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    processors = [BatchSpanProcessor(nowhere())]
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=processors)
    logfire.instrument_openai()


def _langfuse() -> None:
    import langfuse  # noqa: PLC0415
    import langfuse.openai  # noqa: PLC0415

    langfuse.Langfuse(public_key="pk", secret_key="sk", span_exporter=nowhere())  # noqa: S106 - no secret


PEERS: Final = {
    "none": Peer(requirements=(OPENAI,), switch_on=_none),
    "sdk-floor": Peer(requirements=(OPENAI, SDK), switch_on=_sdk_floor),
    "sdk-configured": Peer(requirements=(OPENAI, SDK), switch_on=_sdk_configured),
    "otel-llm": Peer(requirements=(OPENAI,), switch_on=_otel_llm, ours=True),
    "otel-llm-store": Peer(requirements=(OPENAI,), switch_on=_otel_llm_store, ours=True),
    "genai-openai": Peer(
        requirements=(OPENAI, SDK, "opentelemetry-instrumentation-genai-openai==1.3b0"), switch_on=_genai_openai
    ),
    "traceloop": Peer(requirements=(OPENAI, "opentelemetry-instrumentation-openai==0.62.4"), switch_on=_traceloop),
    "openinference": Peer(
        requirements=(OPENAI, "openinference-instrumentation-openai==0.1.66"), switch_on=_openinference
    ),
    "logfire": Peer(requirements=(OPENAI, "logfire==5.2.*"), switch_on=_logfire),
    "langfuse": Peer(requirements=(OPENAI, "langfuse==5.0.4"), switch_on=_langfuse),
}
