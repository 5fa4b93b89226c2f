"""Other people's spans of a call that the tap sees too: one of them tells the call, and goes on through the SDK.

The rules know no names of instrumentations. Of inference spans inside one another, directly or through other spans, the
outermost tells the call, and the tap adds what it lacks. A span that never became current, or that was made afterwards,
gives way to the one that was current while the request was sent, which may be the tap's own. What gives way keeps all
it says but its operation. `Peers` sees spans begin and end; without it only a current span is found.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from weakref import ref

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import Span, SpanKind

from otel_llm import boundary, semconv, shortcut

if TYPE_CHECKING:
    from otel_llm.calls import Call

_MEASURING_SCOPES: Final = ("opentelemetry.instrumentation.", "opentelemetry.util.genai")
"""Instrumentations that record ``gen_ai.client.*`` metrics of their own for the spans they make."""

_OPENINFERENCE_KINDS: Final = frozenset({"LLM", "EMBEDDING"})

_STATE: Final = "otel_llm_state"
"""The attribute of a span object that holds its `_State`: it lives as long as the span, and shows through proxies."""


class _State:
    """What is known of one span.

    Attributes:
        primary: The inference span that this one stands in, directly or not, or gives way to.
        told: Span id of the call that was told before this span, which claims to be older, began.
        scopes: Who else tells the call of this span.
        written: Attributes that the tap set here.
        open: Calls told on this span that have not ended.
    """

    __slots__ = ("open", "primary", "scopes", "told", "watched", "written")

    def __init__(self) -> None:
        self.primary: Any = None
        self.told: int | None = None
        self.watched = False
        self.scopes: set[str] = set()
        self.written: set[str] = set()
        self.open: set[Told] = set()


class Told(Protocol):
    """A call that is told on somebody else's span."""

    def tell_so_far(self) -> None:
        """Add what is known: the span is about to end."""


class _Own(NamedTuple):
    """A span of the tap's own."""

    span: int
    parent: int | None
    started_ns: int


_begun: ContextVar["ref[Any] | None"] = ContextVar("otel_llm_begun", default=None)
"""The inference span that somebody else began last in this context."""

_told: ContextVar[_Own | None] = ContextVar("otel_llm_told", default=None)
"""The call that the tap told last in this context."""


def is_inference(attributes: Mapping[str, Any] | None) -> bool:
    """Whether a span with ``attributes`` tells of one inference, in the convention's words or in OpenInference's."""
    if not attributes:
        return False
    operation = attributes.get(semconv.OPERATION_NAME)
    if operation is not None:
        return isinstance(operation, str) and operation in semconv.INFERENCE_OPERATIONS
    kind = attributes.get(semconv.OPENINFERENCE_SPAN_KIND)
    return isinstance(kind, str) and kind in _OPENINFERENCE_KINDS


def outer_span(context: Context) -> Span | None:
    """The span that tells the call about to be sent in ``context``, or ``None`` where nobody tells it yet."""
    found: Span | None = _primary(trace.get_current_span(context))
    return found


def join(span: Span, told: Told) -> None:
    """``told`` is a call on ``span``, and hears when that ends before the call does."""
    _state(span).open.add(told)
    _watch_end(span)


def part(span: Span, told: Told) -> None:
    """``told`` has ended."""
    _state(span).open.discard(told)


def begin(span: Span, started_ns: int) -> None:
    """The tap began ``span`` of its own at ``started_ns`` [ns]."""
    above = _span_id(getattr(span, "parent", None))
    if _begun.get() is not None:
        sibling = _open_sibling(above)
        if sibling is not None and semconv.SCOPE_NAME not in _state(sibling).scopes:
            _supersede(sibling, span, semconv.SCOPE_NAME)
    _told.set(_Own(span.get_span_context().span_id, above, started_ns))


def is_told_by_hand(span: Span) -> bool:
    """Whether ``span`` is of the client SDK, which measures what it and the tap know."""
    return _scope(span) == semconv.SCOPE_NAME


def is_measured(span: Span, *, own: bool = False) -> bool:
    """Whether somebody else records ``gen_ai.client.*`` metrics for the call of ``span``, which may be our ``own``."""
    if own and _STATE not in getattr(span, "__dict__", ()):  # as most are: nobody stands beside it
        return False
    if _scope(span).startswith(_MEASURING_SCOPES):
        return True
    state = getattr(span, _STATE, None)
    return state is not None and any(scope.startswith(_MEASURING_SCOPES) for scope in state.scopes)


