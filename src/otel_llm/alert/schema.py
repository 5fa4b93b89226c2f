"""Room alert: rule files, schema 1: from YAML to rules, and every mistake with its line. Pure but for reading the file.

Files are laid over each other, the shipped one first: a rule of the same name takes over the keys it names, so that
``enabled: false`` under a shipped name switches it off. A rule with a mistake is left out and the others stand.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.alert import routing, template
from otel_llm.alert.overlay import CONDITION, MEASURED, SLO, Overlay
from otel_llm.alert.pick import Draft, Pick, WrongError
from otel_llm.alert.rule import NAME, REASON, SCOPE, Condition, Group, Rule, Slo, label_name
from otel_llm.alert.ruleset import MADE, RuleSet
from otel_llm.alert.signal import STATS, Signal
from otel_llm.document import Document, Fault, did_you_mean, parse, quote, read

SHIPPED: Final = "default_rules.yaml"
REWRITTEN: Final = "default_rules.json"

UNBOUNDED: Final = frozenset(
    {
        semconv.RESPONSE_ID,
        "gen_ai.conversation.id",
        "enduser.id",
        "user.id",
        "session.id",
        "trace_id",
        "span_id",
        "url.full",
    }
)
"""Attributes with a new value for every call or user: as ``by`` they would make a series each."""

TEXTS: Final = (
    *semconv.CONTENT,
    *("gen_ai.prompt", "gen_ai.completion", "llm.prompts", "llm.completions"),
    *("llm.input_messages", "llm.output_messages", "input.value", "output.value"),
    *("traceloop.entity.input", "traceloop.entity.output", "exception.", "error.message", "url.query"),
    *("http.request.header.", "http.response.header."),
)
"""How the names of attributes begin that hold prompts, answers, error texts or headers: they are never labels."""

_OPS: Final = (">", ">=", "<", "<=")
_RESERVED_LABELS: Final = frozenset({NAME, REASON, SCOPE, "alertstate"})


def shipped() -> Document:
    """The rules that come with the distribution, as `rewrite` has made them from the file that people read.

    Importing a YAML parser and reading the file costs a process 2 MB and some 60 ms; most need it for nothing else.
    """
    said = msgspec.json.decode(files("otel_llm.alert").joinpath(REWRITTEN).read_bytes())
    return Document(name=SHIPPED, values=said["values"], lines=said["lines"])


def rewrite() -> dict[str, bytes]:
    """What `shipped` and `ruleset.made` read, by file name; ``docs/generate_reference.py`` makes them of the YAML."""
    document = Document(name=SHIPPED)
    parse(files("otel_llm.alert").joinpath(SHIPPED).read_bytes(), document)
    rules = interpret([document])
    written = {"values": document.values, "lines": document.lines}
    made = {"rules": rules.rules, "inhibit": rules.inhibit}
    return {REWRITTEN: msgspec.json.encode(written) + b"\n", MADE: msgspec.json.encode(made) + b"\n"}


def load(
    path: Path | None,
    *,
    defaults: bool = True,
    environ: Mapping[str, str] | None = None,
    webhook: str | None = None,
) -> RuleSet:
    """The shipped rules, and the user's file over them.

    Args:
        path: The user's file; ``None`` for none.
        defaults: Whether the shipped rules are the ground.
        environ: Where receivers look up their variables; the process's own where ``None``.
        webhook: The setting ``alerts.webhook``: a receiver beside those of the file.
    """
    documents = [shipped()] if defaults else []
    if path is not None:
        documents.append(read(path))
    return interpret(documents, environ=os.environ if environ is None else environ, webhook=webhook)


def interpret(
    documents: Sequence[Document], *, environ: Mapping[str, str] | None = None, webhook: str | None = None
) -> RuleSet:
    """The rules of ``documents``, later ones over earlier ones; no variable is looked up where ``environ`` is none."""
    overlay = Overlay()
    for document in documents:
        overlay.take(document)
    return _Maker(overlay).result(tuple(documents), environ, webhook)


class _Maker:
    """Makes rules from drafts."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def result(
        self, documents: tuple[Document, ...], environ: Mapping[str, str] | None, webhook: str | None
    ) -> RuleSet:
        rules: list[Rule] = []
        for draft in self._overlay.drafts.values():
            try:
                rule = self._rule(draft)
            except WrongError as wrong:
                self._overlay.faults.append(wrong.fault)
            else:
                if rule is not None:
                    rules.append(rule)
        receivers, route, inhibit = self._overlay.receivers, self._overlay.route, self._inhibit()
        plan, faults = routing.plan(receivers, route, inhibit, rules, environ=environ, webhook=webhook)
        self._overlay.faults += faults
        return RuleSet(
            rules=tuple(rules),
            receivers=tuple(receivers),
            route=route,
            inhibit=inhibit,
            plan=plan,
            faults=tuple(sorted(self._overlay.faults, key=lambda fault: fault.position)),
            documents=documents,
        )

    def _inhibit(self) -> tuple[tuple[str, str], ...]:
        pairs: list[tuple[str, str]] = []
        targets: dict[str, set[str]] = {}
        for source, target, document, key in self._overlay.pairs:
            for word, name in (("source", source), ("target", target)):
                if name not in self._overlay.drafts:
                    place = f"{key}.{word}"
                    hint = did_you_mean(name, self._overlay.drafts)
                    where = document.where(place)
                    fault = Fault(where=where, key=place, expected="the name of an alert", found=quote(name), hint=hint)
                    self._overlay.faults.append(fault)
            if source == target or _reaches(targets, target, source):
                self._overlay.fault(document, key, "no circle", f"{source} and {target} that inhibit each other")
                continue
            targets.setdefault(source, set()).add(target)
            pairs.append((source, target))
        return tuple(dict.fromkeys(pairs))

    def _rule(self, draft: Draft) -> Rule | None:
        pick = Pick(draft, self._overlay.defaults)
        if not pick.truth("enabled", default=True):
            return None
        forms = [form for form in ("signal", "slo", "all") if form in draft.values]
        if len(forms) != 1:
            found = " and ".join(forms) or "none of them"
            pick.fail("alert", "one of signal, slo or all", found)
        slo: Slo | None = None
        if "slo" in draft.values:
            slo, conditions = self._slo(pick)
        elif "all" in draft.values:
            conditions = self._all(pick)
        else:
            conditions = (self._condition(pick),)
        document, place = draft.place or (Document(name="?"), "")
        interval = Pick.of(document, "interval", draft.interval, f"{place.partition('.')[0]}.interval")
        seconds = interval.duration("interval", 10.0)
        if seconds <= 0:
            interval.fail("interval", "more than 0s", quote(draft.interval))
        rule = Rule(
            name=draft.name,
            group=draft.group,
            interval=seconds,
            conditions=conditions,
            slo=slo,
            hold=pick.duration("for", 0.0),
            keep_firing_for=pick.duration("keep_firing_for", 60.0),
            cooldown=pick.duration("cooldown", 300.0),
            repeat_interval=pick.duration("repeat_interval", 14_400.0),
            no_data=pick.choice("no_data", ("keep", "resolve", "alert"), "keep"),
            no_data_after=pick.duration("no_data_after", 300.0),
            send_resolved=pick.truth("send_resolved", default=True),
            labels=pick.texts("labels"),
            annotations=pick.texts("annotations"),
            where=document.where(f"{place}.alert"),
        )
        shortest = min(condition.window for condition in conditions)
        if seconds > shortest:
            interval.fail("interval", f"at most the shortest window, {shortest:g}s", f"{seconds:g}s")
        _check_texts(rule, pick)
        return rule

    def _condition(self, pick: Pick, ground: Pick | None = None) -> Condition:
        ground = ground or pick
        about = pick.signal("signal")
        stats = STATS[about.kind]
        stat = pick.choice("stat", stats, stats[0] if about.kind != "distribution" else "p95")
        window = pick.window("window", 300.0)
        threshold = pick.number("threshold")
        op = pick.choice("op", _OPS, ">")
        bound = pick.number("resolve_threshold", threshold)
        if (bound > threshold) if op.startswith(">") else (bound < threshold):
            side = "at most" if op.startswith(">") else "at least"
            pick.fail("resolve_threshold", f"{side} the threshold, {threshold:g}", f"{bound:g}")
        if about.kind == "ratio" and not 0 <= threshold <= 1:
            pick.fail("threshold", "a share from 0 to 1", f"{threshold:g}")
        fewest = about.min_samples
        source = ground if "min_samples" in ground.draft.values and "min_samples" not in pick.draft.values else pick
        per = pick.duration("per", 0.0) or None
        if per and stat != "sum":
            pick.fail("per", "a rule on a sum", f"one on {stat}")
        return Condition(
            signal=about.name,
            group=_group(about, pick, ground),
            stat=stat,
            window=window,
            per=per,
            op=op,
            threshold=threshold,
            resolve_threshold=bound,
            min_samples=source.count("min_samples", 20, own=fewest),
            error_types=_error_types(about, pick),
        )

    def _all(self, pick: Pick) -> tuple[Condition, ...]:
        parts = pick.draft.values["all"]
        if not isinstance(parts, list) or not parts:
            pick.fail("all", "a list of conditions", quote(parts))
        for key in (*MEASURED, "slo"):
            if key in pick.draft.values and key != "by":
                pick.fail(key, "this key in each condition of all", "it beside all")
        document, place = pick.origin("all")
        conditions: list[Condition] = []
        for index, part in enumerate(parts):
            key = f"{place}[{index}]"
            if not isinstance(part, dict):
                raise WrongError(Fault(where=document.where(key), key=key, expected="a condition", found=quote(part)))
            self._overlay.known(document, part, f"{key}.", CONDITION)
            conditions.append(self._condition(self._below(pick, document, key, part), pick))
        known = set(conditions[0].group.by)
        for index, condition in enumerate(conditions):
            if not known.issuperset(condition.group.by):
                found = ", ".join(condition.group.by)
                key = f"{place}[{index}].by"
                expected = "none but those of the first condition"
                raise WrongError(Fault(where=document.where(key), key=key, expected=expected, found=found))
        return tuple(conditions)

    def _below(self, pick: Pick, document: Document, place: str, values: Mapping[str, Any]) -> Pick:
        """What stands at ``place`` inside a rule, to be picked from like the rule itself."""
        draft = Draft(pick.draft.name, pick.draft.group, None, dict(values))
        draft.origins = {name: (document, f"{place}.{name}") for name in values}
        draft.place = (document, place)
        return Pick(draft, self._overlay.defaults)

    def _slo(self, pick: Pick) -> tuple[Slo, tuple[Condition, ...]]:
        values = pick.draft.values["slo"]
        if not isinstance(values, dict):
            pick.fail("slo", "a mapping with objective, burn_rate, long and short", quote(values))
        document, place = pick.origin("slo")
        self._overlay.known(document, values, f"{place}.", SLO)
        part = self._below(pick, document, place, {"signal": "error_rate", **values})
        about = part.signal("signal")
        if about.kind != "ratio":
            part.fail("signal", "error_rate or attempt_error_rate", quote(about.name))
        objective, burn_rate, threshold = _burn(part)
        long, short = part.window("long", 3600.0), part.window("short", 300.0)
        if short >= long:
            part.fail("short", f"less than long, {long:g}s", f"{short:g}s")
        slo = Slo(
            signal=about.name,
            objective=objective,
            period=part.duration("period", 30 * 86400.0),
            burn_rate=burn_rate,
            long=long,
            short=short,
        )
        group = _group(about, part, pick)
        fewest = pick.count("min_samples", 50, own=50)
        return slo, tuple(
            Condition(
                signal=about.name,
                group=group,
                stat="ratio",
                window=window,
                threshold=threshold,
                resolve_threshold=threshold,
                min_samples=least,
            )
            for window, least in ((long, fewest), (short, 1))
        )


