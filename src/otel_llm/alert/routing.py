"""Room alert: receivers and routes, as a rule file names them, become a plan. No I/O, no clock."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from otel_llm.alert import notice, receiver
from otel_llm.alert.notice import Plan
from otel_llm.alert.pick import Draft, Pick, WrongError
from otel_llm.alert.receiver import SHORTCUT
from otel_llm.alert.receiver_keys import ROUTE
from otel_llm.alert.route import ALL, Route, quoted
from otel_llm.alert.rule import Rule, label_name
from otel_llm.document import Document, Fault, did_you_mean, quote


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
    root, wrong = interpret(written, [*names, *named], always)
    return notice.plan(known, root, inhibit, rules), faults + wrong


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
        f"{name}={quoted(values[0])}" if len(values) == 1 else f'{name}=~"{"|".join(values)}"' for name, values in match
    ]
    return f"{{{','.join(parts)}}}"
