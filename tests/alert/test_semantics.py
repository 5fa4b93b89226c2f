"""What alerts promise, row by row, on the engine itself under a clock that is moved by hand.

In the order of the plan of alerting: states, verdicts of a tick, instances, restarts, clocks, workers, what users of
other tools complain of, and the rule file. ``test_default_rules`` has the shipped rules' bounds. Delivery has its rows
in ``test_outlet``, ``test_receivers``, ``test_mail``, ``test_body`` and ``test_handover``, the way to Prometheus in
``test_export_rules``, forks and real processes in ``test_engine``, ``test_workers``, ``test_gunicorn`` and
``test_application``, figures in ``test_cost`` and ``test_window``.

Rows that are built otherwise than planned:

- A span whose clock was set back counts as a call without a duration, instead of being left out and counted.
- A slot is numbered by the clock since boot and kept with the boot's name beside it, not as a pair.
- A jump of the wall clock is a log line and the metric ``otel_llm.clock.jumps``, no event of its own.
- Machines are read by the holder of a seat of their own (a lock), not of the lease: alerts may be off.
- A fault of a rule file names file, line and key; the column is left out.
- A message is claimed before it is sent; an alert that one process found while the store was away ends with the reason
  ``rejoined``.
- Windows that are memory's alone are empty after a restart: that is no data, not few samples, and is held as long.
- The identity of a message has the moment at which its episode began instead of the episode's number, which begins
  anew where a store was lost.
"""

import json
import sqlite3
from contextlib import closing
from unittest import mock

import pytest
from host_by_hand import DATE, START, Clock, Process
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_llm import semconv
from otel_llm.alert import body, schema
from otel_llm.alert.evaluation import Evaluation
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.rule import Rule
from otel_llm.alert.window import OTHER, SLOT
from otel_llm.cli.alert_instances import instances
from otel_llm.ledger import LEASE, LedgerError
from otel_llm.store.ledger import SqliteLedger
from parts.rules import interpret

LETTERS = {"inactive": "i", "pending": "p", "firing": "f"}
GAUGE = {
    "signal": "metric:x",
    "stat": "max",
    "window": "10s",
    "threshold": 4,
    "resolve_threshold": 2,
    "min_samples": 2,
    "keep_firing_for": "0s",
    "cooldown": "0s",
}
ERRORS = {"signal": "error_rate", "window": "1m", "threshold": 0.1, "min_samples": 4, "keep_firing_for": "0s"}
VALUES = {"b": 5.0, "h": 3.0, "c": 0.0, "i": 5.0}


def written(*rules, interval="10s", **top):
    """A rule file; JSON is YAML."""
    named = [{"alert": f"A{number or ''}", **rule} for number, rule in enumerate(rules)]
    return json.dumps({**top, "groups": [{"name": "g", "interval": interval, "rules": named}]})


class Stage(Process):
    """A process whose readings come as letters, one for each tick of ten seconds.

    ``b`` is a breach, ``h`` between the two bounds, ``c`` clear, ``i`` too few samples, ``n`` no data, ``e`` an error.
    """

    def __init__(self, *, clock=None, ledger=None, **rule):
        super().__init__(written({**GAUGE, **rule}), clock, ledger)

    def play(self, letters):
        """The states after each tick, as letters."""
        return "".join(self.tick(letter) for letter in letters)

    def tick(self, letter):
        for _ in range({"n": 0, "i": 1}.get(letter, 2)):
            self.processor.intake.readings.append(("x", VALUES.get(letter, 5.0), {}, self.clock.boot))
        if letter == "e":
            with mock.patch.object(Evaluation, "judge", side_effect=RuntimeError):
                self.step()
        else:
            self.step()
        self.clock.pass_(10)
        return LETTERS[self.states().get("A", "inactive")]

    @property
    def alert(self):
        return self.tenure.judge.alerts["A", ()]


