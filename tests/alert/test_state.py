import pytest

from otel_llm.alert.rule import Rule
from otel_llm.alert.state import Alert, Verdict, remove, resume, step

LETTERS = {"inactive": "i", "pending": "p", "firing": "f"}


def rule(**settings):
    return Rule(**{"name": "Slow", "group": "g", "interval": 10.0, "conditions": (), **settings})


def run(rule, data, *, dt=10.0, alert=None):
    """States and notices, a tick each: ``b`` breach, ``c`` clear, ``i`` insufficient, ``n`` no data, ``e`` error."""
    words = {"b": "breach", "c": "clear", "i": "insufficient", "n": "no_data", "e": "error"}
    alert = alert or Alert()
    states, notices = "", []
    for tick, letter in enumerate(data):
        alert, notice = step(rule, alert, Verdict(data=words[letter], value=1.0), dt, 1000.0 + tick * dt)
        states += LETTERS[alert.state]
        if notice:
            notices.append((tick, notice.status, notice.repeat))
    return states, notices, alert


def test_it_fires_at_the_first_tick_that_has_seen_the_whole_of_for():
    assert run(rule(hold=30), "cbbbbb")[0] == "ipppff"


def test_without_for_it_fires_at_once():
    assert run(rule(hold=0), "cb")[0] == "if"


def test_a_short_breach_is_forgotten():
    assert run(rule(hold=20), "bbcbbbc")[0] == "ppippff"


def test_it_resolves_once_it_has_been_clear_for_keep_firing_for():
    states, notices, _ = run(rule(keep_firing_for=20), "bcccc")
    assert states == "fffii"
    assert notices == [(0, "firing", 0), (3, "resolved", 0)]


def test_a_breach_inside_keep_firing_for_goes_on_without_a_new_for():
    assert run(rule(hold=10, keep_firing_for=20), "bbccbccc")[0] == "pffffffi"


@pytest.mark.parametrize("data", ["i", "n"])
def test_a_pending_alert_does_not_outlive_missing_data(data):
    assert run(rule(hold=30), "b" + data)[0] == "pi"


def test_too_few_samples_hold_a_firing_alert():
    assert run(rule(), "b" + "i" * 100)[0] == "f" * 101


def test_silence_holds_a_firing_alert_for_a_while_and_then_says_why_it_ended():
    states, notices, alert = run(rule(no_data_after=30), "bnnn")
    assert states == "fffi"
    assert alert.reason == "no_data"
    assert notices[-1][1] == "resolved"


def test_silence_resolves_at_once_where_the_rule_says_so():
    assert run(rule(no_data="resolve"), "bn")[0] == "fi"


def test_an_error_moves_nothing():
    assert run(rule(hold=20), "beebeb")[0] == "ppppp" + "f"


def test_a_firing_alert_is_told_again_after_the_repeat_interval():
    assert run(rule(repeat_interval=30), "b" * 8)[1] == [(0, "firing", 0), (3, "firing", 1), (6, "firing", 2)]


def test_inside_the_cooldown_it_fires_without_a_word():
    states, notices, alert = run(rule(keep_firing_for=0, cooldown=60), "bcbcb")
    assert states == "fifif"
    assert notices == [(0, "firing", 0), (1, "resolved", 0)]
    assert alert.suppressed == 2


def test_what_still_fires_when_the_cooldown_ends_is_told_once():
    _, notices, _ = run(rule(keep_firing_for=0, cooldown=60), "bc" + "b" * 8)
    assert notices == [(0, "firing", 0), (1, "resolved", 0), (7, "firing", 0)]


def test_an_episode_nobody_heard_of_ends_without_a_word():
    _, notices, _ = run(rule(keep_firing_for=0, cooldown=600), "bcbc")
    assert [status for _, status, _ in notices] == ["firing", "resolved"]


def test_an_hour_of_flapping_is_told_once_by_default():
    _, notices, _ = run(rule(keep_firing_for=60, cooldown=300), "bbbccc" * 60)
    assert notices == [(0, "firing", 0)]


def test_each_episode_has_its_number():
    assert run(rule(keep_firing_for=0, cooldown=0), "bcbcb")[2].episode == 3


def test_the_end_is_not_told_where_the_rule_says_so():
    assert run(rule(keep_firing_for=0, send_resolved=False), "bc")[1] == [(0, "firing", 0)]


def test_firing_survives_a_restart_without_a_second_word():
    _, _, alert = run(rule(), "b")
    states, notices, _ = run(rule(), "bb", alert=resume(alert, 60.0))
    assert (states, notices) == ("ff", [])


def test_pending_survives_a_short_restart_with_what_it_has_accrued():
    _, _, alert = run(rule(hold=30), "bbb")
    assert run(rule(hold=30), "b", alert=resume(alert, 60.0))[0] == "f"


def test_pending_does_not_survive_a_long_restart():
    _, _, alert = run(rule(hold=30), "bbb")
    assert resume(alert, 121.0).state == "inactive"


def test_after_more_than_an_hour_a_firing_alert_that_is_clear_ends_at_once():
    _, _, alert = run(rule(), "b")
    states, notices, after = run(rule(), "c", alert=resume(alert, 3601.0))
    assert (states, after.reason) == ("i", "stale")
    assert notices[0][1] == "resolved"


def test_a_rule_that_is_gone_resolves_what_it_fired():
    _, _, alert = run(rule(), "b")
    after, notice = remove(rule(), alert, 2000.0)
    assert (after.state, after.reason, notice.status) == ("inactive", "rule_removed", "resolved")
