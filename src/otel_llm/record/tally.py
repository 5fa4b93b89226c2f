"""What is counted of finished calls, and the series that they are measured in: one row for all calls alike.

Calls are measured some at a time, those of a series together: what the SDK takes to find, lock and enter a series is
paid once for all of them. `metrics` says when, and tells a reader what the rows hold.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram

from otel_llm import boundary, semconv
from otel_llm.calls import Call
from otel_llm.record.histogram import Measured, Origin, Series
from otel_llm.record.limits import Key

MOST: Final = 2000
"""Rows that are told apart, as many as the SDK's series; all other calls are one."""

_MOST_ERRORS: Final = 50
"""Values of ``error.type`` whose series are kept in a row."""

_OVERFLOW: Final[Key] = ((semconv.METRIC_OVERFLOW, True),)

_INPUT: Final = (semconv.TOKEN_TYPE, semconv.TOKEN_TYPE_INPUT)
_OUTPUT: Final = (semconv.TOKEN_TYPE, semconv.TOKEN_TYPE_OUTPUT)

Ended = tuple[Call, float, Context, bool, Key | None]
"""A call, how long it took [s], a context with its span, whether nobody else measures it, and what named it before."""


class Instruments(NamedTuple):
    """The histograms of calls."""

    duration: Histogram
    tokens: Histogram
    first_chunk: Histogram
    per_token: Histogram


class _Row:
    """Calls alike.

    Attributes:
        key: The allow-list: what names a series of a finished call. Each more costs every call three times over.
        counted: The row that counts them, where there are too many: else this one.
        first: How many were no resends.
        resent: How many were.
        spent: What they cost, by currency.
        failed: How long those took that failed, by ``error.type``.
    """

    __slots__ = (
        *("counted", "duration", "failed", "first", "first_chunk", "input", "key", "output", "per_token", "resent"),
        "spent",
    )

    def __init__(self, key: Key, instruments: Instruments, counted: "_Row | None" = None) -> None:
        self.key = key
        self.counted = counted or self
        self.first = self.resent = 0
        self.spent: dict[str | None, float] = {}
        self.duration = Series(instruments.duration, key)
        self.input = Series(instruments.tokens, (*key, _INPUT))
        self.output = Series(instruments.tokens, (*key, _OUTPUT))
        self.first_chunk = Series(instruments.first_chunk, key)
        self.per_token = Series(instruments.per_token, key)
        self.failed: dict[str, Series] = {}

    def lasted(self, error_type: str | None) -> Series:
        """The series of how long calls with this error took."""
        if error_type is None:
            return self.duration
        series = self.failed.get(error_type)
        if series is None:
            series = Series(self.duration.instrument, (*self.key, (semconv.ERROR_TYPE, error_type)))
            if len(self.failed) < _MOST_ERRORS:
                self.failed[error_type] = series
        return series


class Tally:
    """The rows of one meter; `measure` is called by one thread at a time."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._rows: dict[tuple[str | None, ...], _Row] = {}
        self._others = _Row(_OVERFLOW, instruments)
        self._begun: dict[Key, None] = {}

    def measure(self, ended: Sequence[Ended]) -> None:
        """Count and record calls that ``ended``, in this order."""
        found: dict[Series, list[Measured]] = {}
        for one in ended:
            try:
                for series, measured in self._look_at(*one):
                    if series in found:
                        found[series].append(measured)
                    else:
                        found[series] = [measured]
            except Exception as error:  # noqa: BLE001 - the boundary: one call costs no other
                boundary.swallow("record.metrics", error)
        for series, some in found.items():
            try:
                series.record(some)
            except Exception as error:  # noqa: BLE001 - the boundary: nor does one series cost another
                boundary.swallow("record.metrics", error)

    def _look_at(
        self,
        call: Call,
        duration: float,
        context: Context,
        shared: bool,  # noqa: FBT001 - as it was put down
        key: Key | None,
    ) -> list[tuple[Series, Measured]]:
        """Count ``call``; what is to be recorded of it."""
        row = self._row(call.operation, call.provider, call.request_model, call.server_address)
        origin = Origin(context)
        told: list[tuple[Series, Measured]] = []
        self._count(row.counted, call)
        self._note(identity(call.operation, call.provider, call.request_model) if key is None else key)
        if call.time_per_output_token is not None:
            told.append((row.per_token, (call.time_per_output_token, origin)))
        if shared:
            if call.usage_source == semconv.USAGE_SOURCE_PROVIDER:
                if call.input_tokens is not None:
                    told.append((row.input, (call.input_tokens, origin)))
                if call.output_tokens is not None:
                    told.append((row.output, (call.output_tokens, origin)))
            if call.time_to_first_chunk is not None:
                told.append((row.first_chunk, (call.time_to_first_chunk, origin)))
            told.append((row.lasted(call.error_type), (duration, origin)))
        return told

    def _row(self, operation: str, provider: str | None, model: str | None, server: str | None) -> _Row:
        names = (operation, provider, model, server)
        row = self._rows.get(names)
        if row is None:
            key = tuple((name, value) for name, value in zip(_NAMES, names, strict=True) if value is not None)
            kept = len(self._rows) < MOST
            row = _Row(key, self._instruments, None if kept else self._others)
            if kept:
                self._rows[names] = row
        return row

    def _count(self, row: _Row, call: Call) -> None:
        """What needs no distribution."""
        if call.resend_count:
            row.resent += 1
        else:
            row.first += 1
        if call.cost is not None:
            row.spent[call.cost_currency] = row.spent.get(call.cost_currency, 0.0) + call.cost

    def _note(self, key: Key) -> None:
        """Calls named so have been under way: from now on a reader is told when there are none."""
        if key not in self._begun and len(self._begun) < MOST:
            self._begun[key] = None

    def under_way(self, keys: Iterable[Key]) -> Iterator[tuple[Key, int]]:
        """How many calls are under way, by series; ``keys`` are theirs."""
        now = Counter(keys)
        for key in now:
            self._note(key)
        return ((key, now[key]) for key in list(self._begun))

    def operations(self) -> Iterator[tuple[Key, int]]:
        """How many calls there were, by series."""
        for row in self._all():
            if row is self._others:
                yield row.key, row.first + row.resent
                continue
            for resent, number in ((False, row.first), (True, row.resent)):
                if number:
                    yield (*row.key, (semconv.RESEND, resent)), number

    def spent(self) -> Iterator[tuple[Key, float]]:
        """What they cost, by series."""
        for row in self._all():
            for currency, amount in list(row.spent.items()):
                yield (*row.key, (semconv.COST_CURRENCY, currency)), amount

    def _all(self) -> Iterable[_Row]:
        rows = list(self._rows.values())
        return [*rows, self._others] if self._others.first or self._others.resent else rows


@functools.lru_cache(MOST)
def identity(operation: str, provider: str | None, model: str | None) -> Key:
    """What names a series before any answer is known."""
    named = ((semconv.OPERATION_NAME, operation), (semconv.PROVIDER_NAME, provider), (semconv.REQUEST_MODEL, model))
    return tuple((name, value) for name, value in named if value is not None)


_NAMES: Final = (semconv.OPERATION_NAME, semconv.PROVIDER_NAME, semconv.REQUEST_MODEL, semconv.SERVER_ADDRESS)
