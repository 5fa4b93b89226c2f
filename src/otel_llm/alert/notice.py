"""Room alert: who is to be told what. No I/O, no clock. `routing` makes it from a rule file."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import TYPE_CHECKING

import msgspec

from otel_llm.alert.route import Inhibition, Route
from otel_llm.alert.rule import NAME, Rule
from otel_llm.ledger import Message

if TYPE_CHECKING:
    from otel_llm.alert.receiver import Receiver  # without a rule file there is none, and so no need of the module


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Receivers, and the way to them.

    Attributes:
        receivers: By name.
        root: Of the routes.
        inhibition: What keeps what quiet.
        repeats: By alert name, how often its rule has it told again [s].
    """

    receivers: "Mapping[str, Receiver]" = msgspec.field(default_factory=dict)
    root: Route = msgspec.field(default_factory=Route)
    inhibition: Inhibition = msgspec.field(default_factory=Inhibition)
    repeats: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])

    def routes(self, message: Message) -> dict[str, Route]:
        """By name, the receivers that are to hear ``message``, and the route that leads there."""
        found: dict[str, Route] = {}
        for one in self.root.find(message.labels):
            name = one.receiver
            known = None if name is None else self.receivers.get(name)
            if name is None or known is None or name in found:
                continue
            if message.status == "resolved" and not known.send_resolved:
                continue
            if self._is_due(message, one):
                found[name] = one
        return found

    def route(self, name: str, message: Message) -> Route | None:
        """The route by which the receiver called ``name`` hears ``message``; ``None`` where there is none any more."""
        return next((one for one in self.root.find(message.labels) if one.receiver == name), None)

    def _is_due(self, message: Message, one: Route) -> bool:
        """Whether a repeat is due where the route wants fewer of them than the rule gives."""
        every = self.repeats.get(message.labels.get(NAME, ""))
        if not message.repeat or one.repeat_interval is None or every is None:
            return True
        turns = [floor(count * every / one.repeat_interval + 1e-9) for count in (message.repeat - 1, message.repeat)]
        return turns[1] > turns[0]


def plan(
    receivers: Mapping[str, "Receiver"], root: Route, inhibit: Sequence[tuple[str, str]], rules: Sequence[Rule]
) -> Plan:
    """The plan for ``rules``.

    Args:
        receivers: By name.
        root: Of the routes.
        inhibit: Names of source and target.
        rules: In force.
    """
    return Plan(
        receivers=receivers,
        root=root,
        inhibition=Inhibition(pairs=frozenset(inhibit), own={rule.name: frozenset(rule.labels) for rule in rules}),
        repeats={rule.name: rule.repeat_interval for rule in rules},
    )
