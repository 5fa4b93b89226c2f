"""Rules, series and state machine together, under a clock moved by hand."""

import pytest
from msgspec.structs import replace

from otel_llm import semconv
from otel_llm.alert import message, schema
from otel_llm.alert.board import Board
from otel_llm.alert.judge import Judge
from otel_llm.alert.signal import attempt
from parts.rules import interpret

RULES = """
groups:
- name: g
  interval: 10s
  rules:
  - alert: Errors
    signal: error_rate
    window: 1m
    by: [gen_ai.request.model]
    threshold: 0.1
    resolve_threshold: 0.05
    min_samples: 4
    for: 20s
    annotations: {summary: "{{ value | pct }} of {{ labels.gen_ai_request_model }}"}
    labels: {severity: critical}
"""


def rules(text):
    found = interpret(text)
    assert not found.faults
    return found.rules


class Host:
    """A judge and a clock."""

    def __init__(self, text=RULES):
        self.rules = rules(text)
        self.board = Board(self.rules)
        self.judge = Judge(self.rules, self.board)
        self.now = 1000.0
        self.told = []

    def call(self, *, model="m", error=None, times=1, duration=1.0, **attributes):
        said = {
            semconv.OPERATION_NAME: "chat",
            semconv.REQUEST_MODEL: model,
            semconv.OUTCOME: "completed",
            **attributes,
        }
        if error:
            said |= {semconv.OUTCOME: "error", semconv.ERROR_TYPE: error}
        for _ in range(times):
            self.board.fold(attempt(said, duration, failed=bool(error), at=self.now))

    def pass_time(self, seconds, each=lambda: None):
        """Second by second, ticking as the engine does; ``each`` happens every ten."""
        for second in range(int(seconds)):
            self.now += 1
            if second % 10 == 0:
                each()
            self.tick()

    def tick(self, jump=0.0):
        for change in self.judge.tick(self.now, 1e9 + self.now + jump):
            if change.notice:
                self.told.append(message.write(change))

    def states(self):
        return {
            dict(labels).get("gen_ai_request_model"): alert.state for (_, labels), alert in self.judge.alerts.items()
        }


def failing(host, model="m"):
    return lambda: (host.call(model=model, times=4), host.call(model=model, error="500", times=2))


def healthy(host, model="m"):
    return lambda: host.call(model=model, times=6)


def test_errors_are_told_once_and_so_is_their_end():
    host = Host()
    host.pass_time(60, healthy(host))
    host.pass_time(120, failing(host))
    host.pass_time(300, healthy(host))
    assert [said.status for said in host.told] == ["firing", "resolved"]
    assert host.told[0].labels == {"alertname": "Errors", "gen_ai_request_model": "m", "severity": "critical"}
    assert host.told[0].annotations["summary"].endswith("% of m")


def test_both_words_about_an_episode_say_the_same_beginning_and_name():
    host = Host()
    host.pass_time(60, failing(host))
    host.pass_time(300, healthy(host))
    firing, resolved = host.told
    assert firing.starts_at == resolved.starts_at < resolved.ends_at
    assert firing.fingerprint == resolved.fingerprint
    assert firing.identity != resolved.identity


def test_each_model_has_an_alert_of_its_own():
    host = Host()
    host.pass_time(60, lambda: (failing(host, "bad")(), healthy(host, "good")()))
    assert host.states() == {"bad": "firing"}


def test_few_calls_are_no_ground_for_an_alert():
    host = Host()
    host.pass_time(60, lambda: host.call(error="500") if host.now % 30 < 10 else None)
    assert not host.told


def test_a_resent_attempt_is_no_failed_call():
    host = Host()

    def resent():
        host.call(error="429", times=2)
        host.call(times=2, **{semconv.HTTP_REQUEST_RESEND_COUNT: 1})
        host.call(times=4)

    host.pass_time(120, resent)
    assert not host.told


def test_between_the_thresholds_it_goes_on_firing():
    host = Host()
    host.pass_time(60, failing(host))
    host.pass_time(300, lambda: (host.call(times=14), host.call(error="500")))
    assert host.states() == {"m": "firing"}


def test_ticks_that_did_not_happen_do_not_count():
    host = Host()
    host.pass_time(5, failing(host))
    host.now += 3600
    host.call(error="500", times=9)
    host.judge.tick(host.now, 0.0)
    assert host.judge.late == 1
    assert host.states() == {"m": "pending"}


