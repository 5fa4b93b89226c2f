"""What ``otel-llm doctor`` looks at, from the interpreter to the driver; `specimen` proves the whole. Cli storey.

A check reads and tells; it leaves nothing behind, sends nothing but a TCP connect, and loads none of the parts it looks
for.
"""

import importlib.util
import os
import platform
import socket
import sqlite3
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from otel_llm.cli.run import CHOICE, DISTRO
from otel_llm.config import Loaded
from otel_llm.fleet.client import place
from otel_llm.fleet.reading import Window
from otel_llm.ledger import LedgerError
from otel_llm.probe.nvml import diagnose

Status: TypeAlias = Literal["ok", "warn", "fail"]

CONNECT_TIMEOUT: Final = 1.0
"""[s]"""

_SIGNALS: Final = ("TRACES", "METRICS", "LOGS")
_PROTOCOLS: Final = ("grpc", "http/protobuf")
_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = 4318
_RUN: Final = "otel-llm run -- CMD"

_RECORDED: Final = "calls are recorded"
_LIBRARIES: Final[Mapping[str, tuple[Status, str]]] = {
    "httpx": ("ok", _RECORDED),
    "httpx2": ("ok", _RECORDED),
    "openai": ("ok", _RECORDED),
    "anthropic": ("ok", _RECORDED),
    "litellm": ("ok", _RECORDED),
    "google-genai": ("ok", _RECORDED + ", but for its live sessions, which are no HTTP requests"),
    "ollama": ("ok", _RECORDED),
    "cohere": ("ok", _RECORDED),
    "boto3": ("ok", _RECORDED),
    "aiohttp": ("ok", _RECORDED),
    "requests": ("ok", _RECORDED),
    "urllib3": ("ok", _RECORDED),
    "llama-cpp-python": ("ok", f"{_RECORDED} that llama_cpp.Llama makes in the same process"),
    "transformers": ("ok", f"{_RECORDED} that generate() makes in the same process"),
    "vllm": ("ok", f"{_RECORDED} that vllm.LLM makes in the same process; one span for a batch"),
    "xllamacpp": ("ok", f"{_RECORDED} that xllamacpp.Server answers without a wire"),
}
"""Client libraries people call models with, and how far their calls are recorded."""

_TAPPED: Final = frozenset(
    ("httpx", "httpx2", "aiohttp", "urllib3", "llama-cpp-python", "transformers", "vllm", "xllamacpp")
)
"""Libraries that are tapped themselves; the others use one of them."""

_LLM_INSTRUMENTATIONS: Final = frozenset(
    (
        *("agno", "aleph_alpha", "alephalpha", "anthropic", "beeai", "bedrock", "cohere", "crewai", "dspy", "genai"),
        *("google_genai", "google_generativeai", "groq", "guardrails", "haystack", "instructor", "langchain"),
        *("litellm", "llama_index", "llamaindex", "mistralai", "ollama", "openai", "openai_agents", "openai_v2"),
        *("openllmetry", "pydantic_ai", "replicate", "sagemaker", "smolagents", "together", "transformers"),
        *("vertexai", "watsonx", "writer"),
    )
)


_CHILD: Final = "makes a span of each request, a child of the call's"
_PARENT: Final = "makes a span of each request, the parent of the call's"
_HTTP_INSTRUMENTATIONS: Final[Mapping[str, str]] = {
    "httpx": _CHILD,
    "httpx2": _CHILD,
    "aiohttp-client": _PARENT,
    "requests": _PARENT,
    "urllib3": _PARENT,
}
"""What those of HTTP clients mean for the user, by the name of their entry point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Attributes:
        fix: What to do, ``None`` where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    fix: str | None = None


Findings: TypeAlias = Iterator[Check]


def guarded(name: str, check: Callable[[], Findings]) -> Findings:
    """The findings of ``check``; one that breaks is a finding too, and the others go on."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 - the doctor must not fall ill
        yield Check(name=name, status="warn", detail=f"could not be looked at: {type(error).__name__}: {error}")


def versions() -> Findings:
    """The interpreter, this distribution and OpenTelemetry."""
    yield Check(name="python", status="ok", detail=f"{platform.python_version()}, {sys.executable}")
    packages = ("otel-llm", "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-instrumentation")
    found = {package: installed(package) for package in packages}
    missing = [package for package, number in found.items() if number is None]
    detail = ", ".join(f"{package} {number or 'missing'}" for package, number in found.items())
    fix = f"pip install {' '.join(missing)}" if missing else None
    yield Check(name="opentelemetry", status="fail" if missing else "ok", detail=detail, fix=fix)


