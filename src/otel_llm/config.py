"""The tree of the parts' own config classes, filled from defaults, YAML, environment and arguments, in that order.

Each part owns its class; this is the one place that knows them all. A key's environment variable is its path in
capitals: ``store.max_size`` is ``OTEL_LLM_STORE_MAX_SIZE``. Loading never raises: a faulty value leaves what the layers
below it said, and the fault is returned with the place, what was expected and what was found, for the caller to tell.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from otel_llm import folders, kind, semconv
from otel_llm.alert.settings import Config as AlertConfig
from otel_llm.document import Document, Fault, did_you_mean, quote, read
from otel_llm.fleet.settings import Config as FleetConfig
from otel_llm.logs import Config as LogConfig
from otel_llm.probe.settings import Config as ProbeConfig
from otel_llm.record.settings import Config as RecordConfig
from otel_llm.record.settings import CostConfig
from otel_llm.redaction import MASK
from otel_llm.store.database import Config as StoreConfig
from otel_llm.store.database import default_path
from otel_llm.store.settings import ReceiveConfig

PREFIX: Final = "OTEL_LLM_"
FILE_NAME: Final = "otel-llm.yaml"

_SECRET: Final = frozenset({"alerts.webhook", "receive.token", "redis.url"})
"""Whose value is a token, or a URL that may hold one or a password."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set; each part's section is the part's own class.

    Attributes:
        forward: The store is the queue of OTLP: what is in it is sent, however long the backend was away.
    """

    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    record: RecordConfig = msgspec.field(default_factory=RecordConfig)
    cost: CostConfig = msgspec.field(default_factory=CostConfig)
    probe: ProbeConfig = msgspec.field(default_factory=ProbeConfig)
    alerts: AlertConfig = msgspec.field(default_factory=AlertConfig)
    redis: FleetConfig = msgspec.field(default_factory=FleetConfig)
    log: LogConfig = msgspec.field(default_factory=LogConfig)
    forward: bool = False
    receive: ReceiveConfig = msgspec.field(default_factory=ReceiveConfig)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key that can be set.

    Attributes:
        key: Dotted path in YAML, e.g. ``store.max_size``.
        kind: Its type, as annotated in the part's class.
    """

    key: str
    kind: Any
    default: Any

    @property
    def environment(self) -> str:
        """The variable that sets it."""
        return PREFIX + self.key.replace(".", "_").upper()

    @property
    def expected(self) -> str:
        """What a fault says a value must be."""
        return kind.expected(self.kind)


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, where each came from, and what was misfit.

    Attributes:
        origins: For each dotted key ``default``, ``FILE:LINE``, ``environment NAME`` or ``argument``.
        file: The YAML file that was read, ``None`` where there was none.
    """

    settings: Settings
    origins: Mapping[str, str]
    faults: tuple[Fault, ...] = ()
    file: Path | None = None

    @property
    def store_path(self) -> Path:
        """Where the store is."""
        return Path(self.settings.store.path or default_path())

    def values(self) -> dict[str, Any]:
        """Every setting's value by its dotted key, as it may be shown: of a URL with a token only its beginning."""
        return {setting.key: _shown(setting.key, _get(self.settings, setting.key)) for setting in known()}


class _Layers(msgspec.Struct):
    """Values gathered so far, each from the strongest layer that said it without a fault."""

    values: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    origins: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    faults: list[Fault] = msgspec.field(default_factory=list[Fault])


def known() -> tuple[Setting, ...]:
    """Every setting, in the order of the sections."""
    return _KNOWN


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, object] | None = None,
) -> Loaded:
    """Settings from defaults < YAML < environment < arguments; never raises. ``store.path`` is always told in full.

    Args:
        path: YAML file; else ``OTEL_LLM_CONFIG``, ``./otel-llm.yaml``, or the one in the user's config folder.
        environ: Environment variables; the process's own where ``None``.
        arguments: Values by dotted key, e.g. ``{"store.path": "/tmp/x.db"}``.
    """
    environ = os.environ if environ is None else environ
    layers = _Layers()
    file = path or _find(environ, layers)
    if file is not None:
        _take_document(read(file), layers)
    _take_environment(environ, layers)
    _take_arguments(arguments or {}, layers)
    settings = _locate(_build(Settings, layers.values))
    origins = {setting.key: layers.origins.get(setting.key, "default") for setting in _KNOWN}
    return Loaded(settings=settings, origins=origins, faults=tuple(layers.faults), file=file)


