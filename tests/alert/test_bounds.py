"""What must stay bounded, and what must not be lost: bad input, too many series, rules that come and go."""

import math

import pytest
from msgspec.structs import replace

from otel_llm import semconv
from otel_llm.alert import message, overlay
from otel_llm.alert.board import MOST, Board
from otel_llm.alert.judge import Judge, Rest
from otel_llm.alert.keys import KEYS
from otel_llm.alert.signal import attempt
from otel_llm.alert.state import Alert
from otel_llm.alert.window import OTHER, Window
from parts.rules import interpret

START = 100_000.0


def rules(*texts):
    listed = "".join(f"\n  - {text}" for text in texts)
    found = interpret(f"groups:\n- name: g\n  rules:{listed}\n")
    assert not found.faults, found.faults
    return found.rules


def call(board, at, *, duration=1.0, error=None, **attributes):
    said = {semconv.OPERATION_NAME: "chat", semconv.OUTCOME: "error" if error else "completed", **attributes}
    if error:
        said[semconv.ERROR_TYPE] = error
    board.fold(attempt(said, duration, failed=bool(error), at=at))


ERRORS = "{alert: Errors, signal: error_rate, window: 1m, threshold: 0.1, min_samples: 1, by: [gen_ai.request.model]}"


@pytest.fixture
def errors():
    made = rules(ERRORS)
    board = Board(made)
    return board, Judge(made, board)


def test_a_firing_alert_whose_rule_is_gone_since_the_last_start_ends_with_that_reason(errors):
    _, judge = errors
    fired = Alert(labels=(("m", "x"),), state="firing", told=True, episode=3, fired_at=50.0, value=0.5, samples=9)
    change = judge.restore("Gone", "d", fired, 10.0, Rest(labels={"severity": "critical"}, wall=99.0))
    said = message.write(change)
    assert (said.status, said.annotations["reason"], said.ends_at) == ("resolved", "rule_removed", 99.0)
    assert said.labels == {"alertname": "Gone", "m": "x", "severity": "critical"}
    assert not judge.alerts


def test_the_end_of_an_episode_that_nobody_heard_of_is_not_told_when_its_rule_is_gone(errors):
    _, judge = errors
    change = judge.restore("Gone", "d", Alert(state="firing", told=False), 10.0, Rest(labels={}, wall=99.0))
    assert change.notice is None
    assert change.alert.state == "inactive"


def test_an_alert_at_rest_whose_rule_is_gone_is_nothing(errors):
    _, judge = errors
    assert judge.restore("Gone", "d", Alert(), 10.0, Rest(labels={}, wall=99.0)) is None


def test_a_new_rule_with_a_longer_window_loses_no_sample_of_the_others(errors):
    board, judge = errors
    for _ in range(5):
        call(board, START, error="500", **{semconv.REQUEST_MODEL: "m"})
    longer = rules(ERRORS, ERRORS.replace("Errors", "Longer").replace("1m", "1h"))
    judge.reload(longer, START)
    (first, second) = [change for change in judge.tick(START, START) if change.alert.state == "firing"]
    assert (first.alert.samples, second.alert.samples) == (5, 5)


def test_what_a_widened_window_holds_reaches_back_as_far_as_it_did():
    window = Window(60.0)
    window.slot(100).attempts += 1
    window.widen(3600.0)
    window.slot(200).attempts += 1
    window.expire(400)
    assert window.read(400, 3600.0).attempts == 2


def test_a_window_holds_no_slot_that_no_rule_reads():
    window = Window(60.0)
    for number in range(1000):
        window.slot(number).attempts += 1
    assert len(list(window.own(0))) <= 13


def test_five_hundred_models_at_once_are_fifty_series_and_one_for_the_rest(errors):
    board, judge = errors
    for number in range(500):
        call(board, START, error="500", **{semconv.REQUEST_MODEL: f"model-{number}"})
    fired = [change for change in judge.tick(START, START) if change.alert.state == "firing"]
    assert len(fired) == 51
    assert dict(fired[-1].alert.labels)["gen_ai_request_model"] == OTHER
    assert board.folded() == 450


