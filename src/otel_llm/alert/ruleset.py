"""Room alert: the rules in force, and those that come with the distribution, made beforehand.

Reading a rule file takes modules that know its keys, its receivers and its routes; `schema` is the first of them. Most
processes have no such file, so the shipped rules are kept as `schema` makes them.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

from otel_llm.alert import notice
from otel_llm.alert.notice import Plan
from otel_llm.alert.route import Route
from otel_llm.alert.rule import Rule
from otel_llm.document import Document, Fault

MADE: Final = "default_ruleset.json"


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule files say.

    Attributes:
        rules: Those that stand, in the files' order.
        receivers: As written.
        route: As written.
        plan: Who is told what: what `notice` makes of them.
        inhibit: Pairs of source and target.
        faults: Every mistake, by file and line.
        documents: The files, for the lines of what is read elsewhere.
    """

    rules: tuple[Rule, ...] = ()
    receivers: tuple[tuple[Document, str, Mapping[str, Any]], ...] = ()
    route: tuple[Document, Mapping[str, Any]] | None = None
    inhibit: tuple[tuple[str, str], ...] = ()
    plan: Plan = msgspec.field(default_factory=Plan)
    faults: tuple[Fault, ...] = ()
    documents: tuple[Document, ...] = ()


class _Made(msgspec.Struct, frozen=True):
    rules: tuple[Rule, ...]
    inhibit: tuple[tuple[str, str], ...]


def made() -> RuleSet:
    """The shipped rules without a file of the user's over them, and without receivers."""
    said = msgspec.json.decode(files("otel_llm.alert").joinpath(MADE).read_bytes(), type=_Made)
    plan = notice.plan({}, Route(), said.inhibit, said.rules)
    return RuleSet(rules=said.rules, inhibit=said.inhibit, plan=plan)
