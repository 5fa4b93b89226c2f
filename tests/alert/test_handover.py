"""Messages that change hands: from a judge to the next one, and from a stand-in to the store that is back."""

import msgspec
import pytest
from host_by_hand import Clock, Process

from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.outlet import Desk, Post
from otel_llm.ledger import CLAIM, LedgerError, Message, Row
from otel_llm.store.ledger import SqliteLedger
from parts.receivers import Answer
from parts.rules import errors, interpret

RULE = "window: 10s, threshold: 0.5, min_samples: 4, keep_firing_for: 0s, cooldown: 0s"


def row(status="firing", fingerprint="f", **settings):
    said = Message(
        status=status, labels={}, annotations={}, starts_at=1.0, ends_at=None, fingerprint=fingerprint, episode=1
    )
    return Row(identity=f"ops:{said.identity}", receiver="ops", message=said, **settings)


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "calls.db", "boot")
    yield ledger
    ledger.close()


# --- claims -------------------------------------------------------------------------------------------------------


def test_what_one_judge_is_sending_the_next_one_does_not_send(ledger):
    ledger.commit(ledger.lease("a", 10.0), [], [row()])
    assert len(ledger.claim(1, ledger.due("ops", 10.0, 9), 10.0)) == 1
    assert ledger.lease("b", 14.0) == 2
    assert not ledger.claim(2, ledger.due("ops", 14.0, 9), 14.0)


def test_what_a_dead_judge_was_sending_is_the_next_one_s_after_a_while(ledger):
    ledger.commit(ledger.lease("a", 10.0), [], [row()])
    ledger.claim(1, ledger.due("ops", 10.0, 9), 10.0)
    ledger.lease("b", 14.0)
    assert len(ledger.claim(2, ledger.due("ops", 10.0 + CLAIM, 9), 10.0 + CLAIM)) == 1


def test_a_judge_whose_time_is_over_may_send_nothing_more(ledger):
    ledger.commit(ledger.lease("a", 10.0), [], [row(), row(fingerprint="g")])
    ledger.lease("b", 14.0)
    assert not ledger.claim(1, ledger.due("ops", 14.0, 9), 14.0)


def test_the_same_judge_may_claim_again_what_it_could_not_settle(ledger):
    ledger.commit(ledger.lease("a", 10.0), [], [row()])
    for _ in range(2):
        assert len(ledger.claim(1, ledger.due("ops", 10.0, 9), 10.0)) == 1


def test_a_try_that_failed_is_anybody_s_again(ledger):
    ledger.commit(ledger.lease("a", 10.0), [], [row()])
    (claimed,) = ledger.claim(1, ledger.due("ops", 10.0, 9), 10.0)
    ledger.settle(claimed, "again", 11.0, "503")
    ledger.lease("b", 14.0)
    assert len(ledger.claim(2, ledger.due("ops", 14.0, 9), 14.0)) == 1


def test_a_claim_does_not_outlive_the_machine_s_restart(ledger, tmp_path):
    ledger.commit(ledger.lease("a", 90_000.0), [], [row(next_at=90_000.0)])
    ledger.claim(1, ledger.due("ops", 90_000.0, 9), 90_000.0)
    ledger.close()
    later = SqliteLedger(tmp_path / "calls.db", "another boot")
    epoch = later.lease("b", 5.0)
    (again,) = later.claim(epoch, later.due("ops", 5.0, 9), 5.0)
    later.settle(again, "again", 6.0, "503")
    assert len(later.due("ops", 6.0, 9)) == 1
    later.close()


def test_two_judges_send_a_message_once_while_the_first_one_s_receiver_hangs(ledger, hook):
    """The lease moves while the receiver has the request in hand and has not answered."""
    first, second = (Post(now=lambda: clock[0], wall=lambda: 1_800_000_000.0) for _ in range(2))
    clock = [10.0]
    for post in (first, second):
        post.take(interpret(errors(RULE, hook.url)).plan)
    ledger.commit(ledger.lease("a", 10.0), [], [row(created=1_800_000_000.0)])

    def answer(_):
        clock[0] = 14.0
        assert ledger.lease("b", 14.0) == 2
        assert second.turn(Desk("ops"), ledger, 2) == pytest.approx(19.0)
        return Answer()

    hook.answer = answer
    assert first.turn(Desk("ops"), ledger, 1) == 10.0
    assert second.turn(Desk("ops"), ledger, 2) is None
    assert len(hook.requests) == 1


@pytest.mark.parametrize("kind", ["store", "memory"])
def test_of_too_many_messages_the_oldest_repeats_go_first_and_are_counted(ledger, monkeypatch, kind):
    from otel_llm.alert import memory  # noqa: PLC0415
    from otel_llm.store import ledger as store  # noqa: PLC0415

    for module in (memory, store):
        monkeypatch.setattr(module, "MOST_ROWS", 3)
    if kind == "memory":
        ledger = MemoryLedger()
    rows = [row(fingerprint=letter) for letter in "abcd"]
    repeat = row(fingerprint="r")
    repeat = msgspec.structs.replace(repeat, message=msgspec.structs.replace(repeat.message, repeat=1))
    ledger.commit(ledger.lease("a", 10.0), [], [rows[0], repeat, *rows[1:]])
    assert [one.message.fingerprint for one in ledger.due("ops", 10.0, 9)] == ["b", "c", "d"]
    assert ledger.dropped == 2


# --- an outage of the receiver -------------------------------------------------------------------------------------


