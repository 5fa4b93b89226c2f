"""A host of a fleet, moved by hand: its own store, its own clock, its own line to a real Redis."""

import time

from otel_llm.fleet.keys import Keys
from otel_llm.fleet.ledger import FleetLedger
from otel_llm.fleet.line import Line
from otel_llm.fleet.remote import Remote
from otel_llm.ledger import Kept, LedgerMovedError, Message, Row, Shared
from otel_llm.store.ledger import SqliteLedger

KEYS = Keys("test")


class Host:
    """A machine that was started at another time than others."""

    def __init__(self, redis_server, folder, name, started):
        self.name, self.started = name, started
        self.local = SqliteLedger(folder / f"{name}.db", name)
        self.line = Line(redis_server.url)
        self.remote = Remote(self.line, KEYS, boot=name, now=self.now, name=name)
        self.ledger = FleetLedger(self.local, self.remote, self.line, place="there", host=name)

    def now(self):
        return time.monotonic() - self.started

    def share(self, *slots):
        """As a step begins; gives whether the ledger moved."""
        try:
            self.ledger.share(slots, self.now())
        except LedgerMovedError:
            self.ledger.share(slots, self.now())
            return True
        return False

    def lease(self):
        return self.ledger.lease(self.name, self.now())

    def kept(self, state="firing", begun=1.0, fingerprint="f"):
        return Kept(
            fingerprint=fingerprint,
            rule="R",
            digest="d",
            state=state,
            content={"fired_at": begun},
            labels={},
            at=self.now(),
            wall=time.time(),
            boot=self.name,
        )

    def slot(self, content, ago=0.0, reach=10, at=None):
        number = int(((self.now() if at is None else at) - ago) / 5)
        return Shared(
            group="g",
            key=("m",),
            worker=self.name,
            number=number,
            until=number + reach,
            content=content,
            boot=self.name,
        )


def row(status="firing", receiver="ops", begun=1.0, **settings):
    said = Message(
        status=status, labels={}, annotations={}, starts_at=begun, ends_at=None, fingerprint="f", episode=1, **settings
    )
    return Row(identity=f"{receiver}:{said.identity}", receiver=receiver, message=said, created=time.time())
