"""Delivery: rows of a ledger, a clock moved by hand, and a real HTTP server that fails, hangs, redirects and closes."""

import hashlib
import hmac
import os
import socket
import time

import pytest

from otel_llm.alert import carriage
from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.outlet import Desk, Post
from otel_llm.ledger import LedgerError, Message, Silence
from otel_llm.store.ledger import SqliteLedger
from parts.receivers import HANGS_FOR, Answer
from parts.rules import interpret
from parts.waiting import wait_for

ROUTE = "route: {receiver: ops, group_wait: 0s, group_interval: 0s}"


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self):
        self.boot, self.date = 1_000.0, 1_800_000_000.0

    def pass_(self, seconds):
        self.boot += seconds
        self.date += seconds


class Silenceable(MemoryLedger):
    def __init__(self):
        super().__init__()
        self.said = []

    def silences(self, wall):  # noqa: ARG002
        return self.said


def plan(text, environ=None):
    rules = interpret(text, environ)
    assert rules.faults == ()
    return rules.plan


def message(name="Errors", status="firing", *, starts_at=1_800_000_000.0, repeat=0, episode=1, **labels):
    return Message(
        status=status,
        labels={"alertname": name, **labels},
        annotations={"summary": f"{name} is high", "value": "1"},
        starts_at=starts_at,
        ends_at=None if status == "firing" else starts_at + 60,
        fingerprint=hashlib.sha256(f"{name}{sorted(labels.items())}".encode()).hexdigest()[:16],
        episode=episode,
        repeat=repeat,
    )


class Office:
    """An outlet, its ledger and its clock, with turns taken by hand."""

    def __init__(self, rules, environ=None, ledger=None):
        self.clock = Clock()
        self.ledger = ledger or Silenceable()
        self.post = Post(now=lambda: self.clock.boot, wall=lambda: self.clock.date)
        self.post.take(plan(rules, environ))
        self.desks = {}
        self.epoch = self.ledger.lease("test", self.clock.boot)

    def tell(self, *news, firing=(), owed=None):
        rows = self.post.address(news, firing, firing if owed is None else owed)
        assert self.ledger.commit(self.epoch, [], rows)
        return rows

    def turn(self, name="ops"):
        """Turns until nothing more is to do now; says when there is."""
        desk = self.desks.setdefault(name, Desk(name))
        for _ in range(100):
            due = self.post.turn(desk, self.ledger, self.epoch)
            if due is None or due > self.clock.boot:
                return due
        raise AssertionError


def webhook(url, more="", route=ROUTE):
    return f"receivers:\n- name: ops\n  webhook: {{url: '{url}', allow_private: true{more}}}\n{route}\n"


@pytest.fixture
def office(hook):
    return Office(webhook(hook.url))


@pytest.fixture
def impatient():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carriage, "CONNECT", 0.5)
        patch.setattr(carriage, "TOTAL", 0.5)
        yield patch


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_an_alert_is_told_once_in_alertmanagers_words(office, hook):
    office.tell(message(model="m"))
    office.turn()
    office.turn()
    (request,) = hook.requests
    assert list(request.json) == [
        *("receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations"),
        *("externalURL", "version", "groupKey", "truncatedAlerts"),
    ]
    assert request.json["groupKey"] == '{}:{alertname="Errors"}'
    assert request.json["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert request.headers["Idempotency-Key"] == message(model="m").identity


def test_a_signature_holds_for_the_body_and_time_with_the_new_secret_and_the_old(hook, monkeypatch, tmp_path):
    monkeypatch.setenv("NEW", "abc")
    (tmp_path / "old").write_text("xyz\n")
    more = f", secret_env: NEW, previous_secret_file: '{tmp_path / 'old'}'"
    office = Office(webhook(hook.url, more), {"NEW": "abc"})
    office.tell(message())
    office.turn()
    (request,) = hook.requests
    signed = f"{request.headers['X-OtelLlm-Timestamp']}.".encode() + request.content
    for secret, name in (("abc", "X-OtelLlm-Signature"), ("xyz", "X-OtelLlm-Signature-Previous")):
        assert request.headers[name] == f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
    assert abs(int(request.headers["X-OtelLlm-Timestamp"]) - time.time()) < 60


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (", bearer_env: T", "Bearer right"),
        (", username_env: U, password_env: T", "Basic bWU6cmlnaHQ="),
    ],
)
def test_credentials_come_from_the_environment(hook, monkeypatch, more, expected):
    monkeypatch.setenv("T", "right")
    monkeypatch.setenv("U", "me")
    office = Office(webhook(hook.url, more), {"T": "right", "U": "me"})
    office.tell(message())
    office.turn()
    assert hook.requests[0].headers["Authorization"] == expected


