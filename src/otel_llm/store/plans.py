"""Room store: which attribute goes where, decided once for each set of attributes. No I/O, no clock.

Which field of a `Call` has a column, and where, is said once, here; `schema/` follows and a test compares the two.
Most spans carry the same attributes, of the same types, as one before. So the decision is made for names and types
together and remembered as a `Plan`; a span's values are then moved in C.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from math import copysign, inf, isfinite, prod
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from otel_llm.calls import ATTRIBUTES, KINDS
from otel_llm.store import redaction
from otel_llm.store.values import is_clean

SPAN_FIELDS: Final = (
    *("time_to_first_token", "time_per_output_token", "queue_wait", "time_to_first_chunk", "stream_max_gap"),
    *("connection_wait", "backoff", "retry_after", "server_queue_time", "server_prefill_time", "server_decode_time"),
    *("cost", "energy", "energy_idle"),
    *("input_tokens", "output_tokens", "resend_count", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("reasoning_output_tokens", "stream_chunks", "remaining_requests", "remaining_tokens", "max_tokens", "seed"),
    "response_id",
)
"""Fields of `Call` that differ from call to call: columns of ``spans``."""

PARAMETER_FIELDS: Final = (
    *("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop_sequences", "choice_count"),
    *("reasoning_level", "encoding_formats", "dimension_count", "limit_requests", "limit_tokens"),
)
"""Fields of `Call` that a program repeats with every call: together one row of ``parameters``."""

SERIES_FIELDS: Final = (
    *("operation", "provider", "request_model", "response_model", "server_address", "server_port", "stream"),
    *("finish_reasons", "usage_source", "outcome", "error_type", "error_code", "status_code", "queue_name"),
    *("truncated", "service_tier", "cost_currency", "cost_source", "energy_method"),
)
"""Fields of `Call` that few values share out among many calls: columns of ``series``."""

Values: TypeAlias = tuple[Any, ...]
Pick: TypeAlias = Callable[[Values], Values]

_SPAN_PLACES: Final = {ATTRIBUTES[name]: (name, KINDS[name]) for name in SPAN_FIELDS}
_SHARED_KINDS: Final = {ATTRIBUTES[name]: KINDS[name] for name in (*SERIES_FIELDS, *PARAMETER_FIELDS)}
_INT63: Final = 2**63
_MAX_PLANS: Final = 2048
_MAX_RECENT: Final = 4
_sharings: Final = count()


class Misfit:
    """Stands for the type of a value that no column can hold."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What becomes of the values of a span with certain attributes.

    The functions take the values with a ``None`` after the last, if nothing else is said.

    Attributes:
        sharing: The same for plans whose `shared` have the same names and types.
        shared: Values that `SERIES_FIELDS` and `PARAMETER_FIELDS` have a place for.
        columns: Columns of ``spans`` that have a value.
        pick: Their values.
        series: Values of `SERIES_FIELDS`.
        parameters: Values of `PARAMETER_FIELDS`; no function when there are none.
        floats: Values that must be finite.
        rest: Names and places of what goes into JSON.
        cleaned: Those of them that must be cleaned first.
        order: Takes all values out of the attributes: those of `columns`, then the shared ones.
        names: Of the attributes in that order.
        kinds: The types of what it gives.
        columned: The first part of that.
        uncolumned: The second part.
        unsafe: Those of it that must be finite.
        statements: Made by the user of the plan: the INSERT for each set of columns besides.
    """

    sharing: int
    shared: Pick
    columns: tuple[str, ...]
    pick: Pick
    series: Pick
    parameters: Pick | None
    floats: Pick
    rest: tuple[tuple[str, int], ...]
    cleaned: tuple[str, ...]
    order: Callable[[Mapping[str, Any]], Values]
    names: tuple[str, ...]
    kinds: tuple[type, ...]
    columned: Pick
    uncolumned: Pick
    unsafe: Pick
    statements: dict[int, str] = msgspec.field(default_factory=dict[int, str])

    def suits(self, values: Values) -> bool:
        """Whether the floats come back as they are: SQLite keeps neither NaN nor the sign of zero."""
        return _kept(self.floats(values))

    def suit(self, many: Iterable[Values]) -> bool:
        """The same for many, of what `order` gives."""
        floats = [*map(self.unsafe, many)]
        products = [*map(prod, floats)]
        return isfinite(sum(products)) and (min(products) > 0.0 or all(map(_kept, floats)))

    def remainder(self, values: Values) -> dict[str, Any]:
        """What goes into JSON, without what must not be stored."""
        rest = {name: values[index] for name, index in self.rest}
        for name in self.cleaned:
            rest[name] = redaction.clean(name, rest[name])
        return rest


class Plans:
    """Makes and remembers plans."""

    def __init__(self) -> None:
        self._plans: dict[tuple[tuple[str, ...], tuple[type, ...]], Plan] = {}
        self._recent: dict[int, tuple[Plan, ...]] = {}

    def plan(self, names: tuple[str, ...], kinds: tuple[type, ...]) -> Plan:
        """The plan for attributes with these names and types."""
        key = (names, kinds)
        known = self._plans.get(key)
        if known is None:
            known = _make(names, kinds)
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
                self._recent.clear()
            self._plans[key] = known
            if not known.rest and names:
                self._recent[len(names)] = (known, *self._recent.get(len(names), ()))[:_MAX_RECENT]
        return known

    def guess(self, held: Mapping[str, Any]) -> tuple[Plan, Values] | None:
        """A plan that has a column for all of ``held``, and the values in its order, if one was made before."""
        for plan in self._recent.get(len(held), ()):
            try:
                values = plan.order(held)
            except KeyError:
                continue
            if tuple(map(type, values)) == plan.kinds:
                return plan, values
        return None

    def careful(self, names: tuple[str, ...], values: Values) -> Plan:
        """The plan that leaves out of the columns what would not come back as it is."""
        return self.plan(names, tuple(type(value) if _fits(value) else Misfit for value in values))


def _make(names: tuple[str, ...], kinds: tuple[type, ...]) -> Plan:
    spans: list[tuple[str, int]] = []
    shared: dict[str, int] = {}
    rest: list[tuple[str, int]] = []
    cleaned: list[str] = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        field, wanted = _SPAN_PLACES.get(name, (None, None))
        if field is not None and kind is wanted:
            spans.append((field, index))
        elif _SHARED_KINDS.get(name) is kind:
            shared[name] = index
        else:
            verdict = redaction.verdict(name)
            if verdict != redaction.DROP:
                rest.append((name, index))
            if verdict == redaction.CLEAN:
                cleaned.append(name)
    held = [*(index for _, index in spans), *shared.values()]
    nothing = len(names)
    parameters = [shared.get(ATTRIBUTES[field], nothing) for field in PARAMETER_FIELDS]
    common = sorted(shared)
    order = [*(index for _, index in spans), *(shared[name] for name in common)]
    ordered = tuple(kinds[index] for index in order)
    ordered_names = tuple(names[index] for index in order)
    return Plan(
        sharing=_sharing(tuple(common), ordered[len(spans) :]),
        shared=_picker([shared[name] for name in common]),
        columns=tuple(field for field, _ in spans),
        pick=_picker([index for _, index in spans]),
        series=_picker([shared.get(ATTRIBUTES[field], nothing) for field in SERIES_FIELDS]),
        parameters=_picker(parameters) if min(parameters) < nothing else None,
        floats=_picker([index for index in held if kinds[index] is float]),
        rest=tuple(rest),
        cleaned=tuple(cleaned),
        order=_picker(ordered_names),
        names=ordered_names,
        kinds=ordered,
        columned=itemgetter(slice(len(spans))),
        uncolumned=itemgetter(slice(len(spans), None)),
        unsafe=_picker([place for place, kind in enumerate(ordered) if kind is float]),
    )


@lru_cache(_MAX_PLANS)
def _sharing(names: tuple[str, ...], kinds: tuple[type, ...]) -> int:  # noqa: ARG001 - they are what is counted
    """A number for each set of names with types."""
    return next(_sharings)


def _kept(floats: Values) -> bool:
    """Whether SQLite gives these floats back as they are."""
    if 0.0 < prod(floats) < inf:
        return True
    return isfinite(sum(floats)) and all(copysign(1.0, value) > 0.0 for value in floats if value == 0.0)


def _picker(indexes: Sequence[Any]) -> Callable[[Any], Values]:
    """`itemgetter` that always gives a tuple."""
    if not indexes:
        return lambda _: ()
    if len(indexes) == 1:
        (only,) = indexes
        return lambda values: (values[only],)
    return itemgetter(*indexes)


def _fits(value: Any) -> bool:
    """Whether a column gives ``value`` back as it is: SQLite has no NaN, no negative zero and no wider integers."""
    kind = type(value)
    if kind is float:
        return isfinite(value) and (value != 0.0 or copysign(1.0, value) > 0.0)
    if kind is int:
        return bool(-_INT63 <= value < _INT63)
    if kind is str:
        return is_clean(value)
    return kind is bool or (kind is tuple and all(type(item) is str and is_clean(item) for item in value))
