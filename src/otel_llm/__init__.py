"""OpenTelemetry distribution for LLM inference.

``import otel_llm`` is free: each public name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv

if TYPE_CHECKING:
    from otel_llm.distro import flush, instrument, uninstrument


__version__: Final = semconv.SCOPE_VERSION

_HOME: Final = {
    "instrument": "otel_llm.distro",
    "uninstrument": "otel_llm.distro",
    "flush": "otel_llm.distro",
}

__all__ = ["__version__", "flush", "instrument", "uninstrument"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        message = f"module 'otel_llm' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)