@pytest.fixture
def store(tmp_path):
    """What opens one file for every process of a host."""
    opened = []

    def make():
        opened.append(SqliteLedger(tmp_path / "calls.db", "boot"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def kept(store):
    return {one.rule: one for one in store().kept()}


# --- 1.1 states ---------------------------------------------------------------------------------------------------


def test_an_alert_goes_from_inactive_to_pending_to_firing_to_resolved():
    stage = Stage(**{"for": "20s", "keep_firing_for": "20s"})
    assert stage.play("cbbbccc") == "ippfffi"
    assert stage.words == ["firing", "resolved"]


@pytest.mark.parametrize("letter", "cn")
def test_a_pending_alert_whose_condition_ends_or_whose_data_stop_is_inactive(letter):
    stage = Stage(**{"for": "30s"})
    assert stage.play("bb" + letter) == "ppi"
    assert stage.words == []


def test_true_again_inside_keep_firing_for_goes_on_firing_without_a_new_for():
    stage = Stage(**{"for": "20s", "keep_firing_for": "20s"})
    assert stage.play("bbbccbccc") == "ppffffffi"
    assert stage.words == ["firing", "resolved"]


def test_no_data_for_no_data_after_resolves_and_says_why():
    stage = Stage(no_data_after="30s")
    assert stage.play("bnnn") == "fffi"
    assert stage.told[-1].annotations["reason"] == "no_data"


def test_resolved_is_an_event_that_is_seen_for_fifteen_minutes(store):
    stage = Stage(ledger=store)
    stage.play("bc")
    resolved, rules = stage.alert.resolved_at, interpret(stage.rules).rules
    seen = {ago: [one.state for one in instances(store().kept(), rules, resolved + ago)] for ago in (899, 901)}
    assert seen == {899: ["resolved"], 901: []}


def test_for_0s_fires_at_the_first_true_evaluation():
    assert Stage(**{"for": "0s"}).play("cb") == "if"


def test_a_rule_is_evaluated_at_its_ticks_and_nowhere_between():
    stage = Stage()
    stage.play("c")
    stage.clock.boot -= 9
    for _ in range(9):
        stage.processor.intake.readings.append(("x", 9.0, {}, stage.clock.boot))
        stage.step()
        stage.clock.pass_(1)
    assert (stage.states(), stage.tenure.judge.evaluations) == ({}, 1)
    stage.step()
    assert stage.states() == {"A": "firing"}


def test_rules_of_a_group_are_judged_at_one_moment():
    process = Process(written(ERRORS, {**ERRORS, "signal": "attempt_error_rate"}))
    process.run(11, lambda: process.call(error="500"))
    assert [said.labels["alertname"] for said in process.told] == ["A", "A1"]
    assert len({said.starts_at for said in process.told}) == 1


@pytest.mark.parametrize(
    ("hold", "states"), [("30s", "iipppf"), ("25s", "iipppf"), ("31s", "iippppf"), ("10s", "iipf")]
)
def test_it_fires_at_the_first_tick_that_has_seen_the_whole_of_for(hold, states):
    assert Stage(**{"for": hold}).play("cc" + "b" * (len(states) - 2)) == states


@pytest.mark.parametrize("offset", range(0, 10, 3))
def test_it_is_never_later_than_for_and_one_interval(offset):
    stage = Stage(**{"for": "30s"})
    stage.run(10 + offset, lambda: stage.processor.intake.readings.extend([("x", 0.0, {}, stage.clock.boot)] * 2))
    began = stage.clock.date
    stage.run(45, lambda: stage.processor.intake.readings.extend([("x", 9.0, {}, stage.clock.boot)] * 2))
    assert 30 <= stage.told[0].starts_at - began <= 30 + 10


def test_a_tick_that_comes_much_too_late_accrues_one_interval_and_is_counted():
    stage = Stage(**{"for": "20s"})
    assert stage.play("b") == "p"
    stage.clock.pass_(3590)
    assert stage.play("b") == "p"
    assert (stage.alert.accrued, stage.engine.counted().late) == (10.0, 1)


def test_while_it_fires_the_bound_is_resolve_threshold():
    assert Stage().play("hbhhch") == "ifffii"


def test_a_resolve_threshold_on_the_wrong_side_is_refused():
    (fault,) = interpret(written({**GAUGE, "resolve_threshold": 9})).faults
    assert "expected at most the threshold, 4, found 9" in str(fault)


def test_keep_firing_for_counts_from_the_first_clear_tick_and_a_breach_cancels_it():
    assert Stage(keep_firing_for="20s").play("bccbccc") == "ffffffi"


def test_inside_the_cooldown_it_fires_unsaid_and_is_told_once_when_it_is_over():
    stage = Stage(cooldown="60s")
    assert stage.play("bcbcbbbbb") == "fififffff"
    assert stage.words == ["firing", "resolved", "firing"]
    assert stage.told[-1].annotations["suppressed_episodes"] == "2"


def test_what_clears_inside_the_cooldown_is_never_told():
    stage = Stage(cooldown="600s")
    assert stage.play("bcbcbc") == "fififi"
    assert stage.words == ["firing", "resolved"]


def test_an_end_that_was_not_told_begins_no_cooldown():
    stage = Stage(cooldown="60s")
    stage.play("bcbc" + "c" * 4 + "b")  # the second end was not told; the first one's cooldown is over
    assert stage.words == ["firing", "resolved", "firing"]


def test_a_repeat_is_of_the_same_episode_and_numbered():
    stage = Stage(repeat_interval="20s")
    stage.play("bbbbb")
    assert [(said.repeat, said.episode) for said in stage.told] == [(0, 1), (1, 1), (2, 1)]
    assert len({said.identity for said in stage.told}) == 3


def test_a_repeat_comes_after_four_hours_by_default():
    assert interpret(written(GAUGE)).rules[0].repeat_interval == 4 * 3600


@settings(max_examples=60, deadline=None)
@given(
    letters=st.text("bbbhccine|", min_size=1, max_size=60),
    hold=st.sampled_from(["0s", "20s"]),
    keep=st.sampled_from(["0s", "20s"]),
    cooldown=st.sampled_from(["0s", "60s"]),
    repeat=st.sampled_from(["20s", "4h"]),
)
def test_what_is_told_of_an_episode_is_a_firing_then_repeats_then_at_most_one_resolved(
    letters, hold, keep, cooldown, repeat
):
    """Whatever happens, restarts (``|``) among it; and the beginning is the same in every word about it."""
    memory, clock, told = MemoryLedger(), Clock(), []
    for life in letters.split("|"):
        said = {"for": hold, "keep_firing_for": keep, "cooldown": cooldown, "repeat_interval": repeat}
        stage = Stage(clock=clock, ledger=lambda: memory, no_data_after="30s", **said)
        stage.play(life)
        told += stage.told
        stage.leave()
    episodes = {}
    told = [one for one in told if one.labels["alertname"] == "A"]
    for one in told:
        episodes.setdefault(one.episode, []).append(one)
    for words in episodes.values():
        assert words[0].status == "firing"
        firing = [word.repeat for word in words if word.status == "firing"]
        assert firing == list(range(len(firing)))
        assert [word.status for word in words].count("resolved") == (words[-1].status == "resolved")
        assert len({word.starts_at for word in words}) == 1
    assert [one.episode for one in told] == sorted(one.episode for one in told)


def test_a_message_is_frozen_when_the_alert_changes(store):
    """A firing message that is sent late does not say that it is over, nor what a later rule file words."""
    text = written({**GAUGE, "annotations": {"summary": "old {{ value }}"}}, receivers=[HOOK])
    stage = Stage(clock=Clock(), ledger=store)
    stage.post()
    stage.reload(text)
    stage.play("bb")
    stage.reload(text.replace("old", "new"))
    stage.play("c")
    first = store().due("ops", stage.clock.boot + 99, 9)[0].message
    assert (first.status, first.annotations["summary"], first.ends_at) == ("firing", "old 5", None)


HOOK = {"name": "ops", "webhook": {"url": "http://localhost:9/", "allow_private": True}}


@pytest.mark.parametrize(
    ("guards", "firing", "resolved"),
    [
        ({"keep_firing_for": "0s", "cooldown": "0s"}, 72, 72),
        ({"keep_firing_for": "0s", "cooldown": "5m"}, 11, 11),
        ({"keep_firing_for": "1m", "cooldown": "0s"}, 1, 0),
        ({"keep_firing_for": "1m", "cooldown": "5m"}, 1, 0),
    ],
    ids=["none", "cooldown", "keep_firing_for", "both"],
)
def test_an_hour_of_seventy_two_episodes(guards, firing, resolved):
    stage = Stage(**guards)
    stage.play("bbbcc" * 72)
    assert (stage.words.count("firing"), stage.words.count("resolved")) == (firing, resolved)


# --- 1.2 the verdict of one tick ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letter", "inactive", "pending", "firing"), [("i", "i", "i", "f"), ("n", "i", "i", "f"), ("e", "i", "p", "f")]
)
def test_what_is_no_verdict_moves_each_state_as_the_table_says(letter, inactive, pending, firing):
    assert Stage(**{"for": "20s"}).play("c" + letter)[-1] == inactive
    assert Stage(**{"for": "20s"}).play("b" + letter)[-1] == pending
    assert Stage(**{"for": "20s"}).play("bbb" + letter)[-1] == firing


def test_too_few_samples_hold_a_firing_alert_for_ever():
    assert Stage(no_data_after="30s").play("b" + "i" * 60) == "f" * 61


def test_an_error_accrues_nothing():
    assert Stage(**{"for": "20s"}).play("beeeebb") == "ppppppf"


def test_a_rule_that_cannot_be_evaluated_three_times_in_a_row_is_an_alert_of_its_own():
    stage = Stage()
    stage.play("bee")
    assert (stage.words, stage.engine.counted().failures) == (["firing"], 2)
    stage.play("e")
    assert stage.told[-1].labels == {
        "alertname": "OtelLlmRuleEvaluationFailing",
        "rule": "A",
        "severity": "warning",
    }
    assert stage.alert.state == "firing"
    stage.play("b" * 8)
    assert stage.words == ["firing", "firing", "resolved"]


def test_a_gauge_that_missed_three_readings_has_no_data():
    stage = Stage(window="5m", no_data="resolve")
    assert stage.play("bnn") == "fff"
    assert stage.play("nn")[-1] == "i"
    assert stage.told[-1].annotations["reason"] == "no_data"


def test_no_data_keep_holds_for_five_minutes_by_default():
    stage = Stage()
    assert stage.play("b" + "n" * 29) == "f" * 30
    assert stage.play("n") == "i"


def test_no_data_resolve_ends_it_at_once():
    assert Stage(no_data="resolve").play("bn") == "fi"


def test_no_data_alert_is_another_instance_that_honours_for():
    stage = Stage(no_data="alert", **{"for": "20s"})
    stage.play("cccnn")
    assert stage.words == []
    stage.play("n")
    (said,) = stage.told
    assert said.labels["otel_llm_reason"] == "no_data"


def test_an_end_for_want_of_data_is_not_told_as_good_news():
    stage = Stage(no_data="resolve")
    stage.play("bn")
    firing, resolved = stage.told
    text = body.text_of(body.Batch(receiver="ops", group="", labels={}, messages=[resolved], still=False))
    assert "told as over because: no_data" in text
    assert firing.labels == resolved.labels
    assert firing.fingerprint == resolved.fingerprint


@pytest.mark.parametrize(
    ("about", "least"),
    [
        ({"signal": "error_rate", "threshold": 0.1}, 20),
        ({"signal": "duration", "stat": "p95", "threshold": 1}, 20),
        ({"slo": {"objective": 0.99, "burn_rate": 14.4}}, 50),
        ({"signal": "cost", "threshold": 1}, 1),
        ({"signal": "inflight_max_age", "threshold": 1}, 1),
    ],
)
def test_fewest_samples_by_default(about, least):
    (rule,) = interpret(written(about)).rules
    assert rule.conditions[0].min_samples == least


@pytest.mark.parametrize("outcome", [semconv.OUTCOME_CANCELLED, semconv.OUTCOME_ABANDONED])
def test_a_call_that_was_cancelled_or_left_is_no_failed_one(outcome):
    process = Process(written(ERRORS))
    process.run(30, lambda: process.call(**{semconv.OUTCOME: outcome}))
    assert process.words == []


def test_errors_are_counted_in_calls_and_rates_of_attempts_in_attempts():
    """Each call's first attempt is refused and the second one succeeds."""
    process = Process(written(ERRORS, {**ERRORS, "signal": "attempt_error_rate"}))

    def resent():
        process.call(error="429")
        process.call(**{semconv.HTTP_REQUEST_RESEND_COUNT: 1})

    process.run(30, resent)
    assert process.states() == {"A1": "firing"}


def test_resends_whose_first_attempt_left_the_window_make_no_negative_rate():
    process = Process(written({**ERRORS, "op": "<", "threshold": 0, "resolve_threshold": 0}))
    process.run(30, lambda: (process.call(**{semconv.HTTP_REQUEST_RESEND_COUNT: 1}), process.call()))
    assert process.words == []


# --- 1.3 instances ------------------------------------------------------------------------------------------------

BY_MODEL = {**ERRORS, "by": ["gen_ai.request.model"]}


def models(process):
    return {
        dict(labels)["gen_ai_request_model"]: alert.state for (_, labels), alert in process.tenure.judge.alerts.items()
    }


def test_each_tuple_of_values_of_by_is_an_instance():
    process = Process(written({**BY_MODEL, "by": ["gen_ai.request.model", "gen_ai.provider.name"]}))
    for model, provider in (("a", "x"), ("a", "y"), ("b", "x")):
        process.call(5, error="500", **{semconv.REQUEST_MODEL: model, semconv.PROVIDER_NAME: provider})
    process.step()
    assert len({said.fingerprint for said in process.told}) == 3


def test_beyond_max_instances_the_rest_is_one_instance_and_no_alert_is_lost(caplog):
    process = Process(written({**BY_MODEL, "max_instances": 3}))
    for number in range(3):
        process.call(5, error="500", **{semconv.REQUEST_MODEL: f"m{number}"})
    process.step()
    assert len(process.told) == 3
    for _ in range(20):
        for number in range(9):
            process.call(error="500", **{semconv.REQUEST_MODEL: f"m{number}"})
        process.step()
        process.clock.pass_(1)
    assert models(process) == {"m0": "firing", "m1": "firing", "m2": "firing", OTHER: "firing"}
    assert process.words == ["firing"] * 4
    assert caplog.text.count("more series than alert rules allow") == 1
    assert process.engine.counted().folded == 20 * 6


def test_max_instances_is_fifty_by_default():
    (rule,) = interpret(written(BY_MODEL)).rules
    assert rule.conditions[0].group.most == 50


def test_only_what_is_inactive_and_idle_makes_room():
    process = Process(written({**BY_MODEL, "no_data_after": "1h"}))
    process.call(5, error="500", **{semconv.REQUEST_MODEL: "bad"})
    process.call(5, **{semconv.REQUEST_MODEL: "good"})
    process.run(880)
    assert process.tenure.board.count() == 2
    process.run(60)
    assert models(process) == {"bad": "firing"}
    assert process.tenure.board.count() == 1


@pytest.mark.parametrize("key", ["gen_ai.conversation.id", "user.id", "gen_ai.response.id", "trace_id"])
def test_keys_without_bound_are_refused_unless_they_are_allowed(key):
    (fault,) = interpret(written({**ERRORS, "by": [key]})).faults
    assert "allow_unbounded: true takes it all the same" in str(fault)
    assert not interpret(written({**ERRORS, "by": [key], "allow_unbounded": True})).faults


def test_a_fingerprint_is_sixteen_digits_and_severity_is_no_part_of_it():
    process = Process(written({**BY_MODEL, "labels": {"severity": "warning"}}))
    process.run(11, lambda: process.call(error="500"))
    process.reload(written({**BY_MODEL, "labels": {"severity": "critical"}}))
    process.run(30, lambda: process.call(error="500"))
    (said,) = process.told
    assert len(said.fingerprint) == 16
    assert int(said.fingerprint, 16) >= 0


# --- 1.4 restarts -------------------------------------------------------------------------------------------------


def test_state_and_message_are_kept_in_one_step(store, monkeypatch):
    stage = Stage(ledger=store)
    stage.post()
    stage.reload(written(GAUGE, receivers=[HOOK]))

    def fail(*_):
        raise sqlite3.OperationalError

    monkeypatch.setattr(SqliteLedger, "_queue", fail)
    stage.play("b")
    assert (kept(store), store().due("ops", 1e9, 9)) == ({}, [])


def test_what_does_not_rest_is_kept_every_thirty_seconds(store):
    stage = Stage(ledger=store)
    moments = []
    for _ in range(9):
        stage.play("b")
        moments.append(kept(store)["A"].at - START)
    assert moments == [0, 0, 0, 30, 30, 30, 60, 60, 60]


@pytest.mark.parametrize(("gap", "accrued"), [(120, 20.0), (121, 0.0)])
def test_pending_outlives_a_gap_of_two_minutes_with_what_it_accrued(store, gap, accrued):
    clock = Clock()
    first = Stage(clock=clock, ledger=store, **{"for": "60s"})
    assert first.play("bbb") == "ppp"
    first.leave()
    clock.pass_(gap)
    second = Stage(clock=clock, ledger=store, **{"for": "60s"})
    second.play("b")
    assert (second.alert.state, second.alert.accrued) == ("pending", accrued)


def test_downtime_is_no_part_of_for(store):
    clock = Clock()
    stage = Stage(clock=clock, ledger=store, **{"for": "60s"})
    stage.play("bbb")
    stage.leave()
    clock.pass_(90)
    again = Stage(clock=clock, ledger=store, **{"for": "60s"})
    assert again.play("bbbbb") == "ppppf"


def test_firing_stays_firing_without_a_second_word(store):
    clock = Clock()
    first = Stage(clock=clock, ledger=store)
    first.play("b")
    first.leave()
    clock.pass_(30)
    second = Stage(clock=clock, ledger=store)
    assert second.play("bbc") == "ffi"
    assert (first.words, second.words) == (["firing"], ["resolved"])
    assert first.told[0].starts_at == second.told[0].starts_at


def test_what_has_passed_of_keep_firing_for_is_restored(store):
    clock = Clock()
    first = Stage(clock=clock, ledger=store, keep_firing_for="40s")
    assert first.play("bccc") == "ffff"
    first.leave()
    assert Stage(clock=clock, ledger=store, keep_firing_for="40s").play("ccc") == "ffi"


def test_windows_that_are_gone_hold_a_firing_alert_until_no_data_after(store):
    clock = Clock()
    first = Stage(clock=clock, ledger=store)
    first.play("b")
    first.leave()
    clock.pass_(3000)
    second = Stage(clock=clock, ledger=store, no_data_after="1m")
    assert second.play("nnnnnn") == "ffffff"
    assert second.play("n") == "i"
    assert second.told[-1].annotations["reason"] == "no_data"


@pytest.mark.parametrize(("gap", "reason"), [(3500, None), (3700, "stale")])
@pytest.mark.parametrize("letter", "cn")
def test_after_more_than_an_hour_the_first_clear_or_empty_tick_ends_it_as_stale(store, gap, reason, letter):
    clock = Clock()
    first = Stage(clock=clock, ledger=store, keep_firing_for="10m")
    first.play("b")
    first.leave()
    clock.pass_(gap)
    second = Stage(clock=clock, ledger=store, keep_firing_for="10m")
    second.play(letter)
    assert [said.annotations.get("reason") for said in second.told] == ([] if reason is None else [reason])


def test_over_a_reboot_the_gap_is_the_wall_clock_s(store):
    clock = Clock()
    first = Stage(clock=clock, ledger=store)
    first.play("b")
    first.leave()
    clock.boot, clock.date = 20.0, clock.date + 7200
    second = Stage(clock=clock, ledger=store)
    second.tenure._boot = "another"
    assert second.play("c") == "i"
    assert second.told[0].annotations["reason"] == "stale"


def test_a_restarted_process_sees_the_window_of_the_one_before(store):
    clock = Clock()
    first = Process(written({**ERRORS, "window": "5m", "for": "20s"}), clock, store)
    first.run(11, lambda: first.call(error="500"))
    assert first.states() == {"A": "pending"}  # and then it is killed: it writes nothing more
    second = Process(written({**ERRORS, "window": "5m", "for": "20s"}), clock, store)
    second.run(30)
    assert second.words == ["firing"]
    assert second.told[0].annotations["samples"] == "11"


def test_an_exit_counts_what_has_ended_and_resolves_nothing(store):
    clock = Clock()
    first = Process(written(ERRORS), clock, store)
    first.run(11, lambda: first.call(error="500"))
    first.call(9, error="500")
    first.leave()
    second = Process(written(ERRORS), clock, store)
    second.step()
    assert (first.words, second.words) == (["firing"], [])
    (window,) = second.tenure.board.series[next(iter(second.tenure.board.series))].windows.values()
    assert window.read(int(clock.boot / SLOT), 60.0).attempts == 20


def test_a_process_that_is_killed_loses_no_more_than_what_its_last_step_did_not_see(store):
    clock = Clock()
    first = Process(written(ERRORS), clock, store)
    first.run(5, lambda: first.call(error="500"))
    first.call(error="500")
    shared, _ = store().shared(0, "nobody")
    assert sum(one.content[0] for one in shared) == 5


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"threshold": 0.2}, False),
        ({"window": "2m"}, False),
        ({"by": ["gen_ai.request.model"]}, False),
        ({"where": {"x": ["y"]}}, False),
        ({"signal": "attempt_error_rate"}, False),
        ({"labels": {"severity": "critical"}}, True),
        ({"annotations": {"summary": "new"}}, True),
        ({"for": "1m"}, True),
        ({"repeat_interval": "1h"}, True),
    ],
)
def test_a_rule_is_another_when_what_it_judges_changes(change, same):
    before, after = (interpret(written(rule)).rules[0].digest for rule in (ERRORS, {**ERRORS, **change}))
    assert (before == after) is same


