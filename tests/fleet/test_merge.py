"""Which word about an alert holds when a host that was apart joins a fleet."""

import pytest

from otel_llm.fleet.merge import adopted
from otel_llm.ledger import Kept


def kept(state, begun):
    content = {} if begun is None else {"fired_at": begun}
    return Kept(
        fingerprint="f", rule="R", digest="", state=state, content=content, labels={}, at=1.0, wall=1.0, boot="b"
    )


@pytest.mark.parametrize(
    ("host", "fleet", "counts"),
    [
        (("firing", 1.0), None, True),
        (("inactive", 1.0), ("firing", 1.0), True),  # its end was told
        (("pending", 1.0), ("firing", 1.0), True),  # so was this one's: it is about to begin again
        (("firing", 1.0), ("inactive", 1.0), False),
        (("firing", 1.0), ("firing", 1.0), False),
        (("pending", 1.0), ("inactive", 1.0), True),
        (("inactive", 1.0), ("pending", 1.0), False),
        (("firing", 2.0), ("firing", 1.0), False),  # the fleet knows it by its own beginning
        (("inactive", 2.0), ("firing", 1.0), False),
        (("firing", 2.0), ("inactive", 1.0), True),
        (("firing", 1.0), ("inactive", 2.0), False),  # of long ago
        (("firing", 1.0), ("pending", None), True),
        (("pending", None), ("inactive", None), True),
        (("inactive", None), ("pending", None), False),
    ],
)
def test_an_end_holds_and_else_what_fires_and_else_the_later_episode(host, fleet, counts):
    known = {} if fleet is None else {"f": kept(*fleet)}
    assert bool(adopted(known, [kept(*host)])) == counts
