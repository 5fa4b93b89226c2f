"""The tap as OpenTelemetry's tools know it: entry point ``opentelemetry_instrumentor``, name ``otel_llm``.

A module of its own: loading the class that it derives from takes as long as all of ``transport``.
"""

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm.record import transport


class WireInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Switches the tap on and off."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: what is not installed is never imported and so never patched."""
        return ()

    @property
    def _is_instrumented_by_opentelemetry(self) -> bool:
        """Whether the tap is on, whoever switched it."""
        return transport.is_on()

    @_is_instrumented_by_opentelemetry.setter
    def _is_instrumented_by_opentelemetry(self, _value: bool) -> None:
        """The base class notes what `transport` knows."""

    def _instrument(self, **settings: Any) -> None:
        """Patch each library as soon as it is imported.

        Args:
            **settings: ``config`` (`Config`), ``tracer_provider``, ``meter_provider``; all optional.
        """
        transport.switch_on(*(settings.get(name) for name in ("config", "tracer_provider", "meter_provider")))

    def _uninstrument(self, **_settings: Any) -> None:
        transport.switch_off()
