"""Room store: which calls to read, as a value and as SQL."""

from typing import Any, Final

import msgspec

from otel_llm import semconv

OPERATIONS: Final = ", ".join(f"'{operation}'" for operation in sorted(semconv.INFERENCE_OPERATIONS))
"""SQL list of the operations that are calls."""

_IN_ROW: Final = "(series.name IS NULL AND spans.attributes ->> '$.\"{}\"' = ?)"
"""Of a span whose series overflowed, the row's own JSON holds the value."""

_MODEL: Final = (
    f"(series.request_model = ? OR series.response_model = ? OR {_IN_ROW.format(semconv.REQUEST_MODEL)}"
    f" OR {_IN_ROW.format(semconv.RESPONSE_MODEL)})"
)
_PROVIDER: Final = f"(series.provider = ? OR {_IN_ROW.format(semconv.PROVIDER_NAME)})"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls to read; ``None`` asks nothing.

    Attributes:
        since: Earliest start, inclusive [ns since the epoch].
        until: Latest start, exclusive [ns since the epoch].
        model: Request or response model.
        service: ``service.name`` of the resource.
        provider: ``gen_ai.provider.name``.
        limit: How many at most.
    """

    since: int | None = None
    until: int | None = None
    model: str | None = None
    service: str | None = None
    provider: str | None = None
    limit: int | None = None

    def where(self, *, every: bool = False) -> tuple[str, list[Any]]:
        """SQL condition on ``spans``, ``series`` and ``resources``, and its values; ``every`` span or only calls."""
        asked: list[tuple[str, object]] = [
            ("spans.start_time >= ?", self.since),
            ("spans.start_time < ?", self.until),
            (_MODEL, self.model),
            ("resources.service = ?", self.service),
            (_PROVIDER, self.provider),
        ]
        said = [(condition, value) for condition, value in asked if value is not None]
        inference = "1" if every else f"series.operation IN ({OPERATIONS})"
        conditions = [inference, *(condition for condition, _ in said)]
        return " AND ".join(conditions), [value for condition, value in said for _ in range(condition.count("?"))]