def distribution(environ: Mapping[str, str]) -> Findings:
    """Which distribution and configurator ``opentelemetry-instrument`` will choose: the named one, else the first."""
    kinds = zip(("distro", "configurator"), CHOICE, strict=True)
    for kind, variable in kinds:
        names = [point.name for point in entry_points(group=f"opentelemetry_{kind}")]
        chosen = environ.get(variable)
        winner = chosen if chosen is not None else next(iter(names), None)
        others = ", ".join(sorted({*names} - {DISTRO}))
        if DISTRO not in names:
            fix = "pip install --force-reinstall otel-llm"
            yield Check(name=kind, status="fail", detail="otel_llm is not among the installed entry points", fix=fix)
        elif winner == DISTRO:
            yield Check(name=kind, status="ok", detail="otel_llm" + (f", before {others}" if others else ""))
        else:
            why = f"{variable}={chosen}" if chosen is not None else "it is found first"
            detail = f"{winner!r} is used, not otel_llm ({why}); spans are still stored, but its defaults hold"
            yield Check(name=kind, status="warn", detail=detail, fix=f"{_RUN}, or {variable}={DISTRO}")


def switches(environ: Mapping[str, str], loaded: Loaded) -> Findings:
    """Settings that switch recording off, wholly or in part."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield Check(
            name="sdk", status="fail", detail="OTEL_SDK_DISABLED=true: no span is made", fix="unset OTEL_SDK_DISABLED"
        )
    disabled = environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    names = {name.strip() for name in disabled.split(",")}
    if names & {"*", DISTRO}:
        detail = f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={disabled}: calls are not recorded"
        yield Check(name="instrumentation", status="fail", detail=detail, fix="take '*' and otel_llm out of it")
    if not loaded.settings.record.enabled:
        detail = f"record.enabled is false ({loaded.origins['record.enabled']}): calls are not recorded"
        yield Check(name="recording", status="fail", detail=detail, fix="set record.enabled to true")
    yield from _sampler(environ)
    yield from _config_file(environ)
    yield from _exporters(environ, loaded)


def _sampler(environ: Mapping[str, str]) -> Findings:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    argument = environ.get("OTEL_TRACES_SAMPLER_ARG", "1")
    fix = "unset OTEL_TRACES_SAMPLER"
    if sampler.endswith("always_off"):
        yield Check(name="sampler", status="fail", detail=f"OTEL_TRACES_SAMPLER={sampler}: no span is kept", fix=fix)
    elif sampler.endswith("traceidratio"):
        detail = f"OTEL_TRACES_SAMPLER={sampler} with {argument}: only that share of the spans is kept"
        yield Check(name="sampler", status="warn", detail=detail, fix=fix)


def _config_file(environ: Mapping[str, str]) -> Findings:
    file = environ.get("OTEL_CONFIG_FILE")
    if not file:
        return
    if not Path(file).is_file():
        detail = f"OTEL_CONFIG_FILE={file}: there is no such file, so nothing is set up"
        yield Check(name="declarative", status="fail", detail=detail, fix="unset OTEL_CONFIG_FILE, or correct it")
        return
    detail = f"OTEL_CONFIG_FILE={file}: the SDK ignores all other OTEL_* variables; calls are recorded beside it"
    yield Check(name="declarative", status="warn", detail=detail, fix="unset it if the variables are meant to count")


def _exporters(environ: Mapping[str, str], loaded: Loaded) -> Findings:
    if not loaded.settings.store.enabled:
        detail = f"store.enabled is false ({loaded.origins['store.enabled']}): nothing is kept here"
        yield Check(name="exporters", status="warn", detail=detail, fix="set store.enabled to true")
        return
    for signal in _SIGNALS:
        variable = f"OTEL_{signal}_EXPORTER"
        given = environ.get(variable, "").strip()
        names = [name.strip() for name in given.split(",") if name.strip()]
        if not names or "sqlite" in names:
            continue
        detail = f"{variable}={given}: the local store gets no {signal.lower()}"
        with_store = ",".join([name for name in names if name != "none"] + ["sqlite"])
        status: Status = "fail" if names == ["none"] and signal == "TRACES" else "warn"
        yield Check(name="exporters", status=status, detail=detail, fix=f"{variable}={with_store}, or unset it")


def site() -> Findings:
    """A ``sitecustomize`` of someone else's: only the first one on the path runs."""
    spec = importlib.util.find_spec("sitecustomize")
    origin = spec.origin if spec else None
    if origin is None or "opentelemetry" in origin or Path(origin).parent == Path(sysconfig.get_path("stdlib")):
        return
    detail = f"{origin}: only the first sitecustomize on PYTHONPATH runs, that one or opentelemetry-instrument's"
    fix = "if calls are missing, take it off PYTHONPATH, or call otel_llm.instrument() in the program"
    yield Check(name="sitecustomize", status="warn", detail=detail, fix=fix)


