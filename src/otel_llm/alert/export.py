"""Room alert: rule files for Prometheus, and the routing of Alertmanager. No I/O, no clock.

What Prometheus has no word for goes to Alertmanager's side (``cooldown`` and ``repeat_interval`` become its intervals)
or is left out and said (``max_instances``: Prometheus' ``limit`` would drop every alert of the rule).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_llm.alert import template
from otel_llm.alert.exposition import Names, duration, number
from otel_llm.alert.promql import CompileError, Expression, translate
from otel_llm.alert.rule import NAME, Rule
from otel_llm.alert.ruleset import RuleSet
from otel_llm.document import Fault

_FILTERS: Final = {
    "pct": "{{ $value | humanizePercentage }}",
    "dur": "{{ $value | humanizeDuration }}",
    "round": '{{ printf "%.0f" $value }}',
    None: '{{ printf "%.4g" $value }}',
}


@dataclass(slots=True, kw_only=True)
class Exported:
    """A file for Prometheus or Alertmanager.

    Attributes:
        text: The file.
        warnings: What it does otherwise than the engine.
        faults: Rules that cannot be exported and are left out.
    """

    text: str = ""
    warnings: list[str] = field(default_factory=list[str])
    faults: list[Fault] = field(default_factory=list[Fault])


def to_prometheus(rules: Sequence[Rule], names: Names, units: Mapping[str, str]) -> Exported:
    """A rule file for Prometheus 2.42 or newer.

    Args:
        rules: The rules.
        names: ``otlp`` for names as Prometheus' OTLP receiver and the Collector make them, ``exporter`` for those of
            the Python Prometheus exporter.
        units: UCUM units of metrics that rules call by ``metric:NAME``.
    """
    exported = Exported()
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for rule in rules:
        try:
            expression = translate(rule, names, units)
        except CompileError as wrong:
            exported.faults.append(wrong.fault)
            continue
        exported.warnings += [f"{rule.name}: {text}" for text in expression.warnings]
        groups.setdefault((rule.group, rule.interval), []).append(_rule(rule, expression))
    names_of_groups = [name for name, _ in groups]
    content = [
        {  # Prometheus knows a group by its name alone
            "name": name if names_of_groups.count(name) == 1 else f"{name}-{duration(interval)}",
            "interval": duration(interval),
            "rules": listed,
        }
        for (name, interval), listed in groups.items()
    ]
    head = (
        f"# Made by: otel-llm alerts export --to prometheus --names {names}. For Prometheus 2.42 or newer.\n"
        "# host_name is a resource attribute: have it promoted to a label (otlp.promote_resource_attributes in\n"
        "# Prometheus, resource_to_telemetry_conversion in the Collector). cooldown and repeat_interval are\n"
        "# Alertmanager's: otel-llm alerts export --to alertmanager.\n"
    )
    exported.text = head + _yaml({"groups": content})
    return exported


def _rule(rule: Rule, expression: Expression) -> dict[str, Any]:
    kept = rule.keep_firing_for
    if rule.no_data == "keep":  # a series that vanishes resolves there at once
        kept = max(kept, rule.no_data_after)
    said: dict[str, Any] = {"alert": rule.name, "expr": _Block(expression.text)}
    if rule.hold:
        said["for"] = duration(rule.hold)
    if kept:
        said["keep_firing_for"] = duration(kept)
    for key, texts in (("labels", rule.labels), ("annotations", rule.annotations)):
        if texts:
            said[key] = {name: text(value, rule, expression.bound) for name, value in texts.items()}
    return said


def text(written: str, rule: Rule, bound: float | None) -> str:
    """A template of ours as one of Prometheus.

    Args:
        written: One that `template.fault` has no word against.
        rule: Its rule.
        bound: ``$value`` is the share of calls beyond it; ``None`` where it is the value.
    """

    def fill(number_name: str | None, label: str | None, way: str | None) -> str:
        if label == NAME:
            return rule.name
        if label is not None:
            return rule.labels.get(label) or f"{{{{ $labels.{label} }}}}"
        threshold = rule.conditions[0].threshold
        if number_name == "threshold":
            return template.FILTERS.get(way or "", template.plain)(threshold)
        if bound is None:
            return _FILTERS[way]
        side = "over" if rule.conditions[0].op.startswith(">") else "under"
        shown = template.dur(bound) if way == "dur" else number(bound)
        return f"{side} {shown} ({{{{ $value | humanizePercentage }}}} of calls)"

    return template.replace(written, fill)


def to_alertmanager(found: RuleSet) -> Exported:
    """A configuration of Alertmanager to start from; addresses and secrets are put in by hand."""
    exported = Exported()
    receivers = [_receiver(receiver) for _, _, receiver in found.receivers if receiver.get("name")]
    if not receivers:
        exported.warnings.append("no receivers are written in the rules; put yours under receivers")
    route = dict(found.route[1]) if found.route is not None else {}
    first = str(route.get("receiver") or (receivers[0]["name"] if receivers else "default"))
    content: dict[str, Any] = {
        "route": _route(route, first, found.rules),
        "receivers": receivers or [{"name": first}],
    }
    if found.inhibit:
        content["inhibit_rules"] = [
            {"source_matchers": [f'{NAME}="{source}"'], "target_matchers": [f'{NAME}="{target}"']}
            for source, target in found.inhibit
        ]
    if any(not rule.send_resolved for rule in found.rules):
        exported.warnings.append("send_resolved is a receiver's matter in Alertmanager and no rule's")
    head = (
        "# Made by: otel-llm alerts export --to alertmanager. A stub: put addresses in, secrets into its files.\n"
        "# group_interval stands for cooldown: an alert that comes back within it is not told anew.\n"
    )
    exported.text = head + _yaml(content)
    return exported


def _route(route: Mapping[str, Any], receiver: str, rules: Sequence[Rule]) -> dict[str, Any]:
    """The top of the tree, and below it what is routed, and rules that repeat at another pace than most."""
    cooldown = max((rule.cooldown for rule in rules), default=300.0)
    repeat = [rule.repeat_interval for rule in rules] or [14_400.0]
    usual = max(set(repeat), key=repeat.count)
    said: dict[str, Any] = {
        "receiver": receiver,
        "group_by": route.get("group_by") or [NAME],
        "group_wait": route.get("group_wait") or "5s",
        "group_interval": duration(cooldown),
        "repeat_interval": duration(usual),
    }
    children = [_child(child) for child in route.get("routes") or () if isinstance(child, dict)]
    children += [
        {"receiver": receiver, "matchers": [f'{NAME}="{rule.name}"'], "repeat_interval": duration(rule.repeat_interval)}
        for rule in rules
        if rule.repeat_interval != usual
    ]
    if children:
        said["routes"] = children
    return said


def _child(route: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if route.get("receiver"):
        said["receiver"] = str(route["receiver"])
    matched = route.get("match")
    if isinstance(matched, dict):
        said["matchers"] = [
            f'{name}=~"{"|".join(map(str, value))}"' if isinstance(value, list) else f'{name}="{value}"'
            for name, value in matched.items()
        ]
    for key in ("continue", "group_by", "group_wait", "group_interval", "repeat_interval"):
        if key in route:
            said[key] = route[key]
    nested = [_child(child) for child in route.get("routes") or () if isinstance(child, dict)]
    return {**said, "routes": nested} if nested else said


def _receiver(receiver: Mapping[str, Any]) -> dict[str, Any]:
    """A receiver without its address and secrets, which Alertmanager reads from files."""
    name = str(receiver["name"])
    place = f"/etc/alertmanager/{name}"
    webhook, email = receiver.get("webhook"), receiver.get("email")
    if isinstance(webhook, dict):
        kind = webhook.get("format")
        if kind == "slack":
            return {"name": name, "slack_configs": [{"api_url_file": f"{place}.url", "send_resolved": True}]}
        if kind == "discord":  # takes no file before Alertmanager 0.28
            url = "https://discord.example.org/put-yours-here"
            return {"name": name, "discord_configs": [{"webhook_url": url, "send_resolved": True}]}
        return {"name": name, "webhook_configs": [{"url": "http://127.0.0.1:9000/alerts", "send_resolved": True}]}
    if isinstance(email, dict):
        to = email.get("to")
        said = {
            "to": ", ".join(map(str, to)) if isinstance(to, list) else str(to or "oncall@example.org"),
            "from": str(email.get("from") or "alerts@example.org"),
            "smarthost": f"{email.get('host') or 'smtp.example.org'}:{email.get('port') or 587}",
            "auth_password_file": f"{place}.password",
            "send_resolved": True,
        }
        return {"name": name, "email_configs": [said]}
    return {"name": name}


class _Block(str):
    """A text that stands in a block of its own."""

    __slots__ = ()


def _yaml(content: Mapping[str, Any]) -> str:
    import yaml  # noqa: PLC0415 - nobody else in the host's process needs it

    class Dumper(yaml.SafeDumper):
        """Writes expressions as blocks and names no value twice."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    def block(dumper: Any, value: _Block) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|" if "\n" in value else None)

    Dumper.add_representer(_Block, block)
    written: str = yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return written