def test_a_changed_rule_begins_pending_anew_and_judges_firing_again_with_its_episode():
    for hold, states, episode in (("60s", "pending", 0), ("0s", "firing", 1)):
        stage = Stage(**{"for": hold})
        stage.play("bbbbb")
        stage.reload(written({**GAUGE, "for": hold, "threshold": 4.5}))
        stage.play("b")
        assert (stage.alert.state, stage.alert.accrued if hold == "60s" else 0.0) == (states, 0.0)
        assert stage.alert.episode == episode
        assert len(stage.told) == episode


def test_a_firing_rule_that_is_removed_is_told_as_resolved_once():
    stage = Stage()
    stage.play("b")
    stage.reload(written({**GAUGE, "alert": "Other", "signal": "metric:y"}))
    stage.play("bb")
    assert [(said.status, said.annotations.get("reason")) for said in stage.told] == [
        ("firing", None),
        ("resolved", "rule_removed"),
    ]


def test_a_reload_resets_no_other_rule():
    text = written({**GAUGE, "for": "30s"}, {**GAUGE, "signal": "metric:y"})
    stage = Stage()
    stage.reload(text)
    stage.play("bb")
    stage.reload(text.replace("metric:y", "metric:z"))
    assert stage.play("bb") == "pf"


# --- 1.5 clocks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@pytest.mark.parametrize("at", [1, 3])
def test_a_jump_of_the_wall_clock_changes_no_outcome_and_is_told(jump, at, caplog):
    stage = Stage(**{"for": "20s", "keep_firing_for": "20s"})
    letters = "bbbbccc"
    states = stage.play(letters[:at])
    stage.clock.date += jump
    states += stage.play(letters[at:])
    assert states == "ppffffi"
    assert stage.words == ["firing", "resolved"]
    assert stage.engine.facts.clock_jumps == 1
    assert "the wall clock jumped" in caplog.text


