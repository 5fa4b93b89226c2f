"""A real Alertmanager: takes what we post, gives it back, and sends what our own webhook sends."""

import json
import time

import pytest

from otel_llm.alert import body
from otel_llm.alert import message as words
from otel_llm.alert.alertmanager import AHEAD, Alertmanager
from otel_llm.alert.memory import MemoryLedger
from otel_llm.ledger import Message
from parts.receivers import Answer
from parts.waiting import wait_for


def config(hook):
    return json.dumps(
        {
            "route": {"receiver": "ops", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s"},
            "receivers": [{"name": "ops", "webhook_configs": [{"url": hook.url}]}],
        }
    )


def alert(status="firing", name="Errors", **labels):
    now = int(time.time() * 1000) / 1000
    return Message(
        status=status,
        labels={"alertname": name, "severity": "critical", **labels},
        annotations={"summary": "12% fail", "value": "0.12"},
        starts_at=now - 30,
        ends_at=None if status == "firing" else now,
        fingerprint=f"{name}-{labels}",
        episode=1,
    )


@pytest.mark.slow
def test_what_fires_and_what_ends_comes_back_from_a_real_alertmanager(hook, alertmanager):
    ledger = MemoryLedger()
    firing = alert(gen_ai_request_model="m")
    with alertmanager(config(hook)) as server:
        outlet = Alertmanager(server.url)
        assert outlet.address([firing], [firing], [firing]) == ()
        outlet.deliver(ledger, 1)
        wait_for(lambda: hook.requests)
        assert outlet.address([], [], []) == ()
        outlet.deliver(ledger, 1)
        wait_for(lambda: hook.alerts("resolved"))
        wait_for(lambda: outlet.counts == {("alertmanager", "sent"): 2})  # counted after the answer
        outlet.stop()
    told = hook.alerts("firing")[0]
    assert told["labels"] == firing.labels
    assert told["annotations"] == firing.annotations
    assert told["startsAt"] == words.stamp(firing.starts_at)


@pytest.mark.slow
def test_our_webhook_says_field_by_field_what_alertmanagers_says(hook, alertmanager):
    first, second = alert(gen_ai_request_model="a"), alert(gen_ai_request_model="b")
    with alertmanager(config(hook)) as server:
        outlet = Alertmanager(server.url)
        outlet.address([first, second], [first, second], [])
        outlet.deliver(MemoryLedger(), 1)
        wait_for(lambda: hook.requests)
        outlet.stop()
    theirs = hook.requests[0].json
    ours = _body([first, second])
    assert list(ours) == list(theirs)
    assert [list(one) for one in ours["alerts"]] == [list(one) for one in theirs["alerts"]]
    told = sorted(theirs["alerts"], key=lambda one: one["labels"]["gen_ai_request_model"])
    for mine, other in zip(ours["alerts"], told, strict=True):
        assert len(mine["fingerprint"]) == len(other["fingerprint"]) or mine["fingerprint"].startswith("Errors")
        assert {**mine, "fingerprint": ""} == {**other, "fingerprint": ""}
    assert theirs["externalURL"]  # its own address; we have none
    assert {**ours, "alerts": [], "externalURL": ""} == {**theirs, "alerts": [], "externalURL": ""}


def _body(messages):
    group = {"alertname": "Errors"}
    batch = body.Batch(receiver="ops", group='{}:{alertname="Errors"}', labels=group, messages=messages)
    return json.loads(json.dumps(body.alertmanager(batch)))


class Clock:
    now = 1_000.0
    wall = 1_800_000_000.0


@pytest.fixture
def outlet(hook):
    one = Alertmanager(hook.url.removesuffix("/hook"), now=lambda: Clock.now, wall=lambda: Clock.wall)
    one._until = float("inf")
    return one


def test_what_fires_is_said_every_minute_with_an_end_ahead(hook, outlet, monkeypatch):
    one = alert()
    outlet.address([one], [one], [one])
    for _ in range(130):
        outlet.turn()
        outlet.address([], [one], [one])
        monkeypatch.setattr(Clock, "now", Clock.now + 1)
    assert len(hook.requests) == 3
    assert hook.requests[0].path == "/api/v2/alerts"
    assert hook.requests[0].json[0]["endsAt"] == words.stamp(Clock.wall + AHEAD)


def test_what_ended_is_said_at_once_and_for_a_quarter_of_an_hour(hook, outlet, monkeypatch):
    one = alert()
    outlet.address([one], [one], [one])
    outlet.turn()
    outlet.address([], [], [])
    outlet.turn()
    assert hook.requests[1].json[0]["endsAt"] == words.stamp(Clock.wall)
    monkeypatch.setattr(Clock, "wall", Clock.wall + 901)
    outlet.address([], [], [])
    assert outlet._alerts == {}


def test_an_alertmanager_that_is_away_is_asked_again_with_pauses(hook, outlet, monkeypatch, caplog):
    hook.answer = lambda _: Answer(503)
    one = alert()
    outlet.address([one], [one], [one])
    for _ in range(300):
        outlet.turn()
        monkeypatch.setattr(Clock, "now", Clock.now + 1)
    assert 8 <= len(hook.requests) <= 14
    assert caplog.text.count("it is tried again") == 1
    hook.answer = lambda _: Answer()
    monkeypatch.setattr(Clock, "now", Clock.now + 61)
    outlet.turn()
    assert outlet.counts["alertmanager", "sent"] == 1


def test_a_process_that_does_not_judge_says_nothing(hook, outlet):
    outlet._until = Clock.now - 1
    one = alert()
    outlet.address([one], [one], [one])
    outlet.turn()
    assert hook.requests == []
