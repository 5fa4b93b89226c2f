"""Rows of the store for notebooks and scripts: lists of plain dicts, which data frames take as they are."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from otel_llm import config
from otel_llm.quantity import Duration
from otel_llm.store.flat import flat
from otel_llm.store.query import Filter, Reader
from otel_llm.store.values import presentable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load(  # noqa: PLR0913 - one argument a filter
    *,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    model: str | None = None,
    service: str | None = None,
    provider: str | None = None,
    limit: int | None = None,
    path: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Recorded calls, oldest first, one flat row for each attempt: ``pandas.DataFrame(otel_llm.load(since="1h"))``.

    Keys are the facts of a call (``request_model``, ``input_tokens``, ``time_to_first_token`` [s], ...), the span's
    ``trace_id``, ``span_id``, ``name``, ``start_time`` (UTC), ``duration`` [s], ``status``, and ``attributes`` with all
    others. What nobody said is ``None``.

    Args:
        since: Earliest start: ``"1h"`` (ago), ISO 8601, or a datetime; local unless it names its zone.
        until: Latest start, exclusive.
        model: Request or response model.
        service: ``service.name``.
        provider: Who serves the model.
        limit: The newest so many.
        path: The store; ``None`` is the configured one.

    Raises:
        otel_llm.store.query.NotFoundError: There is no store.
        otel_llm.store.query.StoreError: It cannot be read.
        ValueError: A time cannot be read.
    """
    chosen = Path(path).expanduser() if path is not None else config.load().store_path
    selection = Filter(
        since=_moment(since), until=_moment(until), model=model, service=service, provider=provider, limit=limit
    )
    with Reader(chosen) as store:
        return [_row(flat(span)) for span in store.stream(selection)]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in row.items():
        if name == "start_time_unix_nano":
            result["start_time"] = _EPOCH + timedelta(microseconds=value // 1000)
        else:
            result[name] = presentable(value) if isinstance(value, (str, tuple, dict)) else value
    return result


def _moment(value: str | datetime | None) -> int | None:
    """``value`` in nanoseconds since the epoch [ns]."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return time.time_ns() - int(Duration.parse(value) * 1e9)
        except ValueError:
            value = datetime.fromisoformat(value)
    return (value.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