def test_a_drift_of_less_than_two_seconds_is_no_jump():
    stage = Stage()
    stage.play("c")
    stage.clock.date += 1.9
    stage.play("c")
    assert stage.engine.facts.clock_jumps == 0


def test_a_call_whose_clock_was_set_back_has_the_duration_of_the_other_clock():
    slow = {"signal": "duration", "stat": "max", "window": "10s", "threshold": 1, "min_samples": 1}
    process = Process(written(slow))
    span = ReadableSpan(
        "chat m", INVALID_SPAN_CONTEXT, attributes={semconv.OPERATION_NAME: "chat"}, start_time=10**18, end_time=10**9
    )
    process.processor.on_start(span)
    process.processor.intake.open[INVALID_SPAN_CONTEXT.span_id] -= 7.0
    process.processor.on_end(span)
    process.step()
    assert 7.0 <= float(process.told[0].annotations["value"]) < 8.0


def test_a_negative_duration_is_no_time():
    process = Process(written({"signal": "duration", "stat": "min", "op": "<", "threshold": 1, "min_samples": 1}))
    process.call(duration=-5.0)
    process.step()
    assert process.words == []


def test_dates_of_messages_are_the_wall_clock_s():
    stage = Stage()
    stage.play("bc")
    assert [(said.starts_at, said.ends_at) for said in stage.told] == [(DATE, None), (DATE, DATE + 10)]