def test_userinfo_of_a_url_is_sent_as_credentials_and_not_as_host(hook):
    office = Office(webhook(hook.url.replace("://", "://me:right@")))
    office.tell(message())
    office.turn()
    assert hook.requests[0].headers["Authorization"] == "Basic bWU6cmlnaHQ="
    assert hook.requests[0].headers["Host"] == f"localhost:{hook.port}"


def test_tls_is_checked_against_the_named_authority(secure_hook, trust):
    office = Office(webhook(secure_hook.url, f", ca_file: '{trust.ca_file}'"))
    office.tell(message())
    office.turn()
    assert len(secure_hook.requests) == 1


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(secure_hook, caplog):
    office = Office(webhook(secure_hook.url))
    office.tell(message())
    office.turn()
    assert secure_hook.requests == []
    assert "certificate is not trusted" in caplog.text


# --- together -----------------------------------------------------------------------------------------------------


def test_alerts_of_one_group_that_come_within_its_wait_are_told_together(hook):
    office = Office(webhook(hook.url, route="route: {receiver: ops, group_wait: 5s, group_interval: 60s}"))
    office.tell(message(model="a"))
    office.clock.pass_(4)
    office.tell(message(model="b"))
    office.tell(message("Slow"))
    office.turn()
    assert hook.requests == []
    office.clock.pass_(1)
    office.turn()
    assert [len(request.json["alerts"]) for request in hook.requests] == [2]
    assert hook.requests[0].json["commonLabels"] == {"alertname": "Errors"}
    office.clock.pass_(4)
    office.turn()
    assert [request.json["groupLabels"]["alertname"] for request in hook.requests] == ["Errors", "Slow"]


def test_a_group_is_told_again_only_after_its_interval(hook):
    office = Office(webhook(hook.url, route="route: {receiver: ops, group_wait: 0s, group_interval: 60s}"))
    office.tell(message(model="a"))
    office.turn()
    office.clock.pass_(1)
    office.tell(message(model="b"))
    assert office.turn() == pytest.approx(office.clock.boot + 59)
    office.clock.pass_(59)
    office.turn()
    assert len(hook.requests) == 2


def test_a_group_says_firing_while_one_of_its_alerts_fires(office, hook):
    a, b = message(model="a"), message(model="b")
    office.tell(a, b, firing=[a, b])
    office.turn()
    office.tell(message(status="resolved", model="a"), firing=[b])
    office.turn()
    last = hook.requests[-1].json
    assert (last["status"], [alert["status"] for alert in last["alerts"]]) == ("firing", ["resolved"])
    office.tell(message(status="resolved", model="b"))
    office.turn()
    assert hook.requests[-1].json["status"] == "resolved"


def test_five_hundred_alerts_at_once_are_one_notification(office, hook):
    office.tell(*[message(model=str(number)) for number in range(500)])
    office.turn()
    (request,) = hook.requests
    assert (len(request.json["alerts"]), request.json["truncatedAlerts"]) == (100, 400)


def test_a_receiver_is_told_thirty_times_a_minute_and_the_rest_together(hook):
    office = Office(webhook(hook.url))
    for number in range(100):
        office.tell(message(model=str(number)))
        office.turn()
    assert len(hook.requests) == 30
    office.clock.pass_(60)
    office.turn()
    assert len(hook.requests) == 31
    assert len(hook.alerts()) == 100


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_receiver_that_is_down_for_five_minutes_hears_one_firing_and_one_resolved(office, hook):
    down_until = office.clock.boot + 300
    hook.answer = lambda _: Answer(503 if office.clock.boot < down_until else 200)
    alert = message()
    office.tell(alert, firing=[alert])
    for second in range(400):
        if second % 10 == 0 and second < 330:
            office.tell(firing=[alert])  # the judge says each time what fires
        if second == 330:
            office.tell(message(status="resolved"))
        office.turn()
        office.clock.pass_(1)
    refused = [request for request in hook.requests if request.json["alerts"]][:-2]
    assert 8 <= len(refused) <= 14
    taken = hook.requests[len(refused) :]
    assert [request.json["status"] for request in taken] == ["firing", "resolved"]
    assert {request.headers["Idempotency-Key"] for request in refused} == {taken[0].headers["Idempotency-Key"]}


