"""Room probe: which model servers were called. On the host's path: one look at a finished span, one set at most.

`server` asks those servers for their own figures.
"""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_llm import boundary, semconv, shortcut

MOST_SERVERS: Final = 16
"""Servers that are looked at."""

KINDS: Final = frozenset({"vllm", "llama_cpp", "sglang", "tgi"})
"""``gen_ai.provider.name`` of servers that have a page; `exposition` reads them."""


class Sightings(SpanProcessor):
    """Remembers which servers were called, off finished spans.

    Attributes:
        servers: Address, port and provider of each.
        beyond: Whether there were more than are looked at.
    """

    def __init__(self) -> None:
        self.servers: dict[tuple[str, int], str] = {}
        self.beyond = False

    def on_end(self, span: ReadableSpan) -> None:
        """Look at where a finished call went."""
        try:
            attributes = shortcut.attributes(span)
            if attributes.get(semconv.PROVIDER_NAME) in KINDS:
                self._see(attributes)
        except Exception as error:  # noqa: BLE001 - the host's path; cheaper than `guard`
            boundary.swallow("probe.sightings", error)

    def _see(self, attributes: Mapping[str, Any]) -> None:
        place = (attributes.get(semconv.SERVER_ADDRESS), attributes.get(semconv.SERVER_PORT))
        if place in self.servers or not (isinstance(place[0], str) and isinstance(place[1], int)):
            return
        if len(self.servers) >= MOST_SERVERS:
            self.beyond = True
            return
        self.servers[place[0], place[1]] = str(attributes[semconv.PROVIDER_NAME])