# --- 1.6 workers --------------------------------------------------------------------------------------------------


def host(store, rules, workers):
    clock = Clock()
    return clock, [Process(rules, clock, store) for _ in range(workers)]


def test_a_rule_is_judged_on_the_sum_of_all_workers_and_told_once(store):
    clock, workers = host(store, written({**ERRORS, "min_samples": 40}), 4)
    for _ in range(15):
        for worker in workers:
            worker.call(error="500")
            worker.step()
        clock.pass_(1)
    assert [word for worker in workers for word in worker.words] == ["firing"]


def test_one_worker_at_a_time_judges(store):
    clock, workers = host(store, written(ERRORS), 3)
    for _ in range(10):
        for worker in workers:
            worker.step()
        assert [worker.engine.facts.judging for worker in workers] == [True, False, False]
        clock.pass_(1)


def test_a_judge_that_falls_silent_is_followed_within_three_seconds_and_its_alert_ends_once(store):
    clock, (first, second) = host(store, written(ERRORS), 2)
    for _ in range(12):
        for worker in (first, second):
            worker.call(error="500")
            worker.step()
        clock.pass_(1)
    assert (first.words, second.words) == (["firing"], [])
    silent = clock.boot
    while not second.engine.facts.judging:
        second.step()
        clock.pass_(1)
    assert clock.boot - silent <= LEASE + 2
    second.run(100, second.call)
    assert second.engine.facts.epoch == 2
    assert second.words == ["resolved"]