def enrich(span: Span, call: "Call") -> None:
    """Add to somebody else's span what it lacks; what the tap said of an earlier attempt gives way.

    Its errors are its own to tell: an attempt that failed may be sent again and the call succeed.
    """
    if not span.is_recording():
        return  # its owner ended it first
    state = _state(span)
    said = getattr(span, "attributes", None) or {}
    for name, value in msgspec.structs.replace(call, error_type=None, error_code=None).attributes().items():
        if name not in said or name in state.written:
            span.set_attribute(name, value)
            state.written.add(name)


def _state(span: Any) -> _State:
    state = getattr(span, _STATE, None)
    if not isinstance(state, _State):
        state = _State()
        setattr(span, _STATE, state)
    return state


def _primary(span: Any) -> Any:
    """The inference span that ``span`` is or stands in."""
    if not span.is_recording():
        return None
    state = getattr(span, _STATE, None)
    if state is not None and state.primary is not None and state.primary.is_recording():
        return state.primary
    return span if is_inference(getattr(span, "attributes", None)) else None


def _open_sibling(parent: int | None) -> Any:
    """The inference span that was begun last in this context under ``parent``, where it has not ended."""
    begun = _begun.get()
    span = begun() if begun is not None else None
    return span if span is not None and span.is_recording() and _span_id(span.parent) == parent else None


def _supersede(span: Any, primary: Any, scope: str) -> None:
    """Have ``span``, which is not current, give way to ``primary``, made by ``scope``."""
    _state(span).scopes.add(scope)
    _state(span).primary = primary
    _state(primary).scopes.add(_scope(span))
    _watch_end(span)


def _span_id(context: Any) -> int | None:
    return context.span_id if context is not None and context.is_valid else None


def _scope(span: Any) -> str:
    scope = getattr(span, "instrumentation_scope", None)
    return scope.name if scope is not None else ""


class Peers(SpanProcessor):
    """Sees other people's spans begin and end; exports nothing."""

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Find out whether ``span`` tells a call that is told already."""
        try:
            own = _scope(span) == semconv.SCOPE_NAME
            if own and span.parent is None:
                return
            outer = _primary(trace.get_current_span(parent_context))
            if own and outer is None:
                return  # the tap's own, and nobody's beside it
            (_place_inference if is_inference(shortcut.attributes(span)) else _place)(span, outer)
        except Exception as error:  # noqa: BLE001 - the boundary; a guard costs more, at every span of the process
            boundary.swallow("record.peers", error)


def _place_inference(span: Any, outer: Any) -> None:
    """Who tells of each call once, and has told of the one around or beside this span, tells of another."""
    scope = _scope(span)
    if outer is not None:
        if scope not in _state(outer).scopes:
            _state(outer).scopes.add(scope)
            _state(span).primary = outer
            _watch_end(span)
    else:
        sibling = _open_sibling(_span_id(span.parent))
        if sibling is not None and scope not in {_scope(sibling), *_state(sibling).scopes}:
            _supersede(sibling, span, scope)
        _begun.set(ref(span))


def _place(span: Any, outer: Any) -> None:
    if outer is not None:
        if semconv.OPERATION_NAME not in span.attributes:  # inside a tool or an agent, calls are new ones
            _state(span).primary = outer
            if span.kind is SpanKind.CLIENT:
                _watch_end(span)
    elif span.kind is SpanKind.CLIENT:
        told = _told.get()
        if told is not None and span.start_time <= told.started_ns and _span_id(span.parent) == told.parent:
            _state(span).told = told.span
            _watch_end(span)


def _watch_end(span: Any) -> None:
    """Come in before ``span`` ends: whoever made it may say what he likes until then, and nobody anything after.

    The SDK lets no processor change a span that ends, so its method is replaced on this one object.
    """
    bare = getattr(span, "__wrapped__", span)
    state = _state(bare)
    if state.watched or not hasattr(bare, "__dict__"):
        return
    inner = bare.end

    def end(*args: Any, **kwargs: Any) -> None:
        with boundary.guard("record.peers"):
            vars(bare).pop("end", None)  # also unties the knot of the span holding what holds it
            for told in list(state.open):
                told.tell_so_far()
            _give_way(bare)
        inner(*args, **kwargs)

    bare.end = end
    state.watched = True


def _give_way(span: Any) -> None:
    state = _state(span)
    of = _span_id(state.primary.get_span_context()) if state.primary is not None else state.told
    if of is not None and is_inference(span.attributes):
        span.set_attribute(semconv.OPERATION_NAME, semconv.OPERATION_DUPLICATE)
        span.set_attribute(semconv.DUPLICATE_OF, f"{of:016x}")


def watch(provider: Any) -> None:
    """Have ``provider``, where it is the SDK's, tell of the spans of others; once."""
    if hasattr(provider, "add_span_processor") and not hasattr(provider, _STATE):
        setattr(provider, _STATE, True)
        provider.add_span_processor(Peers())
