"""The ledger of a fleet against a real Redis: two hosts with clocks and stores of their own."""

import time

import pytest
from host_apart import KEYS, Host, row

from otel_llm.alert.memory import MemoryLedger
from otel_llm.fleet import remote
from otel_llm.fleet.keys import namespace
from otel_llm.fleet.ledger import FleetLedger
from otel_llm.fleet.line import Line
from otel_llm.fleet.remote import Remote
from otel_llm.ledger import LedgerMovedError
from otel_llm.store import alerts
from parts.waiting import least, wait_for

pytestmark = pytest.mark.usefixtures("unhurried")
LEASE = remote.LEASE


@pytest.fixture
def hosts(redis_server, tmp_path):
    made = Host(redis_server, tmp_path, "a", -1000.0), Host(redis_server, tmp_path, "b", -77_777.7)
    yield made
    for host in made:
        host.line.close()
        host.local.close()


def _read(host, mark):
    """A page for ``host``, whole, and the next mark."""
    told, mark = host.ledger.shared(mark, host.name)
    return list(told), mark


def test_the_first_step_joins(hosts):
    assert all(host.share() for host in hosts)
    assert all(host.ledger.joined and not host.ledger.stands_in for host in hosts)


def test_one_host_judges(hosts):
    a, b = hosts
    a.share(), b.share()
    assert a.lease() == 1
    assert b.lease() is None
    assert a.lease() == 1
    a.ledger.release("a")
    assert b.lease() == 2


def test_another_host_judges_within_three_seconds(hosts, monkeypatch):
    monkeypatch.setattr(remote, "LEASE", LEASE)
    a, b = hosts
    a.share(), b.share()
    others = [b, a, b]

    def follow():
        others[1].lease()
        return wait_for(others.pop(0).lease)

    assert least(follow, 3.0) < 3.0


def test_slots_are_told_on_each_host_s_own_clock_and_replaced(hosts):
    a, b = hosts
    a.share(), b.share()
    at = a.now()
    a.share(a.slot([1], at=at), a.slot([7], ago=100.0, reach=60, at=at))
    told, mark = _read(b, 0)
    assert sorted(one.content for one in told) == [[1], [7]]
    newest, older = sorted(told, key=lambda one: -one.number)
    assert abs(b.now() / 5 - newest.number) < 20  # the clocks are hours apart
    assert newest.number - older.number == 20
    assert (newest.boot, newest.key) == ("b", ("m",))
    a.share(a.slot([2], at=at))
    again, mark = _read(b, mark)
    assert [one.content for one in again] == [[2]]
    assert again[0].number == newest.number
    assert _read(b, mark) == ([], mark)
    assert _read(a, 0)[0] == []


def test_much_that_was_told_comes_page_by_page_and_each_slot_once(hosts):
    a, b = hosts
    a.share(), b.share()
    at = a.now()
    for begin in range(0, 900, 300):
        a.share(*(a.slot([number], ago=5.0 * number, reach=2000, at=at) for number in range(begin, begin + 300)))
    pages, mark, before = [], 0, None
    while mark != before:
        before = mark
        told, mark = _read(b, mark)
        pages.append([one.content[0] for one in told])
    assert sorted(number for page in pages for number in page) == list(range(900))
    assert [len(page) for page in pages] == [300, 300, 300, 0]  # whole marks, of which there are three


def test_what_is_kept_is_known_to_all_hosts_and_written_down_there(hosts):
    a, b = hosts
    a.share(), b.share()
    assert a.ledger.commit(a.lease(), [a.kept()], [])
    (kept,) = b.ledger.kept()
    assert (kept.state, kept.boot) == ("firing", "b")
    assert abs(kept.at - b.now()) < 100.0  # the clocks are hours apart
    b.share()
    b.lease()
    assert [one.state for one in b.local.kept()] == ["firing"]
    assert [one.state for one in a.local.kept()] == ["firing"]


def test_a_former_judge_keeps_nothing(hosts):
    a, b = hosts
    a.share(), b.share()
    epoch = a.lease()
    a.ledger.release("a")
    b.lease()
    assert not a.ledger.commit(epoch, [a.kept()], [row()])
    assert not b.ledger.due("ops", b.now() + 60, 10)


def test_a_message_is_queued_once_even_after_it_was_sent(hosts):
    a, b = hosts
    a.share(), b.share()
    epoch = a.lease()
    a.ledger.commit(epoch, [], [row()])
    (waiting,) = a.ledger.due("ops", a.now(), 10)
    assert b.ledger.due("ops", b.now(), 10) == ()
    a.ledger.settle(waiting, "sent", 0.0, None)
    a.ledger.commit(epoch, [], [row(), row(repeat=1)])
    assert [one.message.repeat for one in a.ledger.due("ops", a.now(), 10)] == [1]
    a.ledger.commit(epoch, [], [row(repeat=2)])
    assert len(a.remote.due("ops", a.now(), 10)) == 1