def test_a_judge_that_wakes_up_late_decides_nothing_any_more(store):
    clock, (first, second) = host(store, written(ERRORS), 2)
    first.step()
    clock.pass_(LEASE + 1)
    second.step()
    late = first.tenure.ledger
    assert not late.commit(1, [], [])
    first.step()
    assert not first.engine.facts.judging


def test_three_transitions_that_four_workers_see_are_three_messages(store, tmp_path):
    clock, workers = host(store, written({**ERRORS, "cooldown": "0s"}, receivers=[HOOK]), 4)
    for worker in workers:
        worker.post()
    for error in ("500", None, "500"):
        for _ in range(90):
            for worker in workers:
                worker.call(error=error)
                worker.step()
            clock.pass_(1)
    with closing(sqlite3.connect(tmp_path / "calls.db")) as sqlite:
        messages = sqlite.execute("SELECT message ->> 'status' FROM alert_outbox ORDER BY id").fetchall()
    assert messages == [("firing",), ("resolved",), ("firing",)]


def test_a_store_that_cannot_be_reached_leaves_a_process_its_own_slice_and_it_says_so():
    class Away(MemoryLedger):
        def lease(self, owner, now):  # noqa: ARG002
            raise LedgerError

    process = Process(written(ERRORS), ledger=Away)
    process.run(11, lambda: process.call(error="500"))
    assert process.told[0].labels["scope"] == "process"