def test_another_date_changes_nothing():
    host = Host()
    host.pass_time(11, failing(host))
    for jump in (-3600.0, 3600.0):
        host.now += 5
        failing(host)()
        host.tick(jump)
    host.pass_time(20, failing(host))
    assert [said.status for said in host.told] == ["firing"]


def test_models_beyond_the_bound_share_one_alert():
    host = Host(RULES.replace("for: 20s", "for: 20s\n    max_instances: 3"))
    host.pass_time(60, lambda: [failing(host, f"m{number}")() for number in range(9)])
    assert set(host.states()) == {"m0", "m1", "m2", "__other__"}
    assert host.board.folded()


def test_a_rule_that_cannot_be_evaluated_harms_no_other(monkeypatch):
    host = Host(RULES + RULES.partition("rules:\n")[2].replace("Errors", "Second"))
    host.pass_time(60, failing(host))
    broken = replace(host.rules[0], conditions=())
    host.judge._rules["Errors"] = broken
    host.pass_time(60, failing(host))
    assert host.judge.failing() == {"Errors": 6}
    assert all(alert.state == "firing" for alert in host.judge.alerts.values())


def test_a_reload_resets_nothing_that_did_not_change():
    host = Host()
    host.pass_time(60, failing(host))
    host.judge.reload(rules(RULES.replace("critical", "warning").replace("for: 20s", "for: 30s")), 0.0)
    assert host.states() == {"m": "firing"}
    host.pass_time(60, failing(host))
    assert len(host.told) == 1


def test_silence_can_be_an_alert_of_its_own():
    host = Host(RULES.replace("for: 20s", "for: 20s\n    no_data: alert"))
    host.pass_time(60, healthy(host))
    host.pass_time(300)
    (said,) = host.told
    assert said.labels["otel_llm_reason"] == "no_data"


def test_conditions_of_all_must_hold_together():
    text = """
groups:
- name: g
  rules:
  - alert: Both
    all:
    - {signal: queue_wait, stat: p95, window: 1m, threshold: 5, min_samples: 1}
    - {signal: gpu.utilization, window: 1m, op: "<", threshold: 0.05}
"""
    host = Host(text)
    card = {"hw.gpu.task": "general"}

    def busy_queue(share):
        host.call(**{semconv.QUEUE_WAIT: 9.0})
        host.board.read("hw.gpu.utilization", share, card, host.now)

    host.pass_time(60, lambda: busy_queue(0.9))
    assert not host.told
    host.pass_time(120, lambda: busy_queue(0.01))
    assert [said.status for said in host.told] == ["firing"]


def test_an_error_budget_that_burns_is_told_and_its_end_soon_after():
    text = """
groups:
- name: g
  interval: 30s
  rules:
  - alert: Burn
    slo: {signal: error_rate, objective: 0.99, burn_rate: 14.4, long: 1h, short: 5m}
    min_samples: 50
"""
    host = Host(text)
    host.pass_time(3600, lambda: host.call(times=10))
    host.pass_time(3600, lambda: (host.call(times=8), host.call(times=2, error="500")))
    assert [said.status for said in host.told] == ["firing"]
    host.pass_time(600, lambda: host.call(times=10))
    assert [said.status for said in host.told] == ["firing", "resolved"]


def test_the_shipped_rules_have_no_fault():
    found = schema.load(None)
    assert not found.faults
    assert len(found.rules) == 14


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "window: 1m",
            "windw: 1m",
            "rules.yaml:8: groups[0].rules[0].windw: expected a known key, found 'windw' (did you mean window?)",
        ),
        (
            "0.05",
            "0.5",
            "rules.yaml:11: groups[0].rules[0].resolve_threshold: expected at most the threshold, 0.1, found 0.5",
        ),
        (
            "window: 1m",
            "window: 61s",
            "rules.yaml:8: groups[0].rules[0].window: expected from 5s to 6h in steps of 5s, found '61s'",
        ),
        ("error_rate", "eror_rate", "(did you mean error_rate?)"),
        ("[gen_ai.request.model]", "[gen_ai.conversation.id]", "allow_unbounded: true takes it all the same"),
        ("{{ value | pct }}", "{{ value | upper }}", "one of the filters"),
        ("0.1", ".nan", "expected a number"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_line(old, new, fault):
    assert fault in "\n".join(map(str, interpret(RULES.replace(old, new)).faults))


def test_two_rules_of_one_name_in_a_file_are_a_mistake():
    (fault,) = interpret(RULES + RULES.partition("rules:\n")[2]).faults
    assert "each alert's name once" in str(fault)
