"""Gathers what the parts count about themselves: the store's spans, the alerts', and those of exporters (OTLP).

Wired by the distro; `probe.accounts` makes metrics of it. Every count is of this process.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from opentelemetry.sdk.trace.export import SpanExportResult

from otel_llm import boundary
from otel_llm.alert.processor import AlertProcessor
from otel_llm.probe.accounts import Fate
from otel_llm.store.database import Database

EXPORTED: Final = "exported"
DROPPED: Final = "dropped"


class Forwarder(Protocol):
    """What upkeep asks of `store.forwarding.Forwarder`, which only those load who forward."""

    waiting: int

    def counts(self) -> Counter[str]:
        """Spans by what became of them."""
        ...


class Exports:
    """Counts what span processors' exporters were given and what came of it.

    The SDK counts this itself only where ``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` is set, and not in a way that can
    be read; so ``export`` is shadowed on the exporter, and ``drop_items`` on what the processor counts with.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._counts: Counter[tuple[str, str | None]] = Counter()
        self._queues: list[Callable[[], int]] = []

    def follow(self, processors: Iterable[Any]) -> None:
        """Count what goes through ``processors``; those that are built in another way are left as they are."""
        for processor in processors:
            exporter = getattr(processor, "span_exporter", None)
            if exporter is None or getattr(exporter.export, "otel_llm_counted", False):
                continue
            exporter.export = self._counted(exporter.export)
            batch = getattr(processor, "_batch_processor", None)
            queue, losses = getattr(batch, "_queue", None), getattr(batch, "_metrics", None)
            if queue is not None:
                self._queues.append(queue.__len__)
            drop = getattr(losses, "drop_items", None)
            if losses is not None and drop is not None:
                losses.drop_items = self._lost(drop)

    def fates(self) -> Iterator[Fate]:
        """What became of the spans; nothing where nothing is followed, or nothing came."""
        if self._pid != os.getpid():
            return
        for (state, reason), count in tuple(self._counts.items()):
            yield Fate("exporters", state, count, reason)

    def depth(self) -> int | None:
        """Spans that wait to be exported; ``None`` where no queue is followed."""
        return sum(length() for length in self._queues) if self._queues else None

    def _counted(self, inner: Any) -> Any:
        def export(spans: Any) -> Any:
            failed = (DROPPED, "export")
            try:
                result = inner(spans)
            except BaseException:
                self._add(failed, len(spans))
                raise
            self._add((EXPORTED, None) if result is SpanExportResult.SUCCESS else failed, len(spans))
            return result

        export.otel_llm_counted = True  # type: ignore[attr-defined]
        return export

    def _lost(self, inner: Any) -> Any:
        def drop_items(count: int, error_type: str = "queue_full") -> Any:
            self._add((DROPPED, error_type), count)
            return inner(count, error_type)

        return drop_items

    def _add(self, key: tuple[str, str | None], count: int) -> None:
        with boundary.guard("upkeep.count"):
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._counts.clear()
            self._counts[key] += count


class Upkeep:
    """The parts of this process, once they are there.

    Attributes:
        store: Where spans are kept.
        alerts: What takes calls up to be judged.
        exports: What goes out through exporters, as over OTLP.
        fleet: The process that judges with others, and whether it does at the moment.
        forwarders: What goes out of the store.
    """

    def __init__(self) -> None:
        self.store: Database | None = None
        self.alerts: AlertProcessor | None = None
        self.exports = Exports()
        self.forwarders: tuple[Forwarder, ...] = ()
        self.fleet: tuple[int, Callable[[], bool]] | None = None

    def joined(self) -> bool | None:
        """Whether this process judges with others; ``None`` where it is not to, or has not begun."""
        if self.fleet is None or self.fleet[0] != os.getpid():
            return None
        return self.fleet[1]()

    def fates(self) -> Iterator[Fate]:
        """What became of the spans that each part saw."""
        if self.store is not None and (stats := self.store.stats()).spans_seen:
            yield Fate("store", "seen", stats.spans_seen)
            yield Fate("store", "stored", stats.spans_stored)
            for reason, count in stats.spans_dropped.items():
                yield Fate("store", DROPPED, count, reason)
        if self.alerts is not None and self.alerts.intake.pid == os.getpid() and self.alerts.intake.seen:
            intake = self.alerts.intake
            yield Fate("alerts", "seen", intake.seen)
            yield Fate("alerts", "judged", intake.taken)
            if dropped := intake.dropped():
                yield Fate("alerts", DROPPED, dropped, "queue_full")
        yield from self.exports.fates()
        sent: Counter[str] = Counter()
        for forwarder in self.forwarders:
            sent.update(forwarder.counts())
        for reason, count in sent.items():
            kept = reason == EXPORTED
            yield Fate("forward", EXPORTED if kept else DROPPED, count, None if kept else reason)

    def depths(self) -> dict[str, int]:
        """What waits, by part."""
        waiting: dict[str, int] = {}
        if self.store is not None:
            waiting["store"] = self.store.stats().queue_depth
        if self.alerts is not None and self.alerts.intake.pid == os.getpid():
            waiting["alerts"] = len(self.alerts.intake.ended)
        if self.forwarders:
            waiting["forward"] = sum(forwarder.waiting for forwarder in self.forwarders)
        if (depth := self.exports.depth()) is not None:
            waiting["exporters"] = depth
        return waiting