# --- 1.7 what users complain of -----------------------------------------------------------------------------------


def test_an_alert_that_fires_again_is_told_again():
    """Fired once, and never again: the episode is in the identity of a message."""
    stage = Stage()
    stage.play("bcbc")
    assert stage.words == ["firing", "resolved"] * 2
    assert len({said.identity for said in stage.told}) == 4


def test_a_thousand_failed_calls_are_one_message():
    process = Process(written(ERRORS))
    process.run(60, lambda: process.call(20, error="500"))
    assert process.words == ["firing"]


def test_a_call_that_hangs_is_told_when_it_is_too_old_and_not_before_and_once():
    stuck = {"signal": "inflight_max_age", "stat": "max", "window": "30s", "threshold": 600}
    process = Process(written(stuck))
    span = ReadableSpan("chat m", INVALID_SPAN_CONTEXT, attributes={semconv.OPERATION_NAME: "chat"})
    process.processor.on_start(span)
    began = process.processor.intake.open[INVALID_SPAN_CONTEXT.span_id]
    for age in range(0, 900, 10):
        with mock.patch("otel_llm.alert.engine.time.monotonic", return_value=began + age):
            process.step()
        assert bool(process.told) is (age > 600)
        process.clock.pass_(10)
    assert process.words == ["firing"]


