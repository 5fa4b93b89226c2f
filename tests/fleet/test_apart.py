"""Hosts that are apart and come together again, step by step: what one did alone is known to all, and told once."""

import threading
import time

import pytest
from host_apart import Host, row

from otel_llm.fleet.line import _MOST, Line
from otel_llm.ledger import LedgerError, LedgerMovedError
from parts.waiting import WITHIN

pytestmark = pytest.mark.usefixtures("redis_server", "unhurried")


@pytest.fixture
def hosts(redis_server, tmp_path):
    made = Host(redis_server, tmp_path, "a", -1000.0), Host(redis_server, tmp_path, "b", -77_777.7)
    for host in made:
        host.share()
    yield made
    for host in made:
        host.line.close()
        host.local.close()


def part(host):
    """As if this host alone could not reach Redis."""
    host.ledger._part(LedgerError("cut off"))
    with pytest.raises(LedgerMovedError):
        host.ledger.share((), host.now())
    host.ledger._patient_until = float("-inf")


def join(host):
    host.ledger._next_try = 0.0
    assert host.share()
    host.ledger._patient_until = float("-inf")


def statuses(rows):
    return [one.message.status for one in rows]


def test_what_a_host_told_alone_is_not_told_again(hosts):
    a, b = hosts
    part(a)
    a.ledger.commit(a.lease(), [a.kept()], [row()])
    (waiting,) = a.ledger.due("ops", a.now(), 10)
    a.ledger.settle(waiting, "sent", 0.0, None)
    join(a)
    epoch = b.lease()
    assert [one.state for one in b.ledger.kept()] == ["firing"]
    b.ledger.commit(epoch, [], [row(), row("resolved")])
    assert statuses(b.ledger.due("ops", b.now(), 10)) == ["resolved"]


def test_what_still_waited_there_is_delivered_by_the_judge(hosts):
    a, b = hosts
    part(a)
    a.ledger.commit(a.lease(), [a.kept()], [row()])
    join(a)
    assert a.local.written(10) == ([], [])
    epoch = b.lease()
    (waiting,) = b.ledger.due("ops", b.now(), 10)
    assert b.ledger.claim(epoch, [waiting], b.now()) == [waiting]


def test_a_judge_looks_anew_when_a_host_brings_an_end(hosts):
    a, b = hosts
    b.ledger.commit(b.lease(), [b.kept()], [])
    a.share()
    a.lease()  # writes down what the fleet decided
    part(a)
    a.ledger.commit(a.lease(), [a.kept("inactive")], [])
    join(a)
    b.share()
    with pytest.raises(LedgerMovedError) as moved:
        b.lease()
    assert moved.value.afresh
    assert [one.state for one in b.ledger.kept()] == ["inactive"]
    assert b.lease()


def test_what_is_decided_in_the_moment_that_redis_fails_is_kept_and_told_here(hosts, redis_server):
    a, _ = hosts
    epoch = a.lease()
    redis_server.kill()
    old = row(begun=time.time() - 600)
    assert a.ledger.commit(epoch, [a.kept()], [row(begun=time.time()), old])
    assert a.ledger.stands_in
    with pytest.raises(LedgerMovedError):
        a.ledger.share((), a.now())
    assert [one.state for one in a.ledger.kept()] == ["firing"]
    assert len(a.ledger.due("ops", a.now(), 10)) == 1  # what may have been told by others long ago is left out


@pytest.mark.parametrize("asked", ["share", "shared", "lease", "kept"])
def test_whatever_is_asked_first_says_that_the_ledger_moved(hosts, redis_server, asked):
    a, _ = hosts
    redis_server.kill()
    questions = {
        "share": lambda: a.ledger.share((a.slot([1]),), a.now()),
        "shared": lambda: a.ledger.shared(0, "a"),
        "lease": a.lease,
        "kept": a.ledger.kept,
    }
    with pytest.raises(LedgerMovedError) as moved:
        questions[asked]()
    assert not moved.value.afresh
    questions[asked]()
    assert a.ledger.stands_in


def test_deliveries_go_on_here_when_redis_fails_under_them(hosts, redis_server):
    a, _ = hosts
    epoch = a.lease()
    a.ledger.commit(epoch, [a.kept()], [row()])
    redis_server.kill()
    assert a.ledger.claim(epoch, [row()], a.now()) == ()
    (waiting,) = a.ledger.due("ops", a.now(), 10)
    a.ledger.settle(waiting, "sent", 0.0, None)
    a.ledger.accept([row()])
    assert not a.ledger.due("ops", a.now(), 10)


def test_a_settled_message_is_known_here_also_when_redis_does_not_hear_of_it(hosts, redis_server):
    a, _ = hosts
    a.ledger.commit(a.lease(), [a.kept()], [row()])
    redis_server.kill()
    a.ledger.settle(row(), "sent", 0.0, None)
    assert a.local.written(10) == ([], [row().identity])
    a.ledger.release("a")


def test_who_does_not_judge_any_more_holds_no_messages(hosts):
    a, b = hosts
    a.ledger.commit(a.lease(), [a.kept()], [row()])
    assert len(a.local.written(10)[0]) == 1
    a.ledger.release("a")
    b.lease()
    assert a.lease() is None
    assert a.local.written(10) == ([], [])


def test_after_an_outage_nobody_judges_until_all_may_have_joined(hosts):
    a, _ = hosts
    part(a)
    a.ledger._next_try = 0.0
    a.share()
    assert a.lease() is None
    a.ledger._patient_until = time.monotonic()
    assert a.lease()


def test_a_clock_of_the_server_s_that_jumps_has_the_host_join_anew(hosts):
    a, _ = hosts
    a.remote.settle_at(a.remote._shift + 10 * WITHIN)
    assert a.share()
    assert a.ledger.joined


def test_an_old_alert_at_rest_is_forgotten(hosts):
    a, _ = hosts
    epoch = a.lease()
    a.started += 2 * 86_400.0
    old = a.kept("inactive")
    a.started -= 2 * 86_400.0
    a.ledger.commit(epoch, [old, a.kept(fingerprint="new")], [])
    a.ledger._tidied_at = float("-inf")
    a.lease()
    assert [one.fingerprint for one in a.ledger.kept()] == ["new"]


def test_nobody_waits_longer_than_a_deadline(redis_server):
    line, busy, answered = Line(redis_server.url), threading.Event(), threading.Event()
    line.post(lambda _: (busy.set(), answered.wait(WITHIN)))
    assert busy.wait(WITHIN)
    begin = time.monotonic()
    with pytest.raises(LedgerError, match="no answer within"):
        line.ask(lambda client: client.ping(), within=0.1)
    assert time.monotonic() - begin < WITHIN / 2
    for _ in range(_MOST - 1):
        line.post(lambda client: client.ping())
    with pytest.raises(LedgerError, match="too much waits"):
        line.post(lambda client: client.ping())
    answered.set()
    line.close(WITHIN)
    assert not line._loop.is_running
    with pytest.raises(LedgerError, match="no thread"):
        line.ask(lambda client: client.ping())