def configuration(loaded: Loaded) -> Findings:
    """Mistakes in YAML file and environment."""
    for fault in loaded.faults:
        fix = "otel-llm config show --origin says what is used instead"
        yield Check(name="configuration", status="warn", detail=str(fault), fix=fix)
    if not loaded.faults:
        yield Check(name="configuration", status="ok", detail=str(loaded.file or "no file, defaults and environment"))


def sqlite(number: tuple[int, ...] = sqlite3.sqlite_version_info) -> Findings:
    """The SQLite library that this Python is linked with, and its WAL-reset bug (sqlite.org/wal.html#walresetbug)."""
    said = ".".join(map(str, number))
    mended = number >= (3, 51, 3) or (3, 50, 7) <= number < (3, 51) or (3, 44, 6) <= number < (3, 45)
    if mended or number < (3, 7):
        yield Check(name="sqlite", status="ok", detail=said)
        return
    detail = f"{said} can lose commits when two processes checkpoint at once (WAL-reset bug); otel-llm never lets two"
    fix = "open the store with other programs read-only, or use a Python with SQLite 3.51.3, 3.50.7 or 3.44.6"
    yield Check(name="sqlite", status="warn", detail=detail, fix=fix)


def libraries() -> Findings:
    """Client libraries that are installed, and whether their calls are recorded."""
    found = {name: number for name in _LIBRARIES if (number := installed(name))}
    for name, number in found.items():
        status, extent = _LIBRARIES[name]
        yield Check(name=name, status=status, detail=f"{number}: {extent}")
    if not found.keys() & _TAPPED:
        detail = "none of httpx, httpx2, aiohttp and urllib3 is installed here: there is nothing to record"
        fix = "run doctor in the environment of the application"
        yield Check(name="clients", status="fail", detail=detail, fix=fix)


