"""Rules for Prometheus, judged by the real promtool; routing for Alertmanager, read by the real amtool."""

import subprocess
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from otel_llm import semconv
from otel_llm.alert import export, schema
from parts.prometheus import program
from parts.rules import interpret

FLAVOURS = ("otlp", "exporter")
FLEET = Path(__file__).parents[2] / "collector-config"


def read(*texts, top=""):
    listed = "".join(f"\n  - {text}" for text in texts)
    return interpret(f"{top}\ngroups:\n- name: g\n  rules:{listed}\n")


def rules(*texts):
    found = read(*texts)
    assert not found.faults, found.faults
    return found.rules


def exported(*texts, names="otlp", units=None):
    return export.to_prometheus(rules(*texts), names, units or {})


def expression(*texts, **more):
    (group,) = yaml.safe_load(exported(*texts, **more).text)["groups"]
    return group["rules"][0]["expr"]


@pytest.fixture
def checked(promtool, tmp_path):
    """Have promtool check an exported file; gives its path."""

    def check(text):
        file = tmp_path / "rules.yml"
        file.write_text(text)
        done = promtool("check", "rules", file)
        assert done.returncode == 0, done.stdout + done.stderr
        return file

    return check


@pytest.mark.parametrize("names", FLAVOURS)
def test_promtool_accepts_the_default_rules(checked, names):
    said = export.to_prometheus(schema.load(None).rules, names, {})
    assert not said.faults
    checked(said.text)


DURATION = "gen_ai_client_operation_duration_seconds"
OPERATIONS = "otel_llm_client_operations_total"
BAD = 'gen_ai_provider_name="p",gen_ai_request_model="bad"'
MODEL = 'gen_ai_provider_name="openai",gen_ai_request_model="m"'


def series(name, labels, values):
    return {"series": f"{name}{{{labels}}}", "values": values}


def look(at, alertname, *alerts):
    expected = [{"exp_labels": labels, "exp_annotations": {"summary": summary}} for labels, summary in alerts]
    return {"eval_time": at, "alertname": alertname, "exp_alerts": expected}


def cases(names):
    ratio = "_ratio" if names == "otlp" else ""
    calls = series(OPERATIONS, f'{MODEL},otel_llm_resend="false"', "0+10x400")
    on_model = {"severity": "critical", "gen_ai_provider_name": "openai", "gen_ai_request_model": "m"}
    hot = {"severity": "critical", "host_name": "h", "hw_id": "0"}
    slow = {"severity": "warning", "gen_ai_request_model": "m"}
    burns = "the error budget burns 14.4 times too fast: 2% of 30 days are gone in an hour"
    return {
        "an error rate fires after for, holds by hysteresis and resolves": (
            [calls, series(f"{DURATION}_count", MODEL, "0+10x60 605+5x23 730+10x240")],
            [
                look("10m", "LLMHighErrorRate"),
                look("11m10s", "LLMHighErrorRate"),
                look("14m", "LLMHighErrorRate", (on_model, "40% of calls to m fail")),
                look("33m", "LLMHighErrorRate"),
            ],
        ),
        "few calls are no verdict": (
            [
                series(OPERATIONS, f'{MODEL},otel_llm_resend="false"', "0x5 1x11 2x11 3x11 4x11 5x11 6x60"),
                series(f"{DURATION}_count", MODEL, "0x5 0x11 1x11 1x11 2x11 2x11 3x60"),
            ],
            [look("10m", "LLMHighErrorRate")],
        ),
        "a hot card fires at 85 and clears below 80": (
            [series("hw_temperature_celsius", 'host_name="h",hw_id="0"', "70x30 90x30 83x60 78x90")],
            [
                look("5m", "GpuTooHot"),
                look("9m", "GpuTooHot", (hot, "GPU 0 has 90 degrees Celsius")),
                look("19m", "GpuTooHot", (hot, "GPU 0 has 83 degrees Celsius")),
                look("29m", "GpuTooHot"),
            ],
        ),
        "a burning budget resolves with the short window": (
            [
                series(OPERATIONS, 'gen_ai_request_model="m",otel_llm_resend="false"', "0+10x2000"),
                series(f"{DURATION}_count", 'gen_ai_request_model="m"', "0+10x720 7208+8x539 11530+10x740"),
            ],
            [
                look("2h", "LLMErrorBudgetBurnFast"),
                look("3h29m", "LLMErrorBudgetBurnFast", ({"severity": "critical"}, burns)),
                look("3h44m", "LLMErrorBudgetBurnFast"),
            ],
        ),
        "a server's claim of GPU memory is no alarm": (
            [series(f"hw_gpu_memory_utilization{ratio}", 'host_name="h",hw_id="0"', "0.92x120")],
            [look("15m", "GpuVramNearlyFull")],
        ),
        "a percentile on an edge is an exact share": (
            [
                series(f"{DURATION}_bucket", 'gen_ai_request_model="m",le="20"', "0+9x120"),
                series(f"{DURATION}_bucket", 'gen_ai_request_model="m",le="10.0"', "0+9x120"),
                series(f"{DURATION}_count", 'gen_ai_request_model="m"', "0+10x120"),
            ],
            [look("10m", "LLMSlowResponseP95", (slow, "p95 of the response time of m is over 20s (10% of calls)"))],
        ),
        "a burst of errors is seen although their series is newborn": (
            [
                series(OPERATIONS, f'{MODEL},otel_llm_resend="false"', "100x60 200x60"),
                series(f"{DURATION}_count", MODEL, "100x60 150x60"),
                series(f"{DURATION}_count", f'{MODEL},error_type="timeout"', "_x61 50x59"),
            ],
            [look("13m", "LLMHighErrorRate", (on_model, "50% of calls to m fail"))],
        ),
        "a model that never succeeded is seen, and resends are no failed calls": (
            [
                series(
                    OPERATIONS, 'gen_ai_provider_name="p",gen_ai_request_model="bad",otel_llm_resend="false"', "0+5x60"
                ),
                series(
                    f"{DURATION}_count",
                    'gen_ai_provider_name="p",gen_ai_request_model="bad",error_type="500"',
                    "0+5x60",
                ),
                series(OPERATIONS, f'{MODEL},otel_llm_resend="false"', "0+5x60"),
                series(OPERATIONS, f'{MODEL},otel_llm_resend="true"', "0+5x60"),
                series(f"{DURATION}_count", f'{MODEL},error_type="429"', "0+5x60"),
                series(f"{DURATION}_count", MODEL, "0+5x60"),
            ],
            [
                look(
                    "8m",
                    "LLMHighErrorRate",
                    (
                        {"severity": "critical", "gen_ai_provider_name": "p", "gen_ai_request_model": "bad"},
                        "100% of calls to bad fail",
                    ),
                )
            ],
        ),
    }


