"""Room alert: who is to be told what, made from a rule file. No I/O, no clock."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

import msgspec

from otel_llm.alert import receiver, route
from otel_llm.alert.receiver import SHORTCUT, Receiver
from otel_llm.alert.route import Inhibition, Route
from otel_llm.alert.rule import NAME, Rule
from otel_llm.document import Document, Fault
from otel_llm.ledger import Message


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Receivers, and the way to them.

    Attributes:
        receivers: By name.
        root: Of the routes.
        inhibition: What keeps what quiet.
        repeats: By alert name, how often its rule has it told again [s].
    """

    receivers: Mapping[str, Receiver] = msgspec.field(default_factory=dict[str, Receiver])
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
    receivers: Sequence[tuple[Document, str, Mapping[str, Any]]],
    written: tuple[Document, Mapping[str, Any]] | None,
    inhibit: Sequence[tuple[str, str]],
    rules: Sequence[Rule],
    *,
    environ: Mapping[str, str] | None = None,
    webhook: str | None = None,
) -> tuple[Plan, list[Fault]]:
    """The plan, and every mistake.

    Args:
        receivers: As written.
        written: The route as written.
        inhibit: Names of source and target.
        rules: In force.
        environ: Where variables are looked up; ``None`` looks up none.
        webhook: The setting ``alerts.webhook``.
    """
    known, faults = receiver.interpret(receivers, environ)
    always: list[str] = []
    if webhook:
        try:
            extra = receiver.shortcut(webhook)
        except ValueError:
            where = "setting alerts.webhook"
            faults.append(Fault(where=where, expected="a URL such as https://HOST/PATH", found="another text"))
        else:
            if SHORTCUT in known:
                hint = "another name for the one in the file"
                faults.append(Fault(where="setting alerts.webhook", expected="one receiver", found="two", hint=hint))
            known[SHORTCUT] = extra
            always.append(SHORTCUT)
    names = [name for name in known if name not in always]
    # A route may name a receiver that was left out for a mistake of its own; that is told once, not twice.
    named = [str(values.get("name")) for _, _, values in receivers]
    root, wrong = route.interpret(written, [*names, *named], always)
    own = {rule.name: frozenset(rule.labels) for rule in rules}
    made = Plan(
        receivers=known,
        root=root,
        inhibition=Inhibition(pairs=frozenset(inhibit), own=own),
        repeats={rule.name: rule.repeat_interval for rule in rules},
    )
    return made, faults + wrong
