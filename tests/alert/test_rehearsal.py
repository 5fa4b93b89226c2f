"""Unit tests of rules on our own engine."""

import pytest

from otel_llm.alert import schema
from otel_llm.alert.rehearsal import Rehearsal, TestFileError
from otel_llm.document import Document, parse

RULES = """
groups:
- name: g
  rules:
  - alert: Errors
    signal: error_rate
    window: 5m
    by: [gen_ai.request.model]
    threshold: 0.05
    resolve_threshold: 0.03
    for: 1m
    labels: {severity: critical}
    annotations: {summary: "{{ value | pct }} of {{ labels.gen_ai_request_model }} fail"}
  - alert: Hot
    signal: gpu.temperature
    window: 1m
    by: [hw.id]
    threshold: 85
    resolve_threshold: 80
    for: 2m
"""


def read(text, name="rules.yaml"):
    document = Document(name=name)
    parse(text.encode(), document)
    return document


def run(text):
    rules = schema.interpret([read(RULES)]).rules
    return Rehearsal(read(text, "test.yaml")).run(rules)


ERRORS = """
tests:
- name: a burst
  interval: 10s
  calls:
  - {attributes: {gen_ai.request.model: m}, values: 10x60 6x24 10x120}
  - {attributes: {gen_ai.request.model: m}, error: timeout, values: 0x60 4x24 0x120}
  alert_rule_test:
  - {eval_time: 10m, alertname: Errors}
  - eval_time: 14m
    alertname: Errors
    exp_alerts:
    - exp_labels: {severity: critical, gen_ai_request_model: m}
      exp_annotations: {summary: "SUMMARY"}
  - {eval_time: 25m, alertname: Errors, exp_alerts: []}
"""


def test_a_burst_fires_and_resolves():
    assert run(ERRORS.replace("SUMMARY", "30.4% of m fail").replace("exp_annotations", "exp_annotations"))[0] == 3


def test_a_difference_shows_both_sides_with_the_line():
    _, (failure,) = run(ERRORS.replace("SUMMARY", "12% of m fail"))
    said = str(failure).splitlines()
    assert said[0] == "test.yaml:10: a burst: Errors at 14m: expected (-) and got (+)"
    assert said[1] == '  - {gen_ai_request_model="m", severity="critical"} summary="12% of m fail"'
    assert said[2].startswith('  + {gen_ai_request_model="m", severity="critical"} summary="')


def test_an_alert_that_nobody_expected_is_told():
    _, failures = run(ERRORS.replace("{eval_time: 25m,", "{eval_time: 15m,"))
    assert failures[-1].expected == ("nothing",)


def test_a_gauge_fires_holds_by_hysteresis_and_resolves():
    text = """
tests:
- interval: 10s
  gauges:
  - {signal: gpu.temperature, attributes: {hw.id: "0", host.name: h}, values: 70x30 90x30 83x60 78x60}
  alert_rule_test:
  - {eval_time: 5m, alertname: Hot}
  - {eval_time: 9m, alertname: Hot, exp_alerts: [{exp_labels: {host_name: h, hw_id: "0"}}]}
  - {eval_time: 19m, alertname: Hot, exp_alerts: [{exp_labels: {host_name: h, hw_id: "0"}}]}
  - {eval_time: 25m, alertname: Hot}
"""
    assert run(text) == (4, [])


def test_what_is_measured_of_a_call_can_be_given():
    rules = schema.interpret(
        [
            read(
                "groups: [{name: g, rules: [{alert: A, signal: ttft, threshold: 1},"
                " {alert: B, signal: cost, threshold: 1},"
                " {alert: C, signal: queue_wait, threshold: 1}, {alert: D, signal: tokens, threshold: 1},"
                " {alert: E, signal: attempt_error_rate, error_types: [quota], threshold: 0.1},"
                " {alert: F, signal: error_rate, threshold: 0.1}]}]"
            )
        ]
    ).rules
    text = """
tests:
- calls:
  - {values: 5x20, ttft: 2s, queue_wait: 3s, cost: 0.5, tokens: 10, duration: 4s, time_per_output_token: 20ms,
     resend: true}
  - {values: 5x20, error: "429", error_code: quota}
  alert_rule_test:
"""
    text += "".join(f"  - {{eval_time: 2m, alertname: {name}, exp_alerts: [{{}}]}}\n" for name in "ABCDE")
    text += "  - {eval_time: 2m, alertname: F}\n"
    assert Rehearsal(read(text)).run(rules) == (6, [])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tests: []", "tests: expected a list of tests"),
        ("tests: [{}]", "tests[0].alert_rule_test: expected expectations"),
        ("tests: [3]", "tests[0]: expected a mapping"),
        ("test: []", "test: expected a known key, found 'test' (did you mean tests?)"),
        ("tests: [{alert_rule_test: [{alertname: Error}]}]", "found 'Error' (did you mean Errors?)"),
        ("tests: [{interval: 0s, alert_rule_test: [{alertname: Hot}]}]", "expected more than 0s"),
        ("tests: [{interval: x, alert_rule_test: [{alertname: Hot}]}]", "expected a duration"),
        ("tests: [{calls: [{values: 1y}], alert_rule_test: [{alertname: Hot}]}]", "expected values such as"),
        ("tests: [{calls: [{values: 1.2.3}], alert_rule_test: [{alertname: Hot}]}]", "expected values such as"),
        ("tests: [{calls: [{}], alert_rule_test: [{alertname: Hot}]}]", "expected values such as"),
        ("tests: [{calls: [{values: 1x999999}], alert_rule_test: [{alertname: Hot}]}]", "at most 200,000 values"),
        ("tests: [{calls: [{values: 9999x9999}], alert_rule_test: [{alertname: Hot}]}]", "at most 2,000,000 calls"),
        ("tests: [{calls: [{values: '0.5'}], alert_rule_test: [{alertname: Hot}]}]", "whole numbers"),
        ("tests: [{calls: [{values: '1', cost: x}], alert_rule_test: [{alertname: Hot}]}]", "expected a number"),
        ("tests: [{calls: 3, alert_rule_test: [{alertname: Hot}]}]", "expected a list"),
        ("tests: [{gauges: [{signal: ttft}], alert_rule_test: [{alertname: Hot}]}]", "expected a gauge"),
        ("tests: [{alert_rule_test: [{alertname: Hot, exp_alerts: [{exp_labels: 3}]}]}]", "expected names with texts"),
        ("tests: [", "expected"),
    ],
)
def test_a_test_file_that_cannot_be_understood_says_where(text, fault):
    with pytest.raises(TestFileError, match=r".*") as raised:
        run(text)
    assert fault in str(raised.value)
    assert str(raised.value).startswith("test.yaml:1")