@pytest.mark.parametrize("names", FLAVOURS)
def test_promtool_judges_as_we_do(checked, promtool, tmp_path, names):
    checked(export.to_prometheus(schema.load(None).rules, names, {}).text)
    tests = [
        {"name": name, "interval": "10s", "input_series": inputs, "alert_rule_test": looks}
        for name, (inputs, looks) in cases(names).items()
    ]
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "10s", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content))
    done = promtool("test", "rules", tmp_path / "test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


ALL_KINDS = [
    "{alert: A, signal: request_rate, op: '<', threshold: 1, window: 5m}",
    "{alert: A, signal: request_rate, op: '<', threshold: 1, min_samples: 5, window: 5m}",
    "{alert: A, signal: tokens, per: 1h, threshold: 1000000, min_samples: 5}",
    "{alert: A, signal: cost, stat: rate, threshold: 1}",
    "{alert: A, signal: duration, stat: avg, threshold: 3}",
    "{alert: A, signal: duration, stat: p95, op: '<', threshold: 5}",
    "{alert: A, signal: duration, stat: p95, threshold: 7, resolve_threshold: 5}",
    "{alert: A, signal: duration, stat: p95, threshold: 10, resolve_threshold: 7}",
    "{alert: A, signal: ttft, stat: p99, threshold: 60}",
    "{alert: A, signal: error_rate, error_types: [a.b, 'c|d', 'e\"f', 'g\\h^'], threshold: 0.5}",
    "{alert: A, signal: gpu.power, stat: p95, threshold: 300, min_samples: 3}",
    "{alert: A, signal: 'metric:my.gauge', threshold: 3, where: {a.b: [x, y.z]}, by: [c.d]}",
    "{alert: A, signal: error_rate, where: {gen_ai.operation.name: [chat]}, threshold: 0.5}",
    "{alert: A, slo: {objective: 0.99, burn_rate: 6, long: 6h, short: 30m}, no_data: alert}",
    (
        "{alert: A, by: [gen_ai.request.model], all: [{signal: ttft, threshold: 2.5},"
        " {signal: gpu.utilization, window: 5m, op: '<', threshold: 0.05, by: []}]}"
    ),
]


@pytest.mark.parametrize("names", FLAVOURS)
def test_promtool_accepts_every_kind_of_rule(checked, names):
    texts = [text.replace("alert: A", f"alert: A{number}") for number, text in enumerate(ALL_KINDS)]
    said = exported(*texts, names=names)
    assert not said.faults
    checked(said.text)


def test_a_bound_that_buckets_never_reach_is_refused():
    (fault,) = exported("{alert: Slow, signal: duration, stat: p95, threshold: 601}").faults
    assert str(fault).startswith("rules.yaml:5: Slow.threshold: expected at most 600, the last bucket")


def test_the_last_bucket_itself_is_exact():
    assert 'le=~"600|600[.]0"' in expression("{alert: Slow, signal: duration, stat: p95, threshold: 600}")


def test_a_bound_between_buckets_is_estimated_and_said():
    said = exported("{alert: Slow, signal: duration, stat: p95, threshold: 7}")
    assert "histogram_quantile(0.95" in said.text
    assert (
        said.warnings[0] == "Slow: threshold 7 lies between buckets, so Prometheus estimates; 5 and 10 would be exact"
    )


def test_an_attribute_that_the_metric_lacks_is_no_filter():
    (fault,) = exported("{alert: A, signal: duration, threshold: 5, where: {otel_llm.metadata.team: [x]}}").faults
    assert fault.key == "A.where"


@pytest.mark.parametrize("signal", ["duration, stat: max", "cost, stat: max", "cost, stat: avg"])
def test_what_buckets_and_sums_cannot_tell_is_refused(signal):
    (fault,) = exported(f"{{signal: {signal}, alert: A, threshold: 5}}").faults
    assert fault.key == "A.stat"


def test_a_faulty_rule_leaves_the_others():
    said = exported("{alert: A, signal: duration, stat: max, threshold: 5}", "{alert: B, signal: cost, threshold: 5}")
    assert "alert: B" in said.text
    assert "alert: A" not in said.text


def test_limits_are_never_exported():
    assert "limit" not in exported("{alert: A, signal: cost, threshold: 5, max_instances: 3}").text


def test_data_that_vanishes_keeps_an_alert_as_long_as_here():
    assert "keep_firing_for: 7m" in exported("{alert: A, signal: cost, threshold: 5, no_data_after: 7m}").text


def test_data_that_vanishes_may_resolve_at_once():
    assert "keep_firing_for: 1m" in exported("{alert: A, signal: cost, threshold: 5, no_data: resolve}").text


def test_the_exporter_of_python_adds_no_ratio():
    rule = "{alert: A, signal: gpu.utilization, threshold: 0.5}"
    assert "hw_gpu_utilization_ratio{" in expression(rule)
    assert "hw_gpu_utilization{" in expression(rule, names="exporter")


def test_the_unit_of_a_known_metric_is_in_its_name():
    said = expression("{alert: A, signal: 'metric:my.size', threshold: 3}", units={"my.size": "By"})
    assert "my_size_bytes" in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{{ value | pct }}", "{{ $value | humanizePercentage }}"),
        ("{{ value | dur }}", "{{ $value | humanizeDuration }}"),
        ("{{ value }} {{ value | round }}", '{{ printf "%.4g" $value }} {{ printf "%.0f" $value }}'),
        ("{{ threshold | dur }} {{ labels.alertname }} {{ labels.a_b }} {{ labels.s }}", "5s A {{ $labels.a_b }} x"),
    ],
)
def test_templates_become_those_of_prometheus(written, said):
    (rule,) = rules("{alert: A, signal: cost, threshold: 5, labels: {s: x}}")
    assert export.text(written, rule, None) == said


