"""Room probe: measures the energy of calls to model servers on this host, while such calls last.

A call to a loopback address, or one of this host's own, opens a window; a thread samples the cards ten times a second
as long as there are windows, and ends soon after. A call's share is worked out of what was sampled, so that no
span waits for a driver. Calls elsewhere, and hosts without a card, cost a look at the address. The `Ledger` shares.
"""

import os
import socket
import threading
import time
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

import msgspec

from otel_llm import listeners, semconv, supervisor
from otel_llm.probe.driver import library_fault
from otel_llm.probe.energy import Ledger, Window
from otel_llm.probe.fields import METER_FIELDS
from otel_llm.probe.nvml import Nvml

PERIOD: Final = 0.1
"""Between two samples [s]."""

_LINGER: Final = 2.0
"""How long the thread waits for another call [s]."""

_SCOPE_FOR: Final = 60.0
"""How long it is believed which cards a server uses [s]."""

_MOST_PORTS: Final = 16
_LONGEST: Final = 3600.0
"""A call that began before this is not waited for [s]."""


class _Server(msgspec.Struct, kw_only=True):
    """A model server on this host.

    Attributes:
        cards: Those that it uses; ``None`` where that cannot be told, so that all are counted.
    """

    port: int
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    cards: frozenset[str] | None = None
    scope_until: float = float("-inf")


class Meter:
    """What calls to servers on this host take."""

    def __init__(self) -> None:
        self._off: bool | None = None
        self._own: frozenset[str] | None = None
        self._source = Nvml("energy", METER_FIELDS)
        self._loop = supervisor.Loop("energy", self._run, where="probe.energy")
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._servers: dict[int, _Server] = {}
        self._rest: dict[str, float] = {}

    def begin(self, address: str | None, port: int | None) -> "Ticket | None":
        """A call to a server begins; ``None`` where its energy is not to be known."""
        if self._pid != os.getpid():
            self._begin_anew()  # the lock may have been held, and the thread is the parent's
        if self._off is None:
            self._off = library_fault() is not None
        if self._off or address is None or port is None or not self._is_here(address):
            return None
        with self._lock:
            server = self._servers.get(port)
            if server is None:
                if len(self._servers) >= _MOST_PORTS:
                    return None
                server = self._servers[port] = _Server(port=port)
            window = server.ledger.begin(time.perf_counter())
            if window is None:
                return None
            self._loop.ensure()
        return Ticket(meter=self, server=server, window=window)

    def end(self, server: _Server, window: Window, tokens: int | None) -> dict[str, float | str]:
        """A call ends: what it took, by attribute; nothing where that cannot be told."""
        with self._lock:
            share = server.ledger.end(window, time.perf_counter(), tokens)
            if share is None or server.cards == frozenset():
                return {}
            method = [semconv.ENERGY_METHOD_SAMPLED if share.sampled else semconv.ENERGY_METHOD_COUNTER, "shared"]
            if server.cards is None:
                method.append("host")
            said: dict[str, float | str] = {semconv.ENERGY: share.active}
            if share.idle is None:
                method.append("gross")
            else:
                said[semconv.ENERGY_IDLE] = share.idle
            said[semconv.ENERGY_METHOD] = "/".join(method)
            return said

    def _is_here(self, address: str) -> bool:
        if address == "localhost" or address == socket.gethostname():
            return True
        try:
            if ip_address(address).is_loopback:
                return True
        except ValueError:
            return False
        if self._own is None:
            self._own = listeners.addresses()  # a fifth of a millisecond, once
        return address in self._own

    def _run(self, loop: supervisor.Loop) -> None:
        """Sample while calls last and a little longer."""
        quiet_since = time.perf_counter()
        waking = True
        self._source.cards(time.perf_counter())  # opened before the first sample, whose time would be wrong
        while loop.goes_on:
            now = time.perf_counter()
            self._sample(now, waking=waking)
            waking = False
            with self._lock:
                for server in self._servers.values():
                    server.ledger.forget(now - _LONGEST)
                if any(server.ledger.is_open for server in self._servers.values()):
                    quiet_since = now
                elif now - quiet_since > _LINGER:
                    loop.retire()
                    return
            loop.wait(max(0.0, PERIOD - (time.perf_counter() - now)))

    def _sample(self, now: float, *, waking: bool) -> None:
        """Note what the cards say; at rest what they draw is what they draw without a call."""
        readings = self._source.read(now)
        joules = {str(one.attributes[semconv.HW_ID]): one for one in readings if one.name == semconv.METRIC_ENERGY}
        if waking:
            busy = {
                str(one.attributes[semconv.HW_ID]): one.value
                for one in readings
                if one.name == semconv.METRIC_GPU_UTILIZATION and one.attributes[semconv.HW_GPU_TASK] == "general"
            }
            self._rest |= {
                str(one.attributes[semconv.HW_ID]): one.value
                for one in readings
                if one.name == semconv.METRIC_POWER and busy.get(str(one.attributes[semconv.HW_ID])) == 0
            }
        for server in list(self._servers.values()):
            if now >= server.scope_until:
                server.cards, server.scope_until = self._scope(server.port, now), now + _SCOPE_FOR
            counted = {card: one for card, one in joules.items() if server.cards is None or card in server.cards}
            sampled = any(
                one.attributes[semconv.ENERGY_METHOD] == semconv.ENERGY_METHOD_SAMPLED for one in counted.values()
            )
            with self._lock:
                if counted:
                    taken = {card: one.value for card, one in counted.items()}
                    server.ledger.note(now, taken, self._rest, sampled=sampled)

    def _scope(self, port: int, now: float) -> frozenset[str] | None:
        """The cards that a server uses; ``None`` where it cannot be told whose processes use them."""
        pids = listeners.processes(port)
        users: Mapping[str, frozenset[int]] = {card.id: card.processes() for card in self._source.cards(now)}
        if not pids or not any(users.values()):
            return None
        return frozenset(card for card, using in users.items() if using & pids)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose energy is being measured."""

    meter: Meter
    server: _Server
    window: Window

    def __call__(self, tokens: int | None) -> dict[str, float | str]:
        """The call ends, after so many output tokens: what it took, by attribute."""
        return self.meter.end(self.server, self.window, tokens)
