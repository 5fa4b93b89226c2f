"""Begins the spans of calls, by a shorter way than the SDK's own where a trial of it allows that.

To begin a span the SDK took a quarter of all that a call costs: it cleans attributes that are clean, and hands a score
of values through four constructors. Here a span gets what the SDK's have, at once. That is no public interface, so each
tracer is tried on a twin of it that asks nobody else: of a root and of children, dropped, recorded and sampled, both
ways must make the same. Where they do not, or where anybody has replaced the SDK's function, spans begin by the public
door, as those with links do anyway. Sampler, ids and processors are asked as ever.
"""

import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from itertools import product
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    DEFAULT_TRACE_STATE,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    TraceState,
)

from otel_llm.calls import Value

_MOST_TRACE_ID: Final = (1 << 128) - 1
_MOST_SPAN_ID: Final = (1 << 64) - 1


class Spans:
    """Begins spans of ``tracer``, of whatever SDK."""

    __slots__ = ("_pattern", "_tracer")

    def __init__(self, tracer: Tracer) -> None:
        self._tracer: Any = tracer
        self._pattern: _Pattern | None = None
        with suppress(Exception):
            pattern = _Pattern(self._tracer)
            if _agree(pattern, self._tracer):
                self._pattern = pattern

    def begin(self, name: str, context: Context, attributes: dict[str, Value], started_ns: int) -> Span:
        """What ``tracer.start_span(name, context, SpanKind.CLIENT, attributes, start_time=started_ns)`` does.

        Args:
            name: Of the span.
            context: Of its parent.
            attributes: Strings and numbers; they stay as they are.
            started_ns: Since the epoch [ns].
        """
        pattern, tracer = self._pattern, self._tracer
        if pattern is not None and pattern.fits(tracer, attributes):
            return pattern.begin(tracer, name, context, attributes, started_ns)
        span: Span = tracer.start_span(
            name, context=context, kind=SpanKind.CLIENT, attributes=attributes.copy(), start_time=started_ns
        )
        return span


class _Pattern:
    """What the spans of one tracer are made of, taken from one that its SDK made."""

    __slots__ = (
        *("_attributes", "_door", "_events", "_flags", "_limits", "_links", "_list", "_metrics", "_room", "_span"),
        "_types",
    )

    def __init__(self, tracer: Any) -> None:
        from opentelemetry.sdk.trace.sampling import Decision  # noqa: PLC0415 - who has such a tracer has the SDK

        twin, _ = _twin(tracer, Decision.RECORD_AND_SAMPLE, {})
        span = twin.start_span("pattern", Context(), SpanKind.CLIENT, {}, start_time=1)
        held, several = span._attributes, span._events  # noqa: SLF001 - see above
        self._door = twin.start_span.__func__
        self._metrics = type(twin._tracer_metrics)  # noqa: SLF001
        self._types = type(span), type(held), type(several)
        self._span = {**vars(span), "_start_time": None}
        self._attributes = dict(vars(held))
        self._list = dict(vars(several))
        self._events, self._links = several._dq, span._links._dq  # noqa: SLF001
        self._limits = tracer._span_limits  # noqa: SLF001
        cut = self._limits.max_span_attribute_length is not None
        most = self._limits.max_span_attributes
        self._room = 0 if cut else sys.maxsize if most is None else most
        self._flags = {
            (sampled, random): TraceFlags(TraceFlags.SAMPLED * sampled | TraceFlags.RANDOM_TRACE_ID * random)
            for sampled in (False, True)
            for random in (False, True)
        }

    def fits(self, tracer: Any, attributes: Mapping[str, Value]) -> bool:
        """Whether ``tracer`` is still what it was when it was tried, and asks nothing out of the ordinary."""
        try:
            return (
                tracer.start_span.__func__ is self._door
                and tracer._tracer_config.is_enabled  # noqa: SLF001
                and type(tracer._tracer_metrics) is self._metrics  # noqa: SLF001 - else it counts spans
                and tracer._span_limits is self._limits  # noqa: SLF001
                and len(attributes) <= self._room
            )
        except AttributeError:
            return False

    def begin(self, tracer: Any, name: str, context: Context, attributes: dict[str, Value], started_ns: int) -> Span:
        """See `Spans.begin`."""
        ids = tracer.id_generator
        parent: SpanContext | None = trace.get_current_span(context).get_span_context() if context else None
        if parent is None or not parent.is_valid:
            parent, trace_id = None, ids.generate_trace_id()
        else:
            trace_id = parent.trace_id
        # A copy, for a sampler may change it.
        result = tracer.sampler.should_sample(context, trace_id, name, SpanKind.CLIENT, attributes.copy(), ())
        random = ids.is_trace_id_random() if parent is None else parent.trace_flags.random_trace_id
        flags = self._flags[result.decision.is_sampled(), random]
        state = DEFAULT_TRACE_STATE if result.trace_state is None else result.trace_state
        span_id = ids.generate_span_id()
        valid = 0 < trace_id <= _MOST_TRACE_ID and 0 < span_id <= _MOST_SPAN_ID
        own = tuple.__new__(SpanContext, (trace_id, span_id, False, flags, state, valid))
        if not result.decision.is_recording():
            return NonRecordingSpan(own)
        span = self._make(tracer, name, own, parent)
        held = span._attributes  # noqa: SLF001
        if result.attributes == attributes:
            held._dict.update(attributes)  # noqa: SLF001
        else:  # a sampler's own may be of any kind
            held._set_items(result.attributes)  # noqa: SLF001
        span.start(start_time=started_ns, parent_context=context)
        return span  # type: ignore[no-any-return]

    def _make(self, tracer: Any, name: str, own: SpanContext, parent: SpanContext | None) -> Any:
        """A span that has not begun and has no attributes."""
        kind, of_attributes, of_several = self._types
        held = self._attributes.copy()  # in one step; to build it from names takes as long as the SDK's way
        held["_dict"], held["_lock"] = {}, threading.Lock()
        events, links = self._list.copy(), self._list.copy()
        events["_dq"], events["_lock"] = self._events.copy(), threading.Lock()
        links["_dq"], links["_lock"] = self._links.copy(), threading.Lock()
        span = self._span.copy()
        span["_name"], span["_context"], span["_parent"], span["_lock"] = name, own, parent, threading.Lock()
        span["_resource"], span["_sampler"] = tracer.resource, tracer.sampler
        span["_span_processor"] = tracer.span_processor
        span["_instrumentation_info"] = tracer.instrumentation_info
        span["_instrumentation_scope"] = tracer._instrumentation_scope  # noqa: SLF001
        span["_attributes"] = _filled(of_attributes, held)
        span["_events"], span["_links"] = _filled(of_several, events), _filled(of_several, links)
        return _filled(kind, span)


