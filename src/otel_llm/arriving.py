"""The distribution as ``opentelemetry-instrument`` knows it: which instrumentations are loaded, and when.

A module of its own: `otel_llm.instrument()` does without it and without what it derives from, which is slow to load.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import wrapt
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from otel_llm import boundary

_LAZY: Final = frozenset({"httpx", "httpx2", "openai", "anthropic", "requests", "urllib3", "botocore"})
"""Instrumentors, named as the library they patch, that wait for its import instead of causing it."""

_waiting: Final[list[Callable[[], None]]] = []
"""Instrumentors whose library is imported; the first is being loaded."""


class Distro(BaseDistro):  # type: ignore[misc]
    """Entry point ``opentelemetry_distro``."""

    def _configure(self, **_settings: Any) -> None:
        """Leave the environment as it is: children would inherit names that their own SDK may not know."""

    def load_instrumentor(self, entry_point: Any, **settings: Any) -> None:
        """Instrument a library when it is imported, not before: a process that never imports it pays nothing."""
        if entry_point.name in _LAZY and entry_point.name not in sys.modules:
            load = partial(super().load_instrumentor, entry_point, **settings)
            wrapt.register_post_import_hook(lambda _module: _load_in_turn(load), entry_point.name)
        else:
            super().load_instrumentor(entry_point, **settings)


def _load_in_turn(load: Callable[[], None]) -> None:
    """Run ``load`` once what is loading has loaded: instrumentors of several libraries may share one module."""
    _waiting.append(load)
    if len(_waiting) > 1:
        return
    while _waiting:
        try:
            with boundary.guard("distro.load_instrumentor"):
                _waiting[0]()
        finally:
            _waiting.pop(0)