def test_a_receiver_that_is_down_five_minutes_hears_of_an_alert_that_goes_on_firing_once(office, hook):
    """The whole of it, engine, store and delivery: eight to fourteen refused tries, one firing, one resolved."""
    up_at = office.clock.boot + 300
    hook.answer = lambda _: Answer(503 if office.clock.boot < up_at else 200)
    office.run(400, failing=True)
    refused = [request for request in hook.requests[:-1] if request.json["status"] == "firing"]
    assert 8 <= len(refused) <= 14
    office.run(60, failing=False)
    taken = hook.requests[len(refused) :]
    assert [request.json["status"] for request in taken] == ["firing", "resolved"]
    assert len({request.headers["Idempotency-Key"] for request in (*refused, taken[0])}) == 1
    assert taken[0].json["alerts"][0]["startsAt"] == taken[1].json["alerts"][0]["startsAt"]


# --- a stand-in ---------------------------------------------------------------------------------------------------


class Breakable(SqliteLedger):
    """The store's ledger on a disk that can be taken away."""

    broken = False

    def lease(self, owner, now):
        self.fail()
        return super().lease(owner, now)

    def share(self, slots, now):
        self.fail()
        super().share(slots, now)

    def accept(self, rows):
        self.fail()
        super().accept(rows)

    def fail(self):
        if Breakable.broken:
            message = "disk is gone"
            raise LedgerError(message)


class Office:
    """A process with its store, a receiver and turns taken by hand."""

    def __init__(self, path, hook):
        self.clock = Clock()
        self.post = Post(now=lambda: self.clock.boot, wall=lambda: self.clock.date)
        self.post.deliver = self.deliver
        self.desk = Desk("ops")
        rules = errors(RULE, hook.url)
        opened = lambda: Breakable(path, "boot")  # noqa: E731
        self.process = Process(rules, self.clock, opened, outlet=self.post)
        self.sends = True

    def deliver(self, ledger, epoch):
        self.post._ledger = ledger
        for _ in range(9 if self.sends else 0):
            due = self.post.turn(self.desk, ledger, epoch)
            if due is None or due > self.clock.boot:
                return

    def run(self, seconds, *, failing):
        self.process.run(seconds, lambda: self.process.call(error="500" if failing else None))


@pytest.fixture
def office(tmp_path, hook):
    Breakable.broken = False
    yield Office(tmp_path / "calls.db", hook)
    Breakable.broken = False


def test_what_waits_while_the_store_is_away_is_told_when_it_is_back(office, hook):
    Breakable.broken = True
    hook.answer = lambda _: Answer(503)
    office.run(8, failing=True)
    assert office.process.engine.facts.fallback
    refused = len(hook.requests)
    Breakable.broken = False
    hook.answer = lambda _: Answer()
    office.run(25, failing=True)
    told = [(said["status"], said["labels"].get("scope")) for said in hook.alerts()[refused:]]
    assert sorted(told, key=str) == [("firing", "process"), ("firing", None), ("resolved", "process")]
    assert told.index(("firing", "process")) < told.index(("resolved", "process"))


def test_what_a_process_found_by_itself_ends_when_it_is_judged_with_the_others_again(office, hook):
    Breakable.broken = True
    office.run(8, failing=True)
    assert [(said["status"], said["labels"].get("scope")) for said in hook.alerts()] == [("firing", "process")]
    office.run(20, failing=False)
    assert [said["status"] for said in hook.alerts()] == ["firing", "resolved"]
    Breakable.broken = False
    office.run(20, failing=False)
    assert [said["status"] for said in hook.alerts()] == ["firing", "resolved"]


def test_the_end_of_what_a_process_found_by_itself_says_why(office, hook):
    Breakable.broken = True
    office.run(8, failing=True)
    Breakable.broken = False
    office.run(8, failing=False)
    (resolved,) = hook.alerts("resolved")
    assert (resolved["labels"]["scope"], resolved["annotations"]["reason"]) == ("process", "rejoined")


def test_an_alert_that_the_store_told_of_is_not_told_again_after_an_outage(office, hook):
    office.run(8, failing=True)
    Breakable.broken = True
    office.run(20, failing=True)
    assert office.process.engine.facts.fallback
    Breakable.broken = False
    office.run(20, failing=True)
    assert not office.process.engine.facts.fallback
    assert [said["status"] for said in hook.alerts()] == ["firing"]


def test_a_stand_in_lasts_as_long_as_the_outage(office, hook, caplog):
    Breakable.broken = True
    hook.answer = lambda _: Answer(503)
    office.run(60, failing=True)
    hook.answer = lambda _: Answer()
    office.run(60, failing=True)
    taken = [request.json["status"] for request in hook.requests[-1:]]
    assert taken == ["firing"]
    assert len({request.headers["Idempotency-Key"] for request in hook.requests}) == 1
    assert caplog.text.count("judged by itself") <= 1


def test_a_message_that_is_sent_while_the_store_comes_back_is_not_sent_again(hook):
    stand_in, ledger, clock = MemoryLedger(), MemoryLedger(), [10.0]
    post, desk = Post(now=lambda: clock[0], wall=lambda: 0.0), Desk("ops")
    post.take(interpret(errors(RULE, hook.url)).plan)
    stand_in.commit(1, [], [row()])

    def answer(_):
        ledger.accept(stand_in.close())
        return Answer()

    hook.answer = answer
    with pytest.raises(LedgerError):
        post.turn(desk, stand_in, 1)
    for _ in range(3):
        clock[0] += 10.0
        post.turn(desk, ledger, 1)
    assert len(hook.requests) == 1
    assert not ledger.due("ops", 100.0, 9)