def test_a_firing_message_goes_before_its_resolved_and_holds_up_nobody_else(hook):
    office = Office(webhook(hook.url))
    hook.answer = lambda request: Answer(
        503 if b"resolved" not in request.content and b"Errors" in request.content else 200
    )
    office.tell(message())
    office.tell(message(status="resolved"))
    office.tell(message("Slow"))
    office.turn()
    hook.answer = lambda _: Answer()
    office.clock.pass_(2)
    office.turn()
    told = [(alert["labels"]["alertname"], alert["status"]) for alert in hook.alerts()[1:]]
    assert sorted(told) == [("Errors", "firing"), ("Errors", "resolved"), ("Slow", "firing")]
    assert told.index(("Errors", "firing")) < told.index(("Errors", "resolved"))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_trouble_is_tried_again(office, hook, status):
    hook.answer = lambda _: Answer(status)
    office.tell(message())
    office.turn()
    hook.answer = lambda _: Answer()
    office.clock.pass_(1.3)
    office.turn()
    assert len(hook.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 413])
def test_a_refusal_is_not_tried_again_and_is_said(office, hook, status, caplog):
    hook.answer = lambda _: Answer(status, {"Location": hook.url + "/elsewhere"})
    office.tell(message())
    office.turn()
    office.clock.pass_(3_600)
    office.turn()
    assert [request.path for request in hook.requests] == ["/hook"]
    assert f"HTTP {status}" in caplog.text
    assert office.post.counts["ops", "dead"] == 1


def test_the_wish_of_a_receiver_is_honoured_up_to_ten_minutes(office, hook):
    for wish, wait in (("30", 30), ("86400", 600)):
        hook.requests.clear()
        hook.answer = lambda _, wish=wish: Answer(429, {"Retry-After": wish})
        office.tell(message(model=wish))
        assert office.turn() == pytest.approx(office.clock.boot + wait)
        office.clock.pass_(wait - 1)
        office.turn()
        assert len(hook.requests) == 1
        hook.answer = lambda _: Answer()
        office.clock.pass_(1)
        office.turn()
        assert len(hook.requests) == 2


@pytest.mark.parametrize("answer", [Answer(hangs=True), Answer(closes=True), Answer(drips=True)])
def test_a_server_that_hangs_closes_or_drips_is_tried_again(office, hook, answer, impatient):
    hook.answer = lambda _: answer
    office.tell(message())
    failed = 0
    while not hook.requests:  # on a machine that stands still the time is over before anything is sent
        before = time.monotonic()
        office.turn()
        assert time.monotonic() - before < HANGS_FOR / 2
        failed += 1
        office.clock.pass_(60)
    impatient.undo()
    hook.answer = lambda _: Answer()
    office.turn()
    assert len(hook.requests) > 1
    assert office.post.counts == {("ops", "failed"): failed, ("ops", "sent"): 1}


def test_a_long_answer_is_not_read_and_counts(office, hook):
    hook.answer = lambda _: Answer(200, body=b"x" * 10_000_000)
    office.tell(message())
    office.turn()
    assert office.post.counts == {("ops", "sent"): 1}


def test_after_a_day_a_message_is_given_up(office, hook):
    hook.answer = lambda _: Answer(503)
    office.tell(message())
    for _ in range(1_500):
        office.turn()
        office.clock.pass_(60)
    before = len(hook.requests)
    office.clock.pass_(3_600)
    office.turn()
    assert len(hook.requests) == before
    assert office.post.counts["ops", "dead"] == 1


def test_nothing_listens_is_tried_again(free_port, caplog):
    office = Office(webhook(f"http://localhost:{free_port()}/token-abc?key=secret"))
    office.tell(message())
    assert office.turn() > office.clock.boot
    assert "Connection refused" in caplog.text
    assert "token-abc" not in caplog.text
    assert "secret" not in caplog.text


# --- what is not told ---------------------------------------------------------------------------------------------


def test_a_repeat_is_dropped_while_an_older_word_waits(office, hook):
    hook.answer = lambda _: Answer(503)
    alert = message()
    office.tell(alert, firing=[alert])
    office.turn()
    for number in (1, 2, 3):
        office.tell(message(repeat=number), firing=[alert])
    hook.answer = lambda _: Answer()
    office.clock.pass_(10)
    office.turn()
    assert len(hook.requests) == 2


