"""What the environment says of exporters, and what the SDK is to read there while it sets itself up.

The store is one of them by name, and attached by `distro`: the SDK is told of the others alone.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from otel_llm.store.origin import HEADER, origin

SIGNALS: Final = ("traces", "metrics", "logs")
STORE: Final = "sqlite"
"""The store's name among the exporters."""

_OTLP: Final = frozenset({"otlp", "otlp_proto_http", "otlp_proto_grpc"})


def names(signal: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The exporters of a signal: what the user named, else the store, and OTLP beside it where an endpoint is set.

    Args:
        signal: One of `SIGNALS`.
        environ: Environment variables.
    """
    named = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if named:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    general, own = "OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    # Without an endpoint OTLP would retry against a port where nobody listens, and hold the exit for seconds.
    return (STORE, "otlp") if environ.get(general) or environ.get(own) else (STORE,)


def for_both(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The signals that are meant for the store and for OTLP."""
    named = {signal: frozenset(names(signal, environ)) for signal in SIGNALS}
    return tuple(signal for signal, exporters in named.items() if STORE in exporters and exporters & _OTLP)


def for_sdk(environ: Mapping[str, str], forwarded: Collection[str] = ()) -> dict[str, str]:
    """What the SDK is to read: the exporters that it makes itself, and OTLP's protocol.

    Args:
        environ: Environment variables.
        forwarded: Signals that go out of the store instead of through an OTLP exporter of the SDK.
    """
    said = {}
    for signal in SIGNALS:
        left_out = {STORE, *(_OTLP if signal in forwarded else ())}
        others = [name for name in names(signal, environ) if name not in left_out]
        said[f"OTEL_{signal.upper()}_EXPORTER"] = ",".join(others) or "none"
    said["OTEL_EXPORTER_OTLP_PROTOCOL"] = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    return said


def origins(environ: Mapping[str, str], store: Path) -> dict[str, str]:
    """Headers that say which store has it already, for what goes to this machine: to ``otel-llm receive``, perhaps."""
    headers = {}
    for signal in SIGNALS:
        general, own = "OTEL_EXPORTER_OTLP_", f"OTEL_EXPORTER_OTLP_{signal.upper()}_"
        endpoint = environ.get(f"{own}ENDPOINT") or environ.get(f"{general}ENDPOINT") or ""
        local = endpoint.partition("://")[2].startswith(("localhost", "127.", "[::1]"))
        if local and STORE in names(signal, environ):
            given = environ.get(f"{own}HEADERS") or environ.get(f"{general}HEADERS")
            mark = f"{HEADER}={origin(store)}"
            headers[f"{own}HEADERS"] = f"{given},{mark}" if given else mark
    return headers


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have ``values`` in the environment for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
