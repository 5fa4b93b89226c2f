"""Room alert: rule files laid over each other, before anything is made of them. No I/O, no clock.

What comes out are drafts: a rule's values as written, each with the file and key that it came from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from otel_llm.alert.pick import Draft
from otel_llm.document import Document, Fault, quote

_TOP: Final = ("version", "defaults", "receivers", "route", "inhibit", "groups")
_GROUP: Final = ("name", "interval", "rules")
_DEFAULTS: Final = (
    *("repeat_interval", "cooldown", "keep_firing_for", "min_samples", "no_data", "no_data_after"),
    *("send_resolved", "max_instances"),
)
MEASURED: Final = (
    "signal",
    "stat",
    "window",
    "where",
    "by",
    "op",
    "threshold",
    "resolve_threshold",
    "error_types",
    "per",
)
_TOLD: Final = ("alert", "enabled", "for", "labels", "annotations", "allow_unbounded")
CONDITION: Final = (*MEASURED, "min_samples")
RULE: Final = (*_TOLD, *MEASURED, *_DEFAULTS, "slo", "all")
SLO: Final = ("signal", "objective", "period", "burn_rate", "long", "short", "where", "by")


class Overlay:
    """What several files say together.

    Attributes:
        faults: Mistakes so far.
        drafts: Rules by name.
        defaults: Values for every rule, with their place.
        receivers: As written.
        route: As written.
        pairs: What inhibits what.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.drafts: dict[str, Draft] = {}
        self.defaults: dict[str, Any] = {}
        self.receivers: list[tuple[Document, str, Mapping[str, Any]]] = []
        self.route: tuple[Document, Mapping[str, Any]] | None = None
        self.pairs: list[tuple[str, str, Document, str]] = []

    def take(self, document: Document) -> None:
        """Lay ``document`` over what was taken before."""
        self.faults.extend(document.faults)
        values = document.values
        if document.faults and not values:
            return
        self.known(document, values, "", _TOP)
        if not values.get("groups") and not any(
            values.get(name) for name in ("receivers", "route", "inhibit", "defaults")
        ):
            self.fault(document, "groups", "groups with rules", quote(values.get("groups")))
            return
        if values.get("version", 1) != 1:
            self.fault(document, "version", "1", quote(values["version"]))
        for key, value in self._mapping(document, values, "defaults").items():
            if key in _DEFAULTS:
                self.defaults[key] = (value, document, f"defaults.{key}")
            else:
                self.faults.append(document.unknown(f"defaults.{key}", _DEFAULTS))
        for index, receiver in enumerate(self._list(document, values, "receivers")):
            if isinstance(receiver, dict):
                self.receivers.append((document, f"receivers[{index}]", receiver))
            else:
                self.fault(document, f"receivers[{index}]", "a receiver with a name", quote(receiver))
        route = self._mapping(document, values, "route")
        if route:
            self.route = (document, route)
        self._take_inhibit(document, values)
        seen: dict[str, str] = {}
        for index, group in enumerate(self._list(document, values, "groups")):
            self._take_group(document, group, f"groups[{index}]", seen)

    def _take_inhibit(self, document: Document, values: Mapping[str, Any]) -> None:
        for index, pair in enumerate(self._list(document, values, "inhibit")):
            key = f"inhibit[{index}]"
            if not isinstance(pair, dict):
                self.fault(document, key, "a source and a target", quote(pair))
                continue
            self.known(document, pair, f"{key}.", ("source", "target"))
            source, target = pair.get("source"), pair.get("target")
            if isinstance(source, str) and isinstance(target, str):
                self.pairs.append((source, target, document, key))
            else:
                self.fault(document, key, "the names of two alerts: source and target", quote(pair))

    def _take_group(self, document: Document, group: Any, key: str, seen: dict[str, str]) -> None:
        if not isinstance(group, dict):
            self.fault(document, key, "a group with a name and rules", quote(group))
            return
        self.known(document, group, f"{key}.", _GROUP)
        name = group.get("name")
        if not isinstance(name, str) or not name:
            self.fault(document, f"{key}.name", "the group's name", quote(name))
            name = key
        rules = group.get("rules")
        if not isinstance(rules, list) or not rules:
            self.fault(document, f"{key}.rules", "a list of rules", quote(rules))
            return
        for index, rule in enumerate(rules):
            place = f"{key}.rules[{index}]"
            if not isinstance(rule, dict):
                self.fault(document, place, "a rule", quote(rule))
                continue
            self._take_rule(document, rule, place, Draft(name, name, group.get("interval")), seen)

    def _take_rule(
        self, document: Document, rule: Mapping[str, Any], place: str, fresh: Draft, seen: dict[str, str]
    ) -> None:
        name = rule.get("alert")
        if not isinstance(name, str) or not name.strip():
            self.fault(document, f"{place}.alert", "the alert's name", quote(name))
            return
        if name in seen:
            first = document.where(f"{seen[name]}.alert")
            self.fault(document, f"{place}.alert", "each alert's name once", f"{quote(name)} again, first in {first}")
            return
        seen[name] = place
        draft = self.drafts.get(name)
        if draft is None or ("signal" in rule or "slo" in rule or "all" in rule):
            old, draft = draft, fresh
            if old is not None:  # said anew from the ground up; what it does not name stays
                kept = {
                    key: value for key, value in old.values.items() if key not in MEASURED and key not in {"slo", "all"}
                }
                draft.values, draft.origins = kept, dict(old.origins)
            self.drafts[name] = draft
        draft.name = name
        draft.place = (document, place)
        for key, value in rule.items():
            if key not in RULE:
                self.faults.append(document.unknown(f"{place}.{key}", RULE))
                continue
            draft.values[key] = value
            draft.origins[key] = (document, f"{place}.{key}")

    def fault(self, document: Document, key: str, expected: str, found: str) -> None:
        """Note a mistake at ``key``."""
        self.faults.append(Fault(where=document.where(key), key=key, expected=expected, found=found))

    def known(self, document: Document, values: Mapping[str, Any], above: str, known: Iterable[str]) -> None:
        """Note every key that is not ``known``."""
        self.faults.extend(document.unknown(f"{above}{key}", known) for key in values if key not in known)

    def _mapping(self, document: Document, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = values.get(key)
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault(document, key, "a mapping", quote(value))
        return {}

    def _list(self, document: Document, values: Mapping[str, Any], key: str) -> Sequence[Any]:
        value = values.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self.fault(document, key, "a list", quote(value))
        return []
