"""Bound what the process's exit waits for: exporters that nobody answers must not hold it. Wired by the distro.

The SDK's exporters try again for ten seconds and more when a backend hangs or refuses, and do so at exit too. Outside
the exit they are left alone: a shutdown that the application asks for takes the time it takes.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from otel_llm import boundary

BUDGET: Final = 1.8
"""Most time that all bounded parts together may take of the exit [s]."""

SHARE: Final = 0.6
"""Most time that one of them may take [s]: spans, metrics and logs each get theirs."""

_deadline: list[float] = []


def begin() -> None:
    """The process is exiting: from now on the time runs."""
    if not _deadline:
        _deadline.append(time.monotonic() + BUDGET)


def has_begun() -> bool:
    """Whether the process is exiting."""
    return bool(_deadline)


def remaining() -> float:
    """What is left of the budget [s]; all of it before `begin`."""
    return max(0.0, _deadline[0] - time.monotonic()) if _deadline else BUDGET


def bound(parts: Iterable[Any]) -> None:
    """Have the ``shutdown`` of each of ``parts`` keep to the budget at exit.

    Args:
        parts: Span processors, log processors, metric readers.
    """
    for part in parts:
        inner = part.shutdown
        if not getattr(inner, "otel_llm_bounded", False):
            part.shutdown = _bounded(inner)


def _bounded(inner: Any) -> Any:
    def shutdown(*args: Any, **kwargs: Any) -> Any:
        if not _deadline:
            return inner(*args, **kwargs)
        worker = threading.Thread(target=_swallowed, args=(inner, args, kwargs), name="otel-llm-leaving", daemon=True)
        try:
            worker.start()
        except RuntimeError:
            # Python 3.12 gives no thread to an interpreter that exits (cpython issue 104690): unbounded, then.
            return inner(*args, **kwargs)
        longest = SHARE
        with boundary.guard("leaving.shutdown"):
            longest = min(SHARE, remaining())
        worker.join(longest)
        return None

    shutdown.otel_llm_bounded = True  # type: ignore[attr-defined]
    return shutdown


def _swallowed(inner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with boundary.guard("leaving.shutdown"):
        inner(*args, **kwargs)


def exports_with(module: str, provider: Any) -> bool:
    """Whether one of the exporters of an SDK provider comes from ``module`` or below it."""
    for part in exporting_parts(provider, provider, provider):
        inner = getattr(part, "_batch_processor", None)
        places = ((part, "span_exporter"), (part, "_exporter"), (inner, "_exporter"))
        if any(type(getattr(place, name, None)).__module__.startswith(module) for place, name in places):
            return True
    return False


def exporting_parts(tracer_provider: Any, meter_provider: Any, logger_provider: Any) -> list[Any]:
    """The processors and readers of the SDK's providers; what cannot be found is left as it is.

    The SDK has no public way to list them (1.45); each step down may be missing in another version.
    """
    found: list[Any] = []
    for provider, path in (
        (tracer_provider, ("_active_span_processor", "_span_processors")),
        (meter_provider, ("_metric_readers",)),
        (logger_provider, ("_multi_log_record_processor", "_log_record_processors")),
    ):
        parts: Any = provider
        for name in path:
            parts = getattr(parts, name, ())
        found.extend(parts)
    return found