def test_an_end_is_told_where_its_beginning_was(hosts):
    a, _ = hosts
    a.share()
    epoch = a.lease()
    a.ledger.commit(epoch, [], [row("resolved")])
    assert not a.ledger.due("ops", a.now(), 10)
    a.ledger.commit(epoch, [], [row(), row("resolved")])
    (first,) = a.ledger.due("ops", a.now(), 10)
    a.ledger.settle(first, "again", a.now() + 9, "503")
    assert not a.ledger.due("ops", a.now(), 10)
    (again,) = a.ledger.due("ops", a.now() + 10, 10)
    assert (again.message.status, again.attempts) == ("firing", 1)
    a.ledger.settle(again, "sent", 0.0, None)
    assert [one.message.status for one in a.ledger.due("ops", a.now(), 10)] == ["resolved"]


def test_of_too_many_messages_the_oldest_repeats_go_first(hosts, monkeypatch):
    monkeypatch.setattr(remote, "MOST_ROWS", 2)
    a, _ = hosts
    a.share()
    epoch = a.lease()
    a.ledger.commit(epoch, [], [row(receiver="x"), row(receiver="y", repeat=1), row(receiver="z", repeat=1)])
    assert a.ledger.dropped == 1
    assert [len(a.ledger.due(receiver, a.now(), 10)) for receiver in "xyz"] == [1, 0, 1]
    a.ledger.commit(epoch, [], [row(receiver="u"), row(receiver="v")])
    assert a.ledger.dropped == 3
    assert [len(a.ledger.due(receiver, a.now(), 10)) for receiver in "xzuv"] == [0, 0, 1, 1]


def test_a_message_that_is_withdrawn_may_be_queued_again(hosts):
    a, _ = hosts
    a.share()
    epoch = a.lease()
    a.ledger.commit(epoch, [], [row()])
    a.ledger.settle(row(), "withdrawn", 0.0, None)
    assert not a.ledger.due("ops", a.now(), 10)
    a.ledger.commit(epoch, [], [row()])
    assert a.ledger.due("ops", a.now(), 10)


def test_a_silence_said_on_one_host_holds_on_all(hosts, tmp_path):
    a, b = hosts
    a.share(), b.share()
    a.lease()
    alerts.silence(tmp_path / "b.db", {"alertname": "R"}, seconds=60.0, author="me", comment="")
    b.lease()
    a.ledger._silences_at = float("-inf")
    a.lease()
    assert [one.matchers for one in a.ledger.silences(time.time())] == [{"alertname": "R"}]


def test_everything_in_redis_ends_by_itself(hosts, redis_server):
    a, b = hosts
    a.share(), b.share()
    a.share(a.slot([1]), a.slot([2], reach=720))
    epoch = a.lease()
    a.ledger.commit(epoch, [a.kept()], [row(), row(receiver="x")])
    a.ledger.settle(row(receiver="x"), "sent", 0.0, None)
    with redis_server.client() as client:
        keys = client.keys()
        assert keys
        assert all(key.startswith((b"otel_llm:{test}:", b"otel_llm:fleets")) for key in keys)
        assert {key: client.ttl(key) for key in keys if client.ttl(key) < 0} == {}


@pytest.mark.parametrize(
    ("named", "resource", "expected"),
    [
        (None, {"service.name": "chat", "deployment.environment.name": "prod"}, "chat/prod"),
        (None, {"service.name": "unknown_service:python"}, "unknown_service/default"),
        ("mine", {"service.name": "chat"}, "mine"),
        ("a{b} c", {}, "a_b__c"),
    ],
)
def test_a_fleet_is_named_by_setting_or_by_service_and_environment(named, resource, expected):
    assert namespace(named, resource) == expected


def test_where_there_is_no_store_memory_stands_in(redis_server):
    line = Line(redis_server.url)
    there = Remote(line, KEYS, boot="m", now=time.monotonic, name="m")
    ledger = FleetLedger(MemoryLedger(), there, line, place="there", host="m")
    with pytest.raises(LedgerMovedError):
        ledger.share((), 1.0)
    epoch = ledger.lease("m", 1.0)
    assert ledger.commit(epoch, [], [row()])
    redis_server.kill()
    assert [one.identity for one in ledger.due("ops", time.monotonic(), 10)] == [row().identity]
    assert ledger.stands_in
    line.close()
