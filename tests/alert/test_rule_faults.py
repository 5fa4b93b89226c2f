"""Rule files that cannot be meant: each is told with its line, and what is sound beside it stands."""

import json

import pytest

from parts.rules import interpret

SOUND = {"alert": "Sound", "signal": "cost", "threshold": 1}


def file(**top):
    return json.dumps({"groups": [{"name": "g", "rules": [SOUND]}], **top})


def rule(**said):
    """A file with the sound rule and another one."""
    return json.dumps({"groups": [{"name": "g", "rules": [SOUND, {"alert": "A", **said}]}]})


SLO = {"objective": 0.99, "burn_rate": 14.4, "long": "1h", "short": "5m"}
PART = {"signal": "queue_wait", "threshold": 5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (file(version=2), "version: expected 1, found 2"),
        (file(grups=[]), "grups: expected a known key, found 'grups' (did you mean groups?)"),
        (file(defaults={"cooldwn": "5m"}), "defaults.cooldwn: expected a known key"),
        (file(defaults=[1]), "defaults: expected a mapping, found a list"),
        (file(receivers={"name": "x"}), "receivers: expected a list"),
        (file(receivers=["x"]), "receivers[0]: expected a receiver with a name, found 'x'"),
        (file(inhibit=["x"]), "inhibit[0]: expected a source and a target, found 'x'"),
        (file(inhibit=[{"source": "Sound"}]), "inhibit[0]: expected the names of two alerts: source and target"),
        (file(inhibit=[{"source": "Sound", "target": "Snd"}]), "found 'Snd' (did you mean Sound?)"),
        ("groups: [x]", "groups[0]: expected a group with a name and rules, found 'x'"),
        ("groups: [{rules: [{alert: A, signal: cost, threshold: 1}]}]", "groups[0].name: expected the group's name"),
        ("groups: [{name: g}]", "groups[0].rules: expected a list of rules"),
        ("groups: [{name: g, rules: [x]}]", "groups[0].rules[0]: expected a rule, found 'x'"),
        ("groups: [{name: g, rules: [{signal: cost}]}]", "rules[0].alert: expected the alert's name"),
        ("groups: [{name: g, interval: 0s, rules: [{alert: A, signal: cost, threshold: 1}]}]", "more than 0s"),
        ("groups: []", "groups: expected groups with rules"),
        ("", "groups: expected groups with rules"),
        (rule(**PART, enabled="maybe"), "enabled: expected true or false, found 'maybe'"),
        (rule(**PART, min_samples=-1), "min_samples: expected a whole number, found -1"),
        (rule(**PART, min_samples=1.5), "min_samples: expected a whole number, found 1.5"),
        (rule(**PART, stat="p42"), "stat: expected one of p50"),
        (rule(**PART, **{"for": True}), "for: expected a duration"),
        (rule(**PART, labels=["x"]), "labels: expected names with texts"),
        (rule(**PART, labels={"x": None}), "labels.x: expected a text"),
        (rule(**PART, labels={"a-b": "x"}), "labels: expected label names of letters"),
        (rule(**PART, labels={"alertname": "x"}), "labels: expected label names of letters"),
        (rule(**PART, by=[{}]), "by: expected a list of names"),
        (rule(**PART, where=["x"]), "where: expected attributes with their values"),
        (rule(**PART, where={"x": []}), "where: expected one or more values for x"),
        (rule(**PART, error_types=["429"]), "error_types: expected a rule on error_rate or attempt_error_rate"),
        (rule(**PART, per="1h"), "per: expected a rule on a sum, found one on p95"),
        (rule(signal="queue_wait"), "threshold: expected a number, found nothing"),
        (rule(signal="error_rate", threshold=5), "threshold: expected a share from 0 to 1, found 5"),
        (rule(signal="host.cpu", threshold=1), "expected a signal"),
        (rule(signal=[1], threshold=1), "expected a signal"),
        (rule(), "expected one of signal, slo or all, found none of them"),
        (rule(slo=3), "slo: expected a mapping with objective"),
        (rule(slo={**SLO, "objctive": 1}), "slo.objctive: expected a known key"),
        (rule(slo={**SLO, "objective": 99}), "slo.objective: expected a share between 0 and 1"),
        (rule(slo={**SLO, "burn_rate": 200}), "slo.burn_rate: expected above 0 and below 100"),
        (rule(slo={**SLO, "short": "2h"}), "slo.short: expected less than long, 3600s, found 7200s"),
        (rule(slo={**SLO, "signal": "cost"}), "slo.signal: expected error_rate or attempt_error_rate, found 'cost'"),
        (rule(all=3), "all: expected a list of conditions"),
        (rule(all=[3]), "all[0]: expected a condition, found 3"),
        (rule(all=[PART], window="1m"), "window: expected this key in each condition of all"),
        (rule(all=[PART, {**PART, "by": ["x"]}]), "all[1].by: expected none but those of the first condition"),
        (rule(all=[{**PART, "treshold": 1}]), "all[0].treshold: expected a known key"),
    ],
)
def test_a_fault_is_told_with_its_place_and_the_sound_rule_stands(text, said):
    found = interpret(text)
    told = [str(fault) for fault in found.faults]
    assert any(said in one for one in told), told
    assert all(one.startswith("rules.yaml:") for one in told)
    assert ("Sound" in text and "version" not in said) <= ("Sound" in {one.name for one in found.rules})


def test_a_rule_that_says_anew_what_it_judges_keeps_what_it_does_not_name():
    from otel_llm.alert import schema  # noqa: PLC0415
    from otel_llm.document import Document, parse  # noqa: PLC0415

    own = Document(name="rules.yaml")
    parse(rule(alert="LLMHighErrorRate", signal="attempt_error_rate", threshold=0.5).encode(), own)
    found = schema.interpret([schema.shipped(), own])
    (changed,) = [one for one in found.rules if one.name == "LLMHighErrorRate"]
    assert not found.faults
    assert (changed.conditions[0].signal, changed.conditions[0].threshold) == ("attempt_error_rate", 0.5)
    assert (changed.hold, changed.labels) == (60.0, {"severity": "critical"})
