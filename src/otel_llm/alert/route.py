"""Room alert: which receivers get to know of what, and together with what. No I/O, no clock.

Words and order are Alertmanager's: the first route that matches takes an alert, a route with ``continue`` lets the next
ones have it too, and the deepest match decides. Who is reached twice is told once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from otel_llm.alert.pick import Draft, Pick, WrongError
from otel_llm.alert.receiver_keys import ROUTE
from otel_llm.alert.rule import NAME, label_name
from otel_llm.document import Document, Fault, did_you_mean, quote
from otel_llm.ledger import Message, Silence

ALL: Final = "..."
"""In ``group_by``: every label, so that each alert is told by itself."""

Labels = Mapping[str, str]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the tree.

    Attributes:
        receiver: Who is told; ``None`` tells nobody here.
        match: Labels, and the values that each may have.
        go_on: Whether the routes after it are asked too (``continue``).
        group_by: Labels whose values are the same within one notification.
        group_wait: How long the first message of a group waits for others [s].
        group_interval: Least time between two notifications of a group [s].
        repeat_interval: Repeats are told at most this often; ``None`` leaves it to the rule [s].
        routes: Asked before this one is taken.
        path: From the root, as ``groupKey`` says it.
    """

    receiver: str | None = None
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    go_on: bool = False
    group_by: tuple[str, ...] = (NAME,)
    group_wait: float = 5.0
    group_interval: float = 60.0
    repeat_interval: float | None = None
    routes: tuple["Route", ...] = ()
    path: str = "{}"

    def takes(self, labels: Labels) -> bool:
        """Whether an alert with ``labels`` matches."""
        return all(labels.get(name, "") in values for name, values in self.match)

    def find(self, labels: Labels) -> list["Route"]:
        """The routes that an alert with ``labels`` takes from here."""
        if not self.takes(labels):
            return []
        found: list[Route] = []
        for route in self.routes:
            below = route.find(labels)
            found += below
            if below and not route.go_on:
                break
        return found or ([] if self.receiver is None else [self])

    def group(self, labels: Labels) -> dict[str, str]:
        """The labels that an alert's group has in common by this route."""
        if ALL in self.group_by:
            return dict(sorted(labels.items()))
        return {name: labels[name] for name in sorted(self.group_by) if name in labels}

    def key(self, labels: Labels) -> str:
        """``groupKey`` of an alert, as Alertmanager writes it."""
        said = ", ".join(f"{name}={_quoted(value)}" for name, value in self.group(labels).items())
        return f"{self.path}:{{{said}}}"


def interpret(
    written: tuple[Document, Mapping[str, Any]] | None, receivers: Sequence[str], always: Sequence[str] = ()
) -> tuple[Route, list[Fault]]:
    """The tree, and every mistake in it. Without one, and where it has a mistake, each receiver is told everything.

    Args:
        written: Its document and content.
        receivers: Names that it may say.
        always: Receivers that are told everything whatever it says.
    """
    extra = tuple(Route(receiver=name, go_on=True) for name in always)
    if written is not None:
        document, values = written
        try:
            root = _route(Pick(_draft(document, "route", values), {}), values, receivers, Route(), root=True)
        except WrongError as wrong:
            return _all([*always, *receivers]), [wrong.fault]
        return (msgspec.structs.replace(Route(), routes=(*extra, root)) if extra else root), []
    return _all([*always, *receivers]), []


def _all(receivers: Sequence[str]) -> Route:
    return Route(routes=tuple(Route(receiver=name, go_on=True) for name in dict.fromkeys(receivers)))


def _draft(document: Document, key: str, values: Mapping[str, Any]) -> Draft:
    draft = Draft("", "", None, dict(values))
    draft.place = (document, key)
    return draft


