"""Room alert: which receivers get to know of what, and together with what. No I/O, no clock.

Words and order are Alertmanager's: the first route that matches takes an alert, a route with ``continue`` lets the next
ones have it too, and the deepest match decides. Who is reached twice is told once.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from otel_llm.alert.rule import NAME
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
        said = ", ".join(f"{name}={quoted(value)}" for name, value in self.group(labels).items())
        return f"{self.path}:{{{said}}}"


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


def quoted(text: str) -> str:
    """``text`` as Alertmanager writes the value of a label."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
