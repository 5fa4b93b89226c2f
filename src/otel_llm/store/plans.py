"""Room store: which attribute goes where, decided once for each set of attributes. No I/O, no clock.

Which field of a `Call` has a column, and where, is said once, here; `schema/` follows and a test compares the two.
Most spans carry the same attributes, of the same types, as one before. So the decision is made for names and types
together and remembered as a `Plan`; a span's values are then moved in C.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, count, repeat
from math import copysign, inf, isfinite, prod
from operator import add, itemgetter
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
_NUMBERS: Final = frozenset({bool, int, float})
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
        own: Takes the values of `columns` out of the attributes.
        common: Takes those of `shared` out of them.
        names: Of the attributes: what `own` takes, then what `common` takes.
        numbers: What of `common` is no text; it comes first.
        kinds: The types of `own` and `numbers`.
        unsafe: Those of both that must be finite.
        statements: Made by the user of the plan: the INSERTs for each set of columns besides.
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
    own: Callable[[Mapping[str, Any]], Values]
    common: Callable[[Mapping[str, Any]], Values]
    names: tuple[str, ...]
    numbers: Pick
    kinds: tuple[type, ...]
    unsafe: Pick
    statements: dict[int, tuple[str, str]] = msgspec.field(default_factory=dict[int, tuple[str, str]])

    def suits(self, values: Values) -> bool:
        """Whether the floats come back as they are: SQLite keeps neither NaN nor the sign of zero."""
        return _kept(self.floats(values))

    def takes(self, own: Iterable[Values], common: Iterable[Values]) -> bool:
        """Whether all of them are of the plan's types and come back as they are.

        Texts among what is common are not looked at: they are compared with those that were when they came first.
        """
        seen = [*map(add, own, map(self.numbers, common))]
        kinds = [*map(type, chain.from_iterable(seen))]
        return kinds == [*self.kinds] * len(seen) and _are_kept([*chain.from_iterable(map(self.unsafe, seen))])

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

    def guess(self, many: Sequence[Mapping[str, Any]]) -> tuple[Plan, list[Values], list[Values]] | None:
        """A plan that has a column for all of each of ``many``, if one was made before; what it has own and common.

        Args:
            many: Attributes of one or more spans, of each as many.
        """
        for plan in self._recent.get(len(many[0]), ()):
            try:
                own, common = [*map(plan.own, many)], [*map(plan.common, many)]
            except KeyError:
                continue
            if plan.takes(own, common):
                return plan, own, common
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
    common = sorted(shared, key=lambda name: (kinds[shared[name]] not in _NUMBERS, name))
    own_names = tuple(names[index] for _, index in spans)
    common_kinds = tuple(kinds[shared[name]] for name in common)
    numbers = [kind for kind in common_kinds if kind in _NUMBERS]
    exact = (*(kinds[index] for _, index in spans), *numbers)
    return Plan(
        sharing=_sharing(tuple(common), common_kinds),
        shared=_picker([shared[name] for name in common]),
        columns=tuple(field for field, _ in spans),
        pick=_picker([index for _, index in spans]),
        series=_picker([shared.get(ATTRIBUTES[field], nothing) for field in SERIES_FIELDS]),
        parameters=_picker(parameters) if min(parameters) < nothing else None,
        floats=_picker([index for index in held if kinds[index] is float]),
        rest=tuple(rest),
        cleaned=tuple(cleaned),
        own=_picker(own_names),
        common=_picker(common),
        names=(*own_names, *common),
        numbers=itemgetter(slice(len(numbers))),
        kinds=exact,
        unsafe=_picker([place for place, kind in enumerate(exact) if kind is float]),
    )


@lru_cache(_MAX_PLANS)
def _sharing(names: tuple[str, ...], kinds: tuple[type, ...]) -> int:  # noqa: ARG001 - they are what is counted
    """A number for each set of names with types."""
    return next(_sharings)


def _kept(floats: Sequence[float]) -> bool:
    """Whether SQLite gives these floats back as they are."""
    if 0.0 < prod(floats) < inf:
        return True
    return isfinite(sum(floats)) and all(copysign(1.0, value) > 0.0 for value in floats if value == 0.0)


def _are_kept(floats: Sequence[float]) -> bool:
    """The same for many, most of which are finite and above zero."""
    return isfinite(sum(floats)) and (
        min(floats, default=1.0) > 0.0 or min(map(copysign, repeat(1.0), floats)) > 0.0 or _kept(floats)
    )


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