def test_fast_and_slow_burn_are_rules_of_their_own():
    assert {"LLMErrorBudgetBurnFast", "LLMErrorBudgetBurnSlow"} <= {rule.name for rule in schema.load(None).rules}


def test_a_bad_reload_is_refused_in_words_and_keeps_the_rules(caplog):
    stage = Stage()
    stage.play("b")
    stage.rules = written({**GAUGE, "treshold": 1})
    assert stage.engine.reload().faults
    stage.play("b")
    assert (stage.engine.facts.reload_failures, stage.alert.state) == (1, "firing")
    assert "did you mean threshold?" in caplog.text
    assert "the rules that were in force stay" in caplog.text


# --- 2 the rule file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({**GAUGE, "windw": "1m"}, "expected a known key, found 'windw' (did you mean window?)"),
        ({**GAUGE, "for": "soon"}, "for: expected a duration such as 30s, 5m or 4h, found 'soon'"),
        ({**GAUGE, "for": "-5m"}, "for: expected a duration such as 30s, 5m or 4h, found '-5m'"),
        ({**GAUGE, "window": "7h"}, "window: expected from 5s to 6h in steps of 5s, found '7h'"),
        ({**GAUGE, "window": "12s"}, "window: expected from 5s to 6h in steps of 5s, found '12s'"),
        ({**GAUGE, "window": "5s"}, "interval: expected at most the shortest window, 5s, found 10s"),
        ({**GAUGE, "annotations": {"s": "{{ value.__class__ }}"}}, "annotations: expected {{ value }}"),
        ({**GAUGE, "annotations": {"s": "{{ value | upper }}"}}, "one of the filters dur, pct, round"),
        ({**GAUGE, "op": "=="}, "op: expected one of >, >=, <, <=, found '=='"),
        ({"signal": "cost", "slo": {"objective": 0.9, "burn_rate": 2}}, "one of signal, slo or all"),
    ],
)
def test_a_fault_says_where_what_was_expected_and_what_was_found(rule, said):
    (fault,) = interpret(written(rule)).faults
    assert str(fault).startswith("rules.yaml:1: groups[0]")
    assert said in str(fault)


def test_names_are_given_once():
    (fault,) = interpret(written({**GAUGE, "alert": "X"}, {**GAUGE, "alert": "X"})).faults
    assert "each alert's name once" in str(fault)


def test_durations_are_prometheus_s():
    (rule,) = interpret(written({**GAUGE, "for": "1h30m", "cooldown": "1d", "keep_firing_for": "500ms"})).rules
    assert (rule.hold, rule.cooldown, rule.keep_firing_for) == (5400.0, 86_400.0, 0.5)


def test_an_empty_by_is_one_instance():
    process = Process(written({**ERRORS, "by": []}))
    process.run(11, lambda: process.call(error="500"))
    assert process.told[0].labels == {"alertname": "A"}


def test_where_lets_only_its_values_through():
    process = Process(written({**ERRORS, "where": {semconv.REQUEST_MODEL: ["a", "b"]}}))
    process.run(11, lambda: process.call(error="500", **{semconv.REQUEST_MODEL: "c"}))
    assert process.words == []
    process.run(11, lambda: process.call(error="500", **{semconv.REQUEST_MODEL: "b"}))
    assert process.words == ["firing"]


def test_a_rule_is_one_of_three_forms():
    forms = interpret(
        written(
            GAUGE,
            {"slo": {"signal": "error_rate", "objective": 0.99, "burn_rate": 14.4, "long": "1h", "short": "5m"}},
            {"all": [{"signal": "metric:x", "threshold": 1}, {"signal": "metric:y", "threshold": 1}]},
        )
    )
    assert not forms.faults
    assert all(isinstance(rule, Rule) for rule in forms.rules)
    assert [len(rule.conditions) for rule in forms.rules] == [1, 2, 2]


def test_the_defaults_of_a_file_are_those_of_its_rules():
    own = {"repeat_interval": "1h", "cooldown": "2m", "keep_firing_for": "3m", "no_data": "resolve", "max_instances": 7}
    (rule,) = interpret(written({"signal": "error_rate", "threshold": 0.1, "by": ["x"]}, defaults=own)).rules
    assert (rule.repeat_interval, rule.cooldown, rule.keep_firing_for, rule.no_data) == (
        3600.0,
        120.0,
        180.0,
        "resolve",
    )
    assert rule.conditions[0].group.most == 7


def test_history_is_one_row_a_turn(store, tmp_path):
    Stage(ledger=store, **{"for": "10s"}).play("bbc")
    with closing(sqlite3.connect(tmp_path / "calls.db")) as sqlite:
        turns = sqlite.execute("SELECT before, state FROM alert_history ORDER BY id").fetchall()
    assert turns == [("inactive", "pending"), ("pending", "firing"), ("firing", "inactive")]