def _filled(kind: type, fields: dict[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    made.__dict__ = fields
    return made


# --- the trial -----------------------------------------------------------------------------------------------------


class _Twins:
    """The sampler, the ids and the processor of a twin: what is asked of each, always the same is answered.

    Args:
        decision: The sampler's, of the SDK's kind.
        more: Attributes that the sampler adds.
    """

    def __init__(self, decision: Any, more: Mapping[str, Any]) -> None:
        self._decision = decision
        self._more = more
        self.seen: list[tuple[Any, Any]] = []

    def should_sample(self, *given: Any) -> Any:
        from opentelemetry.sdk.trace.sampling import SamplingResult  # noqa: PLC0415 - who has such a tracer has the SDK

        given[4].update(self._more)
        state = TraceState([("a", "b")]) if self._more else None
        return SamplingResult(self._decision, given[4], state)

    def generate_span_id(self) -> int:
        return 1

    def generate_trace_id(self) -> int:
        return 2

    def is_trace_id_random(self) -> bool:
        return not self._more

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.seen.append((span, parent_context))


def _twin(tracer: Any, decision: Any, more: Mapping[str, Any]) -> tuple[Any, _Twins]:
    """A tracer as ``tracer`` is, but for what it asks; what is tried is not counted among the SDK's spans."""
    from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics  # noqa: PLC0415

    twin, twins = copy(tracer), _Twins(decision, more)
    twin.sampler = twin.id_generator = twin.span_processor = twins
    twin._tracer_metrics = NoOpTracerMetrics()  # noqa: SLF001
    return twin, twins


def _agree(pattern: "_Pattern", tracer: Any) -> bool:
    """Whether ``pattern`` makes the spans that the SDK makes of ``tracer``, whatever the parent and the sampler say."""
    from opentelemetry.sdk.trace.sampling import Decision  # noqa: PLC0415

    parents = [Context(), *(_around(flags) for flags in (TraceFlags.DEFAULT, 3))]
    changed = (Decision.RECORD_AND_SAMPLE, parents[0], {"added": ["a", 1]})
    for decision, context, more in (*product(Decision, parents, ({},)), changed):
        twin, twins = _twin(tracer, decision, more)
        slow = twin.start_span("name", context, SpanKind.CLIENT, _SPECIMEN.copy(), start_time=1)
        if not pattern.fits(twin, _SPECIMEN):
            return False
        swift = pattern.begin(twin, "name", context, _SPECIMEN, 1)
        if not _same(slow, swift) or twins.seen not in ([], [(slow, context), (swift, context)]):
            return False
    return True


_SPECIMEN: Final[dict[str, Value]] = {"text": "a", "number": 1, "share": 0.5, "flag": True}


def _around(flags: int) -> Context:
    """A context with a span of these flags."""
    parent = SpanContext(3, 4, is_remote=False, trace_flags=TraceFlags(flags))
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _same(one: Any, other: Any) -> bool:
    """Whether both are made of the same, in the same order; a lock is as good as another."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        same = list(one) == list(other) and all(map(_same, one.values(), other.values()))
    elif isinstance(one, tuple):
        same = len(one) == len(other) and all(map(_same, one, other))
    elif isinstance(one, deque):
        same = one == other and one.maxlen == other.maxlen
    elif hasattr(one, "__dict__"):
        same = _same(vars(one), vars(other))
    else:
        same = isinstance(one, type(threading.Lock())) or bool(one == other)
    return same
