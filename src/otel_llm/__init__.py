"""OpenTelemetry distribution for LLM inference.

``import otel_llm`` is free: each public name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv

if TYPE_CHECKING:
    from otel_llm.distro import flush, instrument, uninstrument
    from otel_llm.notebook import load
    from otel_llm.record.client import call, current_call, metric
    from otel_llm.record.decorator import traced
    from otel_llm.record.queues import queue


__version__: Final = semconv.SCOPE_VERSION

_HOME: Final = {
    "instrument": "otel_llm.distro",
    "uninstrument": "otel_llm.distro",
    "flush": "otel_llm.distro",
    "load": "otel_llm.notebook",
    "call": "otel_llm.record.client",
    "current_call": "otel_llm.record.client",
    "metric": "otel_llm.record.client",
    "queue": "otel_llm.record.queues",
    "traced": "otel_llm.record.decorator",
}

__all__ = [
    "__version__",
    "call",
    "current_call",
    "flush",
    "instrument",
    "load",
    "metric",
    "queue",
    "traced",
    "uninstrument",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        message = f"module 'otel_llm' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)