def _burn(part: Pick) -> tuple[float, float, float]:
    """Objective and burn rate of an SLO, and the error rate that they come to."""
    objective = part.number("objective")
    if not 0 < objective < 1:
        part.fail("objective", "a share between 0 and 1, such as 0.99", f"{objective:g}")
    burn_rate = part.number("burn_rate")
    threshold = burn_rate * (1 - objective)
    if not 0 < threshold < 1:
        found = f"{burn_rate:g}, an error rate of {threshold:g}"
        part.fail("burn_rate", f"above 0 and below {1 / (1 - objective):g}", found)
    return objective, burn_rate, threshold


def _group(about: Signal, pick: Pick, ground: Pick) -> Group:
    by = pick.names("by")
    if by is None:
        by = ground.names("by") or ()
    allowed = ground.truth("allow_unbounded", default=False)
    for name in by:
        if name.startswith(TEXTS):
            pick.fail("by", "attributes that hold no prompts, answers, error texts or headers", name)
        if name in UNBOUNDED and not allowed:
            hint = "allow_unbounded: true takes it all the same"
            pick.fail("by", "attributes with few values", name, hint)
    where = pick.get("where") or {}
    if not isinstance(where, dict):
        pick.fail("where", "attributes with their values", quote(where))
    pairs: list[tuple[str, tuple[str, ...]]] = []
    for name, values in sorted(where.items()):
        listed = values if isinstance(values, list) else [values]
        if not listed or any(isinstance(value, (dict, list)) or value is None for value in listed):
            pick.fail("where", f"one or more values for {name}", quote(values))
        pairs.append((str(name), tuple("true" if v is True else "false" if v is False else str(v) for v in listed)))
    source = None
    if about.kind == "gauge":
        source = (about.metric or about.name, tuple(sorted((about.attributes or {}).items())))
    most = ground.count("max_instances", 50)
    own = about.by if ground is pick else ()  # conditions of all must name the same alert, so they say it themselves
    return Group(source=source, where=tuple(pairs), by=tuple(dict.fromkeys((*own, *by))), most=max(1, most))


def _error_types(about: Signal, pick: Pick) -> tuple[str, ...]:
    types = pick.names("error_types")
    if types and about.kind != "ratio":
        pick.fail("error_types", "a rule on error_rate or attempt_error_rate", f"one on {about.name}")
    return types or ()


def _check_texts(rule: Rule, pick: Pick) -> None:
    """Refuse labels that are ours, and templates that say what cannot be filled."""
    for name in rule.labels:
        if name in _RESERVED_LABELS or not name.isidentifier() or not name.isascii():
            pick.fail("labels", "label names of letters, digits and _ that are not reserved", quote(name))
    told_apart = {label_name(name) for name in rule.conditions[0].group.by}
    for name in told_apart.intersection(rule.labels):
        pick.fail("labels", "labels that by does not tell alerts apart by", quote(name))
    for texts, key in ((rule.annotations, "annotations"), (rule.labels, "labels")):
        for text in texts.values():
            if fault := template.fault(text):
                pick.fail(key, *fault)


def _reaches(targets: Mapping[str, set[str]], start: str, end: str) -> bool:
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            todo.extend(targets.get(name, ()))
    return False