def test_all_rules_together_have_no_more_series_than_a_process_may():
    made = rules(
        *(
            f"{{alert: A{number}, signal: error_rate, threshold: 0.5, by: [gen_ai.request.model],"
            f" where: {{x: [{number}]}}, max_instances: 100}}"
            for number in range(10)
        )
    )
    board = Board(made)
    for number in range(10):
        for model in range(100):
            call(board, START, x=str(number), **{semconv.REQUEST_MODEL: f"model-{model}"})
    assert board.count() <= MOST + 10


def test_a_series_without_samples_makes_room_after_a_while(errors):
    board, judge = errors
    call(board, START, **{semconv.REQUEST_MODEL: "m"})
    board.expire(START + 500, judge.needs)
    assert board.count() == 1
    board.expire(START + 1000, judge.needs)
    assert board.count() == 0


def test_a_series_that_a_firing_alert_needs_stays(errors):
    board, judge = errors
    call(board, START, error="500", **{semconv.REQUEST_MODEL: "m"})
    judge.tick(START, START)
    board.expire(START + 1000, judge.needs)
    assert board.count() == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, "7", None, True])
def test_a_measure_that_is_none_is_left_out(value):
    (rule,) = rules("{alert: A, signal: ttft, threshold: 1, min_samples: 1}")
    board = Board([rule])
    call(board, START, **{semconv.TIME_TO_FIRST_TOKEN: value})
    assert not [change for change in Judge([rule], board).tick(START, START) if change.alert.state == "firing"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reading_that_is_no_number_is_left_out(value):
    (rule,) = rules("{alert: A, signal: gpu.temperature, stat: max, threshold: 1}")
    board = Board([rule])
    board.read("hw.temperature", value, {}, START)
    assert not Judge([rule], board).tick(START, START)


def test_a_negative_duration_is_a_call_without_one():
    (slow, rate) = rules(
        "{alert: Slow, signal: duration, stat: min, op: '<', threshold: 1, min_samples: 1}",
        "{alert: Rate, signal: request_rate, threshold: 0}",
    )
    board = Board([slow, rate])
    call(board, START, duration=-5.0)
    fired = [change.rule.name for change in Judge([slow, rate], board).tick(START, START)]
    assert fired == ["Rate"]


@pytest.mark.parametrize("hostile", ["a\r\nX-Header: b", "x" * 100_000, "\x1b[31m", "\ud800", ["a", "b"], 3, None])
def test_a_label_is_one_bounded_line_whatever_the_model_is_called(errors, hostile):
    board, judge = errors
    call(board, START, error="500", **{semconv.REQUEST_MODEL: hostile})
    (change,) = judge.tick(START, START)
    ((_, label),) = change.alert.labels
    assert label.isprintable()
    assert len(label) <= 256
    assert message.write(change).fingerprint


def test_severity_is_no_part_of_who_an_alert_is(errors):
    board, judge = errors
    call(board, START, error="500", **{semconv.REQUEST_MODEL: "m"})
    (before,) = judge.tick(START, START)
    (rule,) = judge.rules
    judge.reload([replace(rule, labels={"severity": "critical"})], START)
    call(board, START + 10, error="500", **{semconv.REQUEST_MODEL: "m"})
    (after,) = judge.tick(START + 10, START + 10)
    assert after.fingerprint == before.fingerprint
    assert after.notice is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "groups: [{name: g, interval: 2m, rules: [{alert: A, signal: cost, window: 1m, threshold: 1}]}]",
            "groups[0].interval: expected at most the shortest window, 60s, found 120s",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, by: [a.b], labels: {a_b: x}, threshold: 1}]}]",
            "labels: expected labels that by does not tell alerts apart by, found 'a_b'",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, window: 7s, threshold: 1}]}]",
            "window: expected from 5s to 6h in steps of 5s, found '7s'",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, window: 7h, threshold: 1}]}]",
            "window: expected from 5s to 6h in steps of 5s, found '7h'",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, threshold: .nan}]}]",
            "threshold: expected a number, found '.nan'",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, threshold: 1, for: -5m}]}]",
            "for: expected a duration such as 30s, 5m or 4h, found '-5m'",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, threshold: 1, by: [user.id]}]}]",
            "by: expected attributes with few values, found user.id (allow_unbounded: true takes it all the same)",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, threshold: 1, resolve_threshold: 2}]}]",
            "resolve_threshold: expected at most the threshold, 1, found 2",
        ),
        (
            "groups: [{name: g, rules: [{alert: A, signal: cost, threshold: 1, annotations: {s: '{{ 7*7 }}'}}]}]",
            "annotations: expected {{ value }}, {{ threshold }} or {{ labels.NAME }}, found {{ 7*7 }}",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text, fault):
    (found,) = interpret(text).faults
    assert str(found).startswith("rules.yaml:1: groups[0]")
    assert str(found).endswith(fault)