def test_a_repeat_is_told_once_the_first_word_was(office, hook):
    alert = message()
    office.tell(alert, firing=[alert])
    office.turn()
    office.tell(message(repeat=1), firing=[alert])
    office.turn()
    assert len(hook.requests) == 2


def test_a_silenced_alert_is_told_when_the_silence_is_over_and_it_still_fires(office, hook):
    alert = message(model="m")
    office.ledger.said = [Silence(matchers={"model": "m"}, starts=0, ends=office.clock.date + 60)]
    office.post.deliver(office.ledger, 1)
    office.tell(alert, firing=[alert])
    office.turn()
    assert hook.requests == []
    office.clock.pass_(61)
    office.tell(firing=[alert])
    office.turn()
    assert [one["status"] for one in hook.alerts()] == ["firing"]


def test_an_alert_that_begins_and_ends_under_a_silence_is_never_told(office, hook):
    alert = message()
    office.ledger.said = [Silence(matchers={"alertname": "Errors"}, starts=0, ends=office.clock.date + 600)]
    office.tell(alert, firing=[alert])  # the silence is not known before the first delivery
    office.turn()
    office.tell(message(status="resolved"))
    office.turn()
    assert hook.requests == []


def test_the_end_of_an_alert_that_was_told_is_told_under_a_silence_too(office, hook):
    alert = message()
    office.tell(alert, firing=[alert])
    office.turn()
    office.ledger.said = [Silence(matchers={"alertname": "Errors"}, starts=0, ends=office.clock.date + 600)]
    office.tell(message(status="resolved"))
    office.turn()
    assert [one["status"] for one in hook.alerts()] == ["firing", "resolved"]


INHIBIT = """
inhibit: [{source: Fast, target: Slow}]
groups:
- name: g
  rules:
  - {alert: Fast, signal: error_rate, threshold: 0.5, labels: {severity: critical}}
  - {alert: Slow, signal: error_rate, threshold: 0.1, labels: {severity: warning}}
"""


def test_an_inhibited_alert_is_told_once_its_source_is_over(hook):
    office = Office(webhook(hook.url) + INHIBIT)
    fast, slow = message("Fast", model="m", severity="critical"), message("Slow", model="m", severity="warning")
    office.tell(fast, slow, firing=[fast, slow])
    office.turn()
    assert [one["labels"]["alertname"] for one in hook.alerts()] == ["Fast"]
    office.tell(message("Fast", "resolved", model="m", severity="critical"), firing=[slow])
    office.turn()
    assert [one["labels"]["alertname"] for one in hook.alerts()] == ["Fast", "Fast", "Slow"]


def test_an_alert_about_another_model_is_not_inhibited(hook):
    office = Office(webhook(hook.url) + INHIBIT)
    fast, slow = message("Fast", model="a", severity="critical"), message("Slow", model="b", severity="warning")
    office.tell(fast, slow, firing=[fast, slow])
    office.turn()
    assert len(hook.alerts()) == 2


def test_a_source_that_fires_within_the_wait_keeps_its_target_quiet(hook):
    office = Office(webhook(hook.url, route="route: {receiver: ops, group_wait: 5s}") + INHIBIT)
    fast, slow = message("Fast"), message("Slow")
    office.tell(slow, firing=[slow])
    office.clock.pass_(2)
    office.tell(fast, firing=[slow, fast])
    office.clock.pass_(5)
    office.turn()
    assert [one["labels"]["alertname"] for one in hook.alerts()] == ["Fast"]


def test_a_resolved_is_not_told_to_who_did_not_hear_of_the_firing(office, hook):
    office.tell(message(status="resolved"))
    office.turn()
    assert hook.requests == []


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_a_row_that_was_sent_while_the_ledger_failed_is_not_sent_again(hook):
    class Forgetful(Silenceable):
        fails = 1

        def settle(self, row, outcome, next_at, error):
            if self.fails:
                self.fails -= 1
                raise LedgerError
            super().settle(row, outcome, next_at, error)

    office = Office(webhook(hook.url), ledger=Forgetful())
    office.tell(message())
    with pytest.raises(LedgerError):
        office.turn()
    office.turn()
    office.turn()
    assert len(hook.requests) == 1


