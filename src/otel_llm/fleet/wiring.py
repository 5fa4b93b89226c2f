"""Room fleet: how its parts are put together for a process. Nothing is asked of Redis here."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from otel_llm.fleet import client
from otel_llm.fleet.keys import Keys, namespace
from otel_llm.fleet.ledger import FleetLedger, Teller
from otel_llm.fleet.line import Line
from otel_llm.fleet.publisher import Publisher, Sums
from otel_llm.fleet.remote import Remote
from otel_llm.fleet.settings import Config
from otel_llm.ledger import LocalLedger


def publisher(settings: Config, resource: Mapping[str, Any], sums: Callable[[str], Sums]) -> Publisher:
    """What tells other hosts of this process's calls.

    Args:
        settings: With a URL.
        resource: The attributes of the process's resource.
        sums: Makes what adds calls up by the minute, of the host that it is given.
    """
    host = socket.gethostname()
    return Publisher(Keys(namespace(settings.namespace, resource)), lambda: sums(host), host=host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What a process has of its own.

    Attributes:
        local: Opens the ledger of this host.
        store: Where that is kept.
        boot: Which boot of the machine ``now`` counts from.
        now: The clock of slots.
    """

    local: Callable[[], LocalLedger]
    store: str
    boot: str
    now: Callable[[], float]


def opener(
    settings: Config, resource: Mapping[str, Any], here: Here, teller: Teller | None = None
) -> Callable[[], FleetLedger]:
    """Opens the ledger of the fleet; the same one each time in one process, and a new one after a fork.

    Args:
        settings: With a URL.
        resource: The attributes of the process's resource.
        here: This process.
        teller: Is asked to tell Redis what else there is.
    """
    opened: dict[int, FleetLedger] = {}
    url = settings.url or ""
    keys = Keys(namespace(settings.namespace, resource))

    def open_it() -> FleetLedger:
        pid = os.getpid()
        if pid not in opened:
            line = Line(url)
            host = socket.gethostname()
            remote = Remote(line, keys, boot=here.boot, now=here.now, name=f"{host} {pid}")
            opened[pid] = FleetLedger(
                here.local(), remote, line, place=client.place(url), host=f"{host} {here.store}", teller=teller
            )
        return opened[pid]

    return open_it
