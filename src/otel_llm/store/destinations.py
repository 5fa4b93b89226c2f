"""Room store: the backends that OpenTelemetry's own variables name (``OTEL_EXPORTER_OTLP_*``). Opens nothing.

As the SDK reads them: a variable of one signal wins over the general one; the address of one signal is taken as it is,
the general one gets the signal's path. Source: opentelemetry.io/docs/specs/otel/protocol/exporter; the timeout is in
seconds, as in OpenTelemetry's Python exporters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from otel_llm.store.sender import GRPC, HTTP, Destination

NAMES: Final = {"traces": "spans", "logs": "logs", "metrics": "metrics"}
"""By OpenTelemetry's name of a signal, the store's."""

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_PATHS: Final = {"traces": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}
_TIMEOUT: Final = 10.0
_LONGEST_TIMEOUT: Final = 60.0
"""[s] Who writes milliseconds, as the specification has it, gets this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A backend and what it is to be sent.

    Attributes:
        signals: In the store's words.
    """

    destination: Destination
    signals: tuple[str, ...]


def routes(environ: Mapping[str, str], signals: Iterable[str]) -> tuple[list[Route], list[str]]:
    """Where each of ``signals`` goes, and what is wrong with the variables; a signal without an address goes nowhere.

    Args:
        environ: Environment variables.
        signals: Of `NAMES`, in OpenTelemetry's words.
    """
    found: list[tuple[Destination, list[str]]] = []
    faults: list[str] = []
    for signal in signals:
        try:
            destination = _destination(_Variables(environ, signal), signal)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        if destination is None:
            continue
        for known, named in found:
            if known == destination:
                named.append(NAMES[signal])
                break
        else:
            found.append((destination, [NAMES[signal]]))
    return [Route(destination=one, signals=tuple(named)) for one, named in found], list(dict.fromkeys(faults))


class _Variables:
    """The variables as one signal sees them."""

    def __init__(self, environ: Mapping[str, str], signal: str) -> None:
        self._environ = environ
        self._own = f"{_PREFIX}{signal.upper()}_"

    def get(self, name: str) -> str:
        return self.own(name) or self._environ.get(_PREFIX + name, "").strip()

    def own(self, name: str) -> str:
        return self._environ.get(self._own + name, "").strip()

    def where(self, name: str) -> str:
        return (self._own if self.own(name) else _PREFIX) + name


def _destination(said: _Variables, signal: str) -> Destination | None:
    url = said.get("ENDPOINT")
    if not url:
        return None
    protocol = said.get("PROTOCOL") or HTTP
    if protocol not in {HTTP, GRPC}:
        message = f"{said.where('PROTOCOL')}: expected {HTTP} or {GRPC}, found {protocol!r}"
        raise ValueError(message)
    if protocol == GRPC and "://" not in url:
        url = ("http://" if said.get("INSECURE").lower() == "true" else "https://") + url
    whole = protocol == HTTP and bool(said.own("ENDPOINT"))
    if whole and url.endswith(_PATHS[signal]):
        url, whole = url.removesuffix(_PATHS[signal]), False  # so that signals share a connection
    compression = said.get("COMPRESSION").lower()
    if compression not in {"", "none", "gzip"}:
        message = f"{said.where('COMPRESSION')}: expected none or gzip, found {compression!r}"
        raise ValueError(message)
    return Destination(
        url=url,
        protocol=protocol,
        headers=headers(said.get("HEADERS")),
        compressed=compression == "gzip",
        certificate=_file(said, "CERTIFICATE"),
        client_certificate=_file(said, "CLIENT_CERTIFICATE"),
        client_key=_file(said, "CLIENT_KEY"),
        timeout=_timeout(said),
        whole=whole,
    )


def headers(text: str) -> dict[str, str]:
    """``name=value`` pairs with commas between them, in percent encoding."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): unquote(value.strip()) for name, separator, value in pairs if separator and name.strip()}


def _file(said: _Variables, name: str) -> Path | None:
    text = said.get(name)
    if not text:
        return None
    if not (path := Path(text)).is_file():
        message = f"{said.where(name)}: expected a file, found {text!r}"
        raise ValueError(message)
    return path


def _timeout(said: _Variables) -> float:
    text = said.get("TIMEOUT")
    try:
        seconds = float(text or _TIMEOUT)
    except ValueError:
        message = f"{said.where('TIMEOUT')}: expected seconds, found {text!r}"
        raise ValueError(message) from None
    return min(max(seconds, 0.1), _LONGEST_TIMEOUT)