def _route(pick: Pick, values: Mapping[str, Any], receivers: Sequence[str], above: Route, *, root: bool) -> Route:
    document, key = pick.draft.place or (Document(name="?"), "")
    for name in values:
        if name not in ROUTE:
            raise WrongError(document.unknown(f"{key}.{name}", ROUTE))
    receiver = pick.get("receiver")
    if receiver is None and root:
        pick.fail("receiver", "who is told what no other route takes", "nothing")
    if receiver is not None and receiver not in receivers:
        pick.fail("receiver", "a receiver's name", quote(receiver), did_you_mean(str(receiver), receivers))
    match = _match(pick)
    if root and match:
        pick.fail("match", "none at the root, which takes all", "one")
    group_by = pick.names("group_by")
    chosen = above.group_by if group_by is None else tuple(_label(name) for name in group_by)
    repeat = pick.duration("repeat_interval", above.repeat_interval or 0.0)
    own = Route(
        receiver=receiver if receiver is not None else above.receiver,
        match=match,
        go_on=pick.truth("continue", default=False),
        group_by=chosen,
        group_wait=pick.duration("group_wait", above.group_wait),
        group_interval=pick.duration("group_interval", above.group_interval),
        repeat_interval=repeat or None,
        path=above.path if root else f"{above.path}/{_path(match)}",
    )
    children = pick.get("routes") or []
    if not isinstance(children, list):
        pick.fail("routes", "a list of routes", quote(children))
    routes: list[Route] = []
    for index, child in enumerate(children):
        place = f"{key}.routes[{index}]"
        if not isinstance(child, dict):
            raise WrongError(Fault(where=document.where(place), key=place, expected="a route", found=quote(child)))
        routes.append(_route(Pick(_draft(document, place, child), {}), child, receivers, own, root=False))
    return msgspec.structs.replace(own, routes=tuple(routes))


def _match(pick: Pick) -> tuple[tuple[str, tuple[str, ...]], ...]:
    match = pick.get("match") or {}
    if not isinstance(match, dict):
        pick.fail("match", "labels with their values", quote(match))
    pairs: list[tuple[str, tuple[str, ...]]] = []
    for name, values in sorted(match.items()):
        listed = values if isinstance(values, list) else [values]
        if not listed or any(value is None or isinstance(value, (dict, list)) for value in listed):
            pick.fail("match", f"one or more values for {name}", quote(values))
        pairs.append((_label(name), tuple(_text(value) for value in listed)))
    return tuple(pairs)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _label(name: str) -> str:
    return name if name == ALL else label_name(name)


def _path(match: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    parts = [
        f"{name}={_quoted(values[0])}" if len(values) == 1 else f'{name}=~"{"|".join(values)}"'
        for name, values in match
    ]
    return f"{{{','.join(parts)}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Inhibition(msgspec.Struct, frozen=True, kw_only=True):
    """While one alert fires, another is not told, as far as both are about the same.

    Attributes:
        pairs: Names of source and target.
        own: By alert name, labels that its rule adds and that say nothing about what it is about.
    """

    pairs: frozenset[tuple[str, str]] = frozenset()
    own: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict[str, frozenset[str]])

    def covers(self, target: Labels, firing: Sequence[Message]) -> bool:
        """Whether one of ``firing`` inhibits the alert with labels ``target``."""
        name = target.get(NAME, "")
        sources = {source for source, of in self.pairs if of == name}
        return bool(sources) and any(
            message.labels.get(NAME) in sources and self._agree(message.labels, target) for message in firing
        )

    def _agree(self, source: Labels, target: Labels) -> bool:
        """Whether labels that tell instances apart, where both have them, have the same values."""
        none: frozenset[str] = frozenset()
        left_out = {NAME, *self.own.get(source[NAME], none), *self.own.get(target[NAME], none)}
        return all(target[name] == value for name, value in source.items() if name in target and name not in left_out)


def is_silenced(labels: Labels, silences: Sequence[Silence], wall: float) -> bool:
    """Whether one of ``silences`` is about an alert with ``labels`` now."""
    return any(
        silence.starts <= wall < silence.ends
        and bool(silence.matchers)
        and all(labels.get(name, "") == value for name, value in silence.matchers.items())
        for silence in silences
    )
