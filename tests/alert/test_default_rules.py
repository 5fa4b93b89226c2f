"""Each shipped rule just beyond its bound and just within it, under a clock that is moved by hand."""

import time

import pytest
from host_by_hand import Process

from otel_llm import semconv
from otel_llm.alert import schema

STEP = 10
CHAT = {semconv.PROVIDER_NAME: "openai"}


def gauge(name, **attributes):
    return lambda process, value: process.processor.intake.readings.append(
        (name, value, {"host.name": "h", **attributes}, process.clock.boot)
    )


def errors(error):
    """A share of a hundred calls fails at each step."""

    def feed(process, share):
        failed = round(100 * share)
        process.call(failed, error=error, **CHAT)
        process.call(100 - failed, **CHAT)

    return feed


def measured(attribute):
    return lambda process, value: process.call(30, **CHAT, **{attribute: value})


def lasting(process, seconds):
    process.call(30, duration=seconds, **CHAT)


def stuck(process, age):
    process.processor.intake.open[7] = time.monotonic() - age


def spend(process, dollars_an_hour):
    """At once: an hour's sum is looked at."""
    if not process.tenure.board.series or process.clock.boot % 3600 == 0:
        process.call(10, **{semconv.COST: dollars_an_hour / 10}, **CHAT)


ROWS = [
    ("HostHighCpu", gauge("system.cpu.utilization"), 0.91, 0.89, 300, "warning"),
    ("HostHighMemory", gauge("system.memory.utilization"), 0.91, 0.89, 300, "warning"),
    ("GpuVramNearlyFull", gauge("hw.gpu.memory.utilization", **{"hw.id": "gpu"}), 0.98, 0.92, 300, "warning"),
    ("GpuTooHot", gauge("hw.temperature", **{"hw.id": "gpu"}), 86.0, 85.0, 120, "critical"),
    ("LLMHighErrorRate", errors("500"), 0.06, 0.05, 60, "critical"),
    ("LLMRateLimited", errors("429"), 0.11, 0.10, 60, "warning"),
    ("LLMSlowResponseP95", lasting, 21.0, 19.0, 120, "warning"),
    ("LLMSlowFirstTokenP95", measured(semconv.TIME_TO_FIRST_TOKEN), 2.6, 2.4, 120, "warning"),
    ("LLMSlowDecode", measured(semconv.TIME_PER_OUTPUT_TOKEN), 0.105, 0.095, 300, "warning"),
    ("LLMQueueWaitP95", measured(semconv.QUEUE_WAIT), 5.2, 4.8, 120, "warning"),
    ("LLMRequestStuck", stuck, 610.0, 580.0, 0, "warning"),
    ("LLMSpendRate", spend, 10.5, 9.5, 0, "warning"),
    ("LLMErrorBudgetBurnFast", errors("500"), 0.15, 0.14, 0, "critical"),
    ("LLMErrorBudgetBurnSlow", errors("500"), 0.07, 0.06, 0, "warning"),
]


def host():
    process = Process("")
    process.engine._load = lambda: schema.load(None)
    return process


def fires_after(name, feed, value, seconds):
    """How long after the first step the alert fires [s]; ``None`` for not within ``seconds``."""
    process = host()
    begun = process.clock.boot
    while process.clock.boot - begun <= seconds:
        feed(process, value)
        process.step()
        if process.states().get(name) == "firing":
            (said,) = [said for said in process.told if said.labels["alertname"] == name]
            return process.clock.boot - begun, said
        process.clock.pass_(STEP)
    return None


@pytest.mark.parametrize(("name", "feed", "beyond", "within", "hold", "severity"), ROWS, ids=[row[0] for row in ROWS])
def test_a_shipped_rule_fires_beyond_its_bound_after_its_time_and_not_within_it(
    name, feed, beyond, within, hold, severity
):
    interval = 30 if "Burn" in name else 10
    after, said = fires_after(name, feed, beyond, hold + 2 * interval)
    assert hold <= after <= hold + interval
    assert said.labels["severity"] == severity
    assert "{{" not in said.annotations["summary"]
    assert fires_after(name, feed, within, hold + 600) is None


def test_every_shipped_rule_has_its_row():
    assert [row[0] for row in ROWS] == [rule.name for rule in schema.load(None).rules]


@pytest.mark.parametrize(
    ("name", "feed", "beyond", "between", "clear"),
    [
        ("HostHighCpu", gauge("system.cpu.utilization"), 0.95, 0.85, 0.79),
        ("HostHighMemory", gauge("system.memory.utilization"), 0.95, 0.87, 0.84),
        ("GpuVramNearlyFull", gauge("hw.gpu.memory.utilization", **{"hw.id": "gpu"}), 0.98, 0.96, 0.94),
        ("GpuTooHot", gauge("hw.temperature", **{"hw.id": "gpu"}), 90.0, 82.0, 79.0),
        ("LLMHighErrorRate", errors("500"), 0.10, 0.04, 0.02),
        ("LLMSlowResponseP95", lasting, 30.0, 15.0, 9.0),
    ],
)
def test_between_its_two_bounds_a_shipped_rule_goes_on_firing(name, feed, beyond, between, clear):
    process = host()

    def go(value, steps):
        for _ in range(steps):
            feed(process, value)
            process.step()
            process.clock.pass_(STEP)
        return process.states().get(name)

    assert go(beyond, 40) == "firing"
    assert go(between, 80) == "firing"
    assert go(clear, 80) != "firing"


def test_a_few_failures_of_a_quiet_night_are_no_alert():
    process = host()
    for step in range(360):
        if step % 60 == 0:
            process.call(2, error="500", **CHAT)
        process.step()
        process.clock.pass_(STEP)
    assert process.told == []


def test_of_two_budgets_that_burn_the_fast_one_keeps_the_slow_one_quiet():
    assert ("LLMErrorBudgetBurnFast", "LLMErrorBudgetBurnSlow") in schema.load(None).inhibit


def test_a_burning_budget_is_over_soon_after_the_trouble_is():
    process = host()
    for feed, steps in ((0.5, 30), (0.0, 40)):
        for _ in range(steps):
            errors("500")(process, feed)
            process.step()
            process.clock.pass_(STEP)
    ends = [said for said in process.told if said.labels["alertname"] == "LLMErrorBudgetBurnFast"]
    assert [said.status for said in ends] == ["firing", "resolved"]


def test_who_spends_too_much_is_told_once_a_day():
    (rule,) = [rule for rule in schema.load(None).rules if rule.name == "LLMSpendRate"]
    assert rule.repeat_interval == 24 * 3600


def test_an_hour_of_flapping_is_one_message_of_each_shipped_rule():
    """Thirty seconds every call fails, thirty seconds none does."""
    process = host()
    for step in range(360):
        errors("500")(process, 1.0 if step % 6 < 3 else 0.0)
        process.step()
        process.clock.pass_(STEP)
    told = [(said.labels["alertname"], said.status) for said in process.told]
    assert sorted(told) == [(name, "firing") for name in sorted({name for name, _ in told})]
    assert ("LLMHighErrorRate", "firing") in told