def test_the_value_of_an_exact_share_is_said_as_one():
    (rule,) = rules("{alert: A, signal: duration, stat: p95, threshold: 20}")
    assert export.text("{{ value | dur }}", rule, 20.0) == "over 20s ({{ $value | humanizePercentage }} of calls)"


def test_groups_of_one_name_and_two_intervals_stay_apart():
    (rule,) = rules("{alert: A, signal: cost, threshold: 5}")
    said = export.to_prometheus([rule, replace(rule, name="B", interval=30.0)], "otlp", {})
    assert [group["name"] for group in yaml.safe_load(said.text)["groups"]] == ["g-10s", "g-30s"]


ROUTED = """
receivers:
- {name: ops, webhook: {url: "${URL}"}}
- {name: chat, webhook: {url: "${CHAT}", format: slack}}
- {name: games, webhook: {url: "${GAMES}", format: discord}}
- {name: mail, email: {host: smtp.example.org, from: a@example.org, to: [b@example.org]}}
route: {receiver: ops, group_wait: 5s, routes: [{match: {severity: critical}, receiver: mail, continue: true}]}
inhibit: [{source: A, target: B}]
"""


@pytest.mark.parametrize("top", [ROUTED, ""])
def test_amtool_accepts_the_routing(tmp_path, top):
    found = read(
        "{alert: A, signal: cost, threshold: 5}",
        "{alert: B, signal: cost, threshold: 5, repeat_interval: 1d, send_resolved: false}",
        top=top,
    )
    file = tmp_path / "alertmanager.yml"
    file.write_text(export.to_alertmanager(found).text)
    done = subprocess.run([program("amtool"), "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_address_or_secret_gets_into_the_routing():
    text = export.to_alertmanager(read("{alert: A, signal: cost, threshold: 5}", top=ROUTED)).text
    assert "URL" not in text.replace("api_url", "").replace("webhook_url", "")


def test_every_bucket_of_ours_is_an_edge():
    for bound in semconv.DURATION_BUCKETS:
        assert "histogram_quantile" not in expression(f"{{alert: A, signal: duration, stat: p90, threshold: {bound}}}")


def test_the_files_for_a_fleet_are_those_of_the_shipped_rules():
    found = schema.load(None, environ={})
    assert (FLEET / "rules.yml").read_text() == export.to_prometheus(found.rules, "otlp", {}).text
    assert (FLEET / "alertmanager.yml").read_text() == export.to_alertmanager(found).text