def _find(environ: Mapping[str, str], layers: _Layers) -> Path | None:
    """The file to read: the one that the environment names, or the first default one that exists."""
    named = environ.get(semconv.OTEL_LLM_CONFIG)
    if named:
        file = Path(named)
        if _is_there(file):
            return file
        where = f"environment {semconv.OTEL_LLM_CONFIG}"
        layers.faults.append(Fault(where=where, expected="a readable YAML file", found=quote(named)))
        return None
    file = Path(FILE_NAME)
    if _is_there(file):
        return file
    file = folders.settings() / FILE_NAME
    return file if _is_there(file) else None


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def _take_document(document: Document, layers: _Layers) -> None:
    layers.faults.extend(document.faults)
    refused = {fault.key for fault in document.faults}
    for key, value in _walk(document, document.values, Settings, "", layers):
        setting = _BY_KEY[key]
        if key in refused:
            continue
        try:
            layers.values[key] = kind.convert(value, setting.kind)
        except kind.MisfitError as misfit:
            at = f"{key}.{misfit.item}" if misfit.item else key
            fault = Fault(where=document.where(at), key=at, expected=misfit.expected, found=misfit.found)
            layers.faults.append(fault)
        else:
            layers.origins[key] = document.where(key)


def _walk(
    document: Document, values: Mapping[str, Any], section: type[msgspec.Struct], above: str, layers: _Layers
) -> Iterator[tuple[str, Any]]:
    """The known keys of ``section`` that ``values`` holds; unknown ones become faults."""
    kinds = {info.encode_name: info.type for info in msgspec.structs.fields(section)}
    for name, value in values.items():
        key = f"{above}{name}"
        if name not in kinds:
            layers.faults.append(_unknown(document, key, kinds))
        elif not _is_section(kinds[name]):
            yield key, value
        elif isinstance(value, dict):
            yield from _walk(document, value, kinds[name], f"{key}.", layers)
        elif value is not None:  # a section with every key commented out is fine
            fault = Fault(where=document.where(key), key=key, expected="keys with values", found=quote(value))
            layers.faults.append(fault)


def _unknown(document: Document, key: str, beside: Mapping[str, Any]) -> Fault:
    fault = document.unknown(key, beside)
    if fault.hint is None:  # the right word in the wrong section
        word = key.rpartition(".")[2]
        elsewhere = {setting.key.rpartition(".")[2]: setting.key for setting in reversed(_KNOWN)}
        fault = msgspec.structs.replace(fault, hint=f"did you mean {elsewhere[word]}?" if word in elsewhere else None)
    return fault


def _take_environment(environ: Mapping[str, str], layers: _Layers) -> None:
    for setting in _KNOWN:
        text = environ.get(setting.environment)
        if not text:  # the specification: empty is unset
            continue
        where = f"environment {setting.environment}"
        try:
            layers.values[setting.key] = kind.convert(kind.plain(text, setting.kind), setting.kind)
        except kind.MisfitError as misfit:
            layers.faults.append(Fault(where=where, expected=misfit.expected, found=misfit.found))
        else:
            layers.origins[setting.key] = where
    names = {setting.environment for setting in _KNOWN} | {semconv.OTEL_LLM_CONFIG}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in names or not environ[name]:
            continue
        hint = did_you_mean(name, names)
        fault = Fault(where=f"environment {name}", expected="a known variable", found="an unknown one", hint=hint)
        layers.faults.append(fault)


def _take_arguments(arguments: Mapping[str, object], layers: _Layers) -> None:
    for key, value in arguments.items():
        where = f"argument {key}"
        setting = _BY_KEY.get(key)
        if setting is None:
            fault = Fault(where=where, expected="a known key", found=quote(key), hint=did_you_mean(key, _BY_KEY))
            layers.faults.append(fault)
            continue
        try:
            layers.values[key] = kind.convert(value, setting.kind)
        except kind.MisfitError as misfit:
            layers.faults.append(Fault(where=where, expected=misfit.expected, found=misfit.found))
        else:
            layers.origins[key] = "argument"


def _build(section: type[msgspec.Struct], values: Mapping[str, Any], above: str = "") -> Any:
    said: dict[str, Any] = {}
    for info in msgspec.structs.fields(section):
        key = f"{above}{info.encode_name}"
        if _is_section(info.type):
            said[info.name] = _build(info.type, values, f"{key}.")
        elif key in values:
            said[info.name] = values[key]
    return section(**said)


def _locate(settings: Settings) -> Settings:
    """``settings`` with the store's place spelled out, so that whoever reads or shows it need not know the rule."""
    path = settings.store.path
    place = str(default_path()) if path is None else os.path.expanduser(path)  # noqa: PTH111 - never raises
    return msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, path=place))


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _get(settings: msgspec.Struct, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _shown(key: str, value: Any) -> Any:
    if key not in _SECRET or not value:
        return value
    scheme, _, rest = str(value).partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}/{MASK}" if rest else MASK


def _settings(section: type[msgspec.Struct], above: str = "") -> Iterator[Setting]:
    for info in msgspec.structs.fields(section):
        key = f"{above}{info.encode_name}"
        if _is_section(info.type):
            yield from _settings(info.type, f"{key}.")
        else:
            factory = info.default_factory
            default = info.default if factory is msgspec.NODEFAULT else factory()
            yield Setting(key=key, kind=info.type, default=default)


_KNOWN: Final = tuple(_settings(Settings))
_BY_KEY: Final = {setting.key: setting for setting in _KNOWN}
