"""Room fleet: how its parts are put together for a process. Nothing is asked of Redis here."""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from otel_llm.fleet import client
from otel_llm.fleet.keys import Keys, namespace
from otel_llm.fleet.ledger import FleetLedger
from otel_llm.fleet.line import Line
from otel_llm.fleet.remote import Remote
from otel_llm.fleet.settings import Config
from otel_llm.ledger import LocalLedger


def opener(
    settings: Config,
    resource: Mapping[str, Any],
    local: Callable[[], LocalLedger],
    *,
    store: str,
    boot: str,
    now: Callable[[], float],
) -> Callable[[], FleetLedger]:
    """Opens the ledger of the fleet; the same one each time in one process, and a new one after a fork.

    Args:
        settings: With a URL.
        resource: The attributes of the process's resource.
        local: Opens the ledger of this host.
        store: Where that is kept.
        boot: Which boot of the machine ``now`` counts from.
        now: The clock of slots.
    """
    opened: dict[int, FleetLedger] = {}
    url = settings.url or ""
    keys = Keys(namespace(settings.namespace, resource))

    def open_it() -> FleetLedger:
        pid = os.getpid()
        if pid not in opened:
            line = Line(url)
            host = socket.gethostname()
            remote = Remote(line, keys, boot=boot, now=now, name=f"{host} {pid}")
            opened[pid] = FleetLedger(local(), remote, line, place=client.place(url), host=f"{host} {store}")
        return opened[pid]

    return open_it
