"""Room store: the doors of OpenTelemetry's SDK. Exporters for whoever names ``sqlite``, processors for our distro.

Constructing any of them opens nothing: the SDK constructs exporters even when it is disabled.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm import boundary
from otel_llm.store.database import Database, shared

EXPORT_TIMEOUT: Final = 10.0
"""[s] How long an export waits until its batch is on disk."""

EXIT_TIMEOUT: Final = 1.0
"""[s] How long a shutdown waits."""

TEMPORALITY: Final[dict[type, AggregationTemporality]] = {
    Counter: AggregationTemporality.DELTA,
    ObservableCounter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
}
"""Rows of deltas can be summed, and a restart does no harm."""


def _flush(database: Database, timeout: float) -> bool:
    """Whether everything is on disk within ``timeout`` [s]."""
    with boundary.guard("store.flush"):
        return database.flush(timeout)
    return False


class SqliteSpanExporter(SpanExporter):
    """Writes spans to the store; an export succeeds once its batch is on disk.

    Args:
        path: The database; ``None`` is the process's own (`shared`).
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._database = shared(path)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write ``spans`` and wait until they are on disk."""
        with boundary.guard("store.export"):
            accepted = [self._database.submit_span(span) for span in spans]
            durable = self._database.flush(EXPORT_TIMEOUT)
            return SpanExportResult.SUCCESS if durable and all(accepted) else SpanExportResult.FAILURE
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Bring what is queued to disk; others may still use the database."""
        _flush(self._database, EXIT_TIMEOUT)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether everything is on disk within ``timeout_millis`` [ms]."""
        return _flush(self._database, timeout_millis / 1000)


class SqliteLogRecordExporter(LogRecordExporter):
    """Writes log records to the store; an export succeeds once its batch is on disk.

    Args:
        path: The database; ``None`` is the process's own (`shared`).
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._database = shared(path)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write ``batch`` and wait until it is on disk."""
        with boundary.guard("store.export"):
            durable = self._database.submit_logs(batch) and self._database.flush(EXPORT_TIMEOUT)
            return LogRecordExportResult.SUCCESS if durable else LogRecordExportResult.FAILURE
        return LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Bring what is queued to disk; others may still use the database."""
        _flush(self._database, EXIT_TIMEOUT)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether everything is on disk within ``timeout_millis`` [ms]."""
        return _flush(self._database, timeout_millis / 1000)


class SqliteMetricExporter(MetricExporter):
    """Writes metrics to the store, as deltas; an export succeeds once its batch is on disk.

    Args:
        path: The database; ``None`` is the process's own (`shared`).
    """

    def __init__(self, path: Path | str | None = None) -> None:
        super().__init__(preferred_temporality=TEMPORALITY)
        self._database = shared(path)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_kwargs: Any) -> MetricExportResult:
        """Write ``metrics_data`` and wait until it is on disk, at most ``timeout_millis`` [ms]."""
        with boundary.guard("store.export"):
            durable = self._database.submit_metrics(metrics_data) and self._database.flush(timeout_millis / 1000)
            return MetricExportResult.SUCCESS if durable else MetricExportResult.FAILURE
        return MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:
        """Bring what is queued to disk. The SDK's reader passes the time as ``timeout``, hence the keywords."""
        _flush(self._database, min(EXIT_TIMEOUT, timeout_millis / 1000))

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Whether everything is on disk within ``timeout_millis`` [ms]."""
        return _flush(self._database, timeout_millis / 1000)


class StoreSpanProcessor(SpanProcessor):
    """Hands finished spans to the store, with no queue but the store's own: on disk within 200 ms.

    Args:
        database: Where they go.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def on_end(self, span: ReadableSpan) -> None:
        """Queue ``span`` if it was sampled."""
        try:
            if span.context is not None and span.context.trace_flags.sampled:
                self._database.submit_span(span)
        except Exception as error:  # noqa: BLE001 - the SDK has no guard of its own here; cheaper than `guard`
            boundary.swallow("store.on_end", error)

    def shutdown(self) -> None:
        """Bring what is queued to disk."""
        _flush(self._database, EXIT_TIMEOUT)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether everything is on disk within ``timeout_millis`` [ms]."""
        return _flush(self._database, timeout_millis / 1000)


class StoreLogProcessor(LogRecordProcessor):
    """Hands log records to the store.

    Args:
        database: Where they go.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue the record as it is now: later processors may change theirs."""
        with boundary.guard("store.on_emit"):
            record = ReadableLogRecord(
                log_record=log_record.log_record,
                resource=log_record.resource or Resource.get_empty(),
                instrumentation_scope=log_record.instrumentation_scope,
                limits=log_record.limits,
            )
            self._database.submit_logs((record,))

    def shutdown(self) -> None:
        """Bring what is queued to disk."""
        _flush(self._database, EXIT_TIMEOUT)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether everything is on disk within ``timeout_millis`` [ms]."""
        return _flush(self._database, timeout_millis / 1000)


class StoreMetricReader(MetricReader):
    """Collects metrics on the writer's thread, so that nothing runs before the first span and no thread is added.

    Args:
        database: Where they go.
        interval: Between two collections [s].
    """

    def __init__(self, database: Database, interval: float = 10.0) -> None:
        super().__init__(preferred_temporality=TEMPORALITY)
        self._database = database
        self._cancel = database.every(interval, self.collect)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_kwargs: Any) -> None:  # noqa: ARG002 - the SDK's signature
        if any(
            of_scope.metrics for of_resource in metrics_data.resource_metrics for of_scope in of_resource.scope_metrics
        ):
            self._database.submit_metrics(metrics_data)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Collect now; whether everything is on disk within ``timeout_millis`` [ms]."""
        with boundary.guard("store.collect"):
            self.collect(timeout_millis)
        return _flush(self._database, timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:
        """Collect a last time and bring what is queued to disk."""
        self._cancel()
        with boundary.guard("store.collect"):
            self.collect(min(EXIT_TIMEOUT * 1000, timeout_millis))
        _flush(self._database, EXIT_TIMEOUT)