def test_the_store_keeps_the_same_promises(hook, tmp_path):
    ledger = SqliteLedger(tmp_path / "calls.db", "boot")
    office = Office(webhook(hook.url), ledger=ledger)
    alert = message()
    office.tell(message("Never", "resolved"), alert, firing=[alert])
    office.tell(message(repeat=1), firing=[alert])
    office.turn()
    office.tell(alert, firing=[alert])
    office.turn()
    office.tell(message(repeat=2), firing=[alert])
    office.tell(message(status="resolved"))
    office.turn()
    assert [one["status"] for one in hook.alerts()] == ["firing", "firing", "resolved"]
    ledger.close()


def test_silences_of_the_store_are_read(hook, tmp_path):
    ledger = SqliteLedger(tmp_path / "calls.db", "boot")
    office = Office(webhook(hook.url), ledger=ledger)
    with ledger._transaction() as sqlite:
        sqlite.execute(
            "INSERT INTO alert_silences (matchers, starts, ends, author, comment) VALUES (?, 0, ?, 'me', '')",
            ('{"alertname":"Errors"}', office.clock.date + 60),
        )
    alert = message()
    office.tell(alert, firing=[alert])
    office.turn()
    assert hook.requests == []
    office.clock.pass_(61)
    office.tell(firing=[alert])
    office.turn()
    assert len(hook.requests) == 1
    ledger.close()


# --- threads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def post(hook):
    post = Post()
    post.take(plan(webhook(hook.url)))
    yield post
    post.stop()


def queue(post, ledger, *messages):
    assert ledger.commit(1, [], post.address(messages, messages, messages))
    post.deliver(ledger, 1)


def test_a_thread_delivers_and_ends_when_nothing_waits(post, hook):
    ledger = MemoryLedger()
    queue(post, ledger, message())
    wait_for(lambda: hook.requests)
    wait_for(lambda: not post._desks["ops"].loop.is_running)
    queue(post, ledger, message("Slow"))
    wait_for(lambda: len(hook.requests) == 2)


def test_what_waited_before_this_process_judged_is_delivered(post, hook):
    ledger = MemoryLedger()
    ledger.commit(1, [], post.address([message()], [], []))
    other = Post()
    other.take(plan(webhook(hook.url)))
    other.deliver(ledger, 1)
    wait_for(lambda: hook.requests)
    other.stop()


def test_one_receiver_that_hangs_holds_up_no_other(hook):
    hook.answer = lambda request: Answer(hangs=request.path == "/slow")
    post = Post()
    slow = hook.url.replace("/hook", "/slow")
    post.take(
        plan(
            f"receivers:\n- name: a\n  webhook: {{url: '{slow}', allow_private: true}}\n"
            f"- name: b\n  webhook: {{url: '{hook.url}', allow_private: true}}\n"
            "route: {receiver: a, group_wait: 0s, routes: [{receiver: a, continue: true}, {receiver: b}]}\n"
        )
    )
    queue(post, MemoryLedger(), message())
    wait_for(lambda: {request.path for request in hook.requests} == {"/slow", "/hook"})
    post.stop()


def test_a_process_that_stopped_starts_no_thread(post, hook):
    post.stop()
    queue(post, MemoryLedger(), message())
    assert post._desks["ops"].loop is None
    assert hook.requests == []


def test_a_fork_delivers_with_threads_of_its_own(post, hook):
    ledger = MemoryLedger()
    hook.answer = lambda _: Answer(hangs=True)
    queue(post, ledger, message())
    wait_for(lambda: hook.requests)
    pid = os.fork()
    if pid == 0:
        queue(post, ledger, message("Slow"))
        os._exit(0 if post._desks["ops"].loop.is_running else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_receiver_that_is_gone_from_the_rules_is_told_nothing_more(post, hook):
    ledger = MemoryLedger()
    ledger.commit(1, [], post.address([message()], [], []))
    post.take(
        plan("""
groups: [{name: g, rules: [{alert: A, signal: error_rate, threshold: 0.1}]}]
""")
    )
    post.deliver(ledger, 1)
    assert post._desks == {}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "the host's name is not known"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (ValueError("secret"), "ValueError"),
    ],
)
def test_an_error_is_told_in_few_words(error, text):
    assert carriage.explain(error) == text


def test_a_secret_that_is_gone_is_a_passing_trouble(hook, monkeypatch):
    monkeypatch.setenv("S", "abc")
    office = Office(webhook(hook.url, ", secret_env: S"), {"S": "abc"})
    monkeypatch.delenv("S")
    office.tell(message())
    office.turn()
    assert office.post.counts == {("ops", "failed"): 1}