@pytest.mark.parametrize(
    "attribute",
    ["gen_ai.input.messages", "gen_ai.prompt.0.content", "input.value", "http.request.header.authorization"],
)
def test_what_holds_texts_or_keys_is_never_a_label(attribute):
    text = f"groups: [{{name: g, rules: [{{alert: A, signal: cost, threshold: 1, by: [{attribute}]}}]}}]"
    (fault,) = interpret(text.replace("threshold", "allow_unbounded: true, threshold")).faults
    assert f"by: expected attributes that hold no prompts, answers, error texts or headers, found {attribute}" in str(
        fault
    )


def test_no_word_of_a_prompt_is_in_what_is_told_or_kept():
    (rule,) = rules(ERRORS.replace("threshold", "annotations: {s: '{{ value }} {{ labels.prompt }}'}, threshold"))
    board = Board([rule])
    judge = Judge([rule], board)
    words = "the patient's name"
    call(board, START, error="500", prompt=words, **{semconv.INPUT_MESSAGES: words, semconv.REQUEST_MODEL: "m"})
    (change,) = judge.tick(START, START)
    assert words not in repr(message.write(change))
    assert words not in repr(change.alert)
    assert words not in repr([slot.pack() for *_, slot in board.changed(0)])


@pytest.mark.parametrize("pairs", ["A>A", "A>B B>A", "A>B B>C C>A"])
def test_alerts_that_inhibit_each_other_in_a_circle_are_a_fault_and_one_pair_is_left_out(pairs):
    listed = "".join(f"\n- {{source: {pair[0]}, target: {pair[2]}}}" for pair in pairs.split())
    three = "".join(f"\n  - {{alert: {name}, signal: cost, threshold: 1}}" for name in "ABC")
    found = interpret(f"inhibit:{listed}\ngroups:\n- name: g\n  rules:{three}\n")
    (fault,) = found.faults
    assert "expected no circle" in str(fault)
    assert len(found.inhibit) == len(pairs.split()) - 1


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "a:\n" + " - " * 5000])
def test_what_is_nested_without_end_is_a_fault(text):
    assert interpret(text).faults


def test_a_bomb_is_a_fault_and_costs_no_memory():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    assert interpret(bomb + "groups: *j\n").faults


def test_every_key_of_a_rule_is_in_the_reference():
    known = {*overlay.RULE, *overlay.CONDITION, *overlay.SLO}
    assert set(KEYS) == known


def test_what_is_remembered_of_calls_is_bounded(errors):
    board, _ = errors
    for number in range(3000):
        call(board, START, **{semconv.REQUEST_MODEL: f"model-{number}"})
        call(board, START, **{semconv.REQUEST_MODEL: "x" * 1000 + str(number)})
    assert len(board._open) <= 2 * MOST
    assert max(len(name) for (name,) in board._open) <= 256


def test_true_and_one_stay_apart(errors):
    board, _ = errors
    for value in (1, True, 1.0, "1"):
        call(board, START, **{semconv.REQUEST_MODEL: value})
    (series,) = board.series.values()
    assert set(series.windows) == {("1",), ("True",), ("1.0",)}
