"""The tap as OpenTelemetry's tools know it: entry point ``opentelemetry_instrumentor``, name ``otel_llm``."""

from collections.abc import Collection
from typing import Any

import wrapt

from otel_llm import boundary
from otel_llm.record import transport


class WireInstrumentor:
    """Switches the tap on and off.

    It does what OpenTelemetry's ``BaseInstrumentor`` does, and ``isinstance`` says it is one, but it does not derive
    from it: that would load a parser of requirements, of which this has none, and take 1 MB.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: what is not installed is never imported and so never patched."""
        return ()

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether the tap is on, whoever switched it."""
        return transport.is_on()

    def instrument(self, **settings: Any) -> None:
        """Patch each library as soon as it is imported.

        Args:
            **settings: ``config`` (`Config`), ``tracer_provider``, ``meter_provider``; all optional, and others left
                alone.
        """
        if transport.is_on():
            boundary.logger.warning("Attempting to instrument while already instrumented")
            return
        transport.switch_on(*(settings.get(name) for name in ("config", "tracer_provider", "meter_provider")))

    def uninstrument(self, **_settings: Any) -> None:
        """Record no more calls."""
        if not transport.is_on():
            boundary.logger.warning("Attempting to uninstrument while already uninstrumented")
            return
        transport.switch_off()


wrapt.register_post_import_hook(
    lambda module: module.BaseInstrumentor.register(WireInstrumentor), "opentelemetry.instrumentation.instrumentor"
)
