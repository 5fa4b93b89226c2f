"""The post is opened once somebody is to be told."""

from otel_llm.alert.memory import MemoryLedger
from otel_llm.alert.notice import Plan
from otel_llm.alert.outlet import Post
from otel_llm.alert.post import LatePost
from otel_llm.alert.receiver import shortcut
from otel_llm.alert.route import Route
from otel_llm.ledger import Message

FIRING = Message(
    status="firing",
    labels={"alertname": "Slow"},
    annotations={},
    starts_at=1.0,
    ends_at=None,
    fingerprint="f",
    episode=1,
    repeat=0,
)
TOLD = Plan(receivers={"me": shortcut("https://example.org/x")}, root=Route(receiver="me"))


def test_nobody_is_told_where_no_plan_has_a_receiver():
    post = LatePost()
    post.take(Plan())
    assert post.address([FIRING], [FIRING], []) == ()
    post.deliver(MemoryLedger(), 1)
    post.look()
    post.stop()
    assert post.counts == {}


def test_who_stands_in_a_later_plan_is_told():
    late, post = LatePost(), Post()
    for one in (late, post):
        one.take(Plan())
        one.take(TOLD)
    said, expected = ([row.identity for row in one.address([FIRING], [FIRING], [])] for one in (late, post))
    assert said == expected
    assert len(said) == 1
    late.look()
    late.stop()
    assert late.counts == {}