def instrumentations(environ: Mapping[str, str]) -> Findings:
    """Other instrumentations of LLM SDKs and HTTP clients: one call stays one span, whoever else is on."""
    disabled = {name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    found: dict[str, list[str]] = {}
    for point in entry_points(group="opentelemetry_instrumentor"):
        if point.name in _HTTP_INSTRUMENTATIONS or point.name.lower().replace("-", "_") in _LLM_INSTRUMENTATIONS:
            said = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            found.setdefault(point.name, []).append(said)
    for name, packages in sorted(found.items()):
        who = " and ".join(sorted(packages))
        off = name in disabled or "*" in disabled
        yield _instrumentation(name, who, several=len(packages) > 1, off=off)
    if _traces_itself("anthropic") and environ.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() != "false":
        detail = f"anthropic {installed('anthropic')} makes spans of its own; each tells its call and is completed"
        yield Check(
            name="instrumentations", status="ok", detail=detail, fix="to do without: ANTHROPIC_OPEN_TELEMETRY=false"
        )


def _instrumentation(name: str, who: str, *, several: bool, off: bool) -> Check:
    without = f"to do without: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={name}"
    if off:
        detail = f"{who} ({name}) is installed, but OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches it off"
        return Check(name="instrumentations", status="ok", detail=detail)
    meaning = _HTTP_INSTRUMENTATIONS.get(name)
    if several and meaning is None:
        detail = f"{who} both instrument {name!r}: they double one another's spans and metrics"
        return Check(name="instrumentations", status="warn", detail=detail, fix="uninstall all but one")
    if meaning is None:
        meaning = (
            "makes spans of the same calls; one of each call's spans tells it and is completed, none is counted twice"
        )
    return Check(name="instrumentations", status="ok", detail=f"{who} ({name}) {meaning}", fix=without)


def _traces_itself(package: str) -> bool:
    """Whether ``package`` is installed in a version that depends on OpenTelemetry."""
    try:
        needs = requires(package) or ()
    except PackageNotFoundError:
        return False
    return any(need.startswith("opentelemetry-api") and "extra ==" not in need for need in needs)


def otlp(environ: Mapping[str, str]) -> Findings:
    """OTLP endpoints: that something listens there and speaks the protocol that will be spoken."""
    seen: set[str] = set()
    for part in ("", *(f"{signal}_" for signal in _SIGNALS)):
        variable = f"OTEL_EXPORTER_OTLP_{part}ENDPOINT"
        endpoint = environ.get(variable, "").strip()
        protocol = environ.get(f"OTEL_EXPORTER_OTLP_{part}PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        if protocol and protocol not in _PROTOCOLS:
            detail = f"protocol {protocol!r}: expected one of {', '.join(_PROTOCOLS)}; with it nothing is set up"
            yield Check(name="otlp", status="fail", detail=detail, fix="correct or unset OTEL_EXPORTER_OTLP_PROTOCOL")
        if endpoint and endpoint not in seen:
            seen.add(endpoint)
            yield _endpoint(variable, endpoint, protocol or "http/protobuf")
    if not seen:
        yield Check(name="otlp", status="ok", detail="no endpoint is set: nothing leaves this machine")


def _endpoint(variable: str, endpoint: str, protocol: str) -> Check:
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = None
    if not parts.hostname or port is None:
        detail = f"{variable}: expected a URL such as http://localhost:{_HTTP_PORT}, found {endpoint!r}"
        return Check(name="otlp", status="fail", detail=detail, fix="correct it, or unset it")
    place = f"{parts.hostname}:{port}"
    try:
        socket.create_connection((parts.hostname, port), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        detail = f"{place} ({variable}): {error.strerror or error or type(error).__name__}"
        return Check(name="otlp", status="fail", detail=detail, fix="start the collector, or correct or unset it")
    usual = {_GRPC_PORT: "grpc", _HTTP_PORT: "http/protobuf"}.get(port, protocol)
    if usual != protocol:
        detail = f"{place} ({variable}) is the usual port of {usual}, but {protocol} will be spoken"
        fix = f"OTEL_EXPORTER_OTLP_PROTOCOL={usual}"
        return Check(name="otlp", status="warn", detail=detail, fix=fix)
    return Check(name="otlp", status="ok", detail=f"{place} ({variable}) listens; {protocol}")


def redis(loaded: Loaded) -> Findings:
    """The Redis that hosts share: that it answers, who is there, and who judges."""
    settings = loaded.settings.redis
    if settings.url is None:
        yield Check(name="redis", status="ok", detail="none is set: alerts are judged on each host by itself")
        return
    where = place(settings.url)
    try:
        window = Window(settings.url, settings.namespace)
        fleets = [window.members(keys) for keys in window.fleets()]
    except LedgerError as error:
        fix = "correct redis.url, or see to Redis; meanwhile each host judges by itself"
        yield Check(name="redis", status="fail", detail=f"{where}: {error}", fix=fix)
        return
    server = f"{where} answers ({window.version}{', a cluster' if window.kind == 'RedisCluster' else ''})"
    if not fleets:
        yield Check(name="redis", status="ok", detail=f"{server}; nobody has joined yet")
    for fleet in fleets:
        count = len(fleet.processes)
        hosts = len({name.partition(" ")[0] for name in fleet.processes})
        said = f"{count} process{'es' * (count != 1)} on {hosts} host{'s' * (hosts != 1)}"
        judge = f"{fleet.judge} judges" if fleet.judge else "nobody judges"
        yield Check(name="redis", status="ok", detail=f"{server}; {fleet.name}: {said}, {judge}")


def driver() -> Findings:
    """The cards that can be read, or why none can; a machine without one is fine."""
    names, why = diagnose()
    if not names:
        yield Check(name="gpu", status="ok", detail=f"none readable: {why}")
        return
    counted = Counter(name for name, _id in names)
    detail = ", ".join(f"{count} x {name}" for name, count in counted.items())
    lost = f"; {why}" if why else ""
    yield Check(name="gpu", status="warn" if why else "ok", detail=f"NVML: {detail}{lost}")


def writable(path: Path) -> bool:
    """Whether a database at ``path`` could be written, tried with a nameless file in the nearest folder there is.

    Permissions alone do not tell: root has them all, and some file systems take no files.
    """
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        return False
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def installed(package: str) -> str | None:
    """The version of ``package``, ``None`` where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
