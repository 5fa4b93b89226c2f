"""Room fleet: which of two words about an alert holds, the fleet's or a host's that was apart. No I/O, no clock."""

from collections.abc import Iterable, Mapping
from typing import Final

from otel_llm.ledger import Kept

_RANK: Final = {"inactive": 0, "pending": 1, "firing": 2}


def adopted(fleet: Mapping[str, Kept], host: Iterable[Kept]) -> list[Kept]:
    """What the fleet is to take over from a host that joins.

    An episode that ended anywhere has ended, for its end was told. What fires in the fleet stays, with its own
    beginning; else a later episode counts.

    Args:
        fleet: What the fleet keeps, by fingerprint.
        host: What the host keeps.
    """
    return [one for one in host if _counts(one, fleet.get(one.fingerprint))]


def _counts(host: Kept, fleet: Kept | None) -> bool:
    if fleet is None:
        return True
    begun, known = _begun(host), _begun(fleet)
    if begun == known and begun > 0:
        ended = host.state != "firing" and fleet.state == "firing"
        return ended or (host.state == "pending" and fleet.state == "inactive")
    if fleet.state == "firing":
        return False
    if begun != known:
        return begun > known
    return _RANK[host.state] > _RANK[fleet.state]


def _begun(kept: Kept) -> float:
    """When it fired last (wall clock) [s], 0 for never."""
    return float(kept.content.get("fired_at") or 0.0)
