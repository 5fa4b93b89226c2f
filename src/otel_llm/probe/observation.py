"""Room probe: sources become observable instruments. One snapshot serves every reader; a slow source holds nobody up.

A reader's collection asks every instrument in turn; the first asks the sources, the others share what was read. Quick
sources (files of ``/proc``) are read there and then. Slow ones (drivers, model servers) are read by a thread of their
own, for collections run on the thread that brings finished calls to disk. Sources are opened at the first collection in
the process that reads them, so that nothing of a driver crosses a fork.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Final

import msgspec
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_llm import boundary, supervisor
from otel_llm.gate import importing
from otel_llm.probe.counting import Counts
from otel_llm.probe.instruments import Instrument
from otel_llm.probe.reading import Reading, Source
from otel_llm.probe.reporter import Reporter
from otel_llm.suppression import suppress_instrumentation

Receive = Callable[[Sequence[Reading]], object]

_STALE: Final = 3.0
"""Intervals after which what a slow source last said is not told any more."""


class Offer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A source that is there to be opened.

    Attributes:
        open: Opens it, or gives ``None`` where there is nothing to read (no driver): then it is not asked again.
        instruments: What its readings are of.
        shared: It says the same in every process of the host, so that only one of them reads it.
        slow: Reading it may take more than a millisecond, so that a thread of its own does it.
        is_there: Whether there is something to open by now, where that is told sooner than by opening it.
    """

    open: Callable[[], Source | None]
    instruments: tuple[Instrument, ...]
    shared: bool = False
    slow: bool = False
    is_there: Callable[[], bool] | None = None


class _Slot(msgspec.Struct):
    """What one process holds of an offer."""

    source: Source | None = None
    opened: bool = False
    read_at: float = float("-inf")
    readings: Sequence[Reading] = ()


class _State(msgspec.Struct):
    """What one process holds: after a fork the child begins afresh."""

    slots: Mapping[Offer, _Slot]
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    by_name: Mapping[str, Sequence[Observation]] | None = None


class Observer:
    """Reads what is offered and hands it on.

    Args:
        offers: The sources.
        interval: Between two readings of a source [s]; what is younger than half of it is told again.
        reporter: Decides whether this process reads what is shared.
        clock: Monotonic clock [s].
    """

    def __init__(
        self,
        offers: Sequence[Offer],
        *,
        interval: float,
        reporter: Reporter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = interval
        self._offers = tuple(offers)
        self._reporter = reporter
        self._clock = clock
        counters = [one for offer in offers for one in offer.instruments if one.kind == "counter"]
        self._counts = Counts(
            frozenset(one.name for one in counters), frozenset(one.name for one in counters if one.own)
        )
        self._states: dict[int, _State] = {}
        self._subscribers: list[Receive] = []
        self._finishing = False
        self._loop = supervisor.Loop("probe", self._run, where="probe.slow")

    def register(self, meter: Meter) -> None:
        """Make the instruments on ``meter``; reads nothing."""
        instruments = {one.name: one for offer in self._offers for one in offer.instruments}
        for position, one in enumerate(instruments.values()):
            create = {
                "gauge": meter.create_observable_gauge,
                "counter": meter.create_observable_counter,
                "updowncounter": meter.create_observable_up_down_counter,
            }[one.kind]
            callback = partial(self._observe, one.name, first=position == 0)
            create(one.name, [callback], unit=one.unit, description=one.meaning)

    def subscribe(self, receive: Receive) -> Callable[[], None]:
        """Have ``receive`` called with what was just read, each time, on the thread that read it.

        Returns:
            A function that ends it.
        """
        self._subscribers.append(receive)

        def cancel() -> None:
            if receive in self._subscribers:
                self._subscribers.remove(receive)

        return cancel

    def readings(self) -> list[Reading]:
        """Everything that is known now, after reading the quick sources that are due. Never raises."""
        state = self._state()
        fresh: list[Reading] = []
        with state.lock:
            now = self._clock()
            for offer, slot in state.slots.items():
                if not offer.slow and now - slot.read_at >= self.interval / 2:
                    fresh += self._read(offer, slot, now)
            self._have_read(state)
            known = [reading for offer, slot in state.slots.items() for reading in self._told(offer, slot, now)]
            state.by_name = _observations(known)
        self._tell(fresh)
        return known

    def finish(self) -> None:
        """The process exits: slow sources are not read any more, and quick ones anew at the last collection."""
        self._finishing = True
        self._loop.wake()
        state = self._states.get(os.getpid())
        for offer, slot in state.slots.items() if state is not None else ():
            if not offer.slow:
                slot.read_at = float("-inf")

    def close(self) -> None:
        """Close what this process has opened and leave the seat of the reporter."""
        self.finish()
        state = self._states.pop(os.getpid(), None)
        if state is not None:
            self._loop.stop(1.0)
            for slot in state.slots.values():
                _close(slot)
        self._reporter.release()

    def _observe(self, name: str, _options: CallbackOptions, *, first: bool) -> Iterable[Observation]:
        with boundary.guard("probe.observe"):
            state = self._state()
            if first or state.by_name is None:
                self.readings()
            return (state.by_name or {}).get(name, ())
        return ()

    def _state(self) -> _State:
        """This process's state. No lock, for one may be held across a fork: `dict.setdefault` is atomic."""
        pid = os.getpid()
        found = self._states.get(pid)
        if found is not None:
            return found
        return self._states.setdefault(pid, _State({offer: _Slot() for offer in self._offers}))

    def _may(self, offer: Offer) -> bool:
        return not offer.shared or self._reporter.holds()

    def _read(self, offer: Offer, slot: _Slot, now: float) -> Sequence[Reading]:
        """Read one source, opening it first where need be; what it says is kept in ``slot``."""
        slot.read_at = now
        slot.readings = ()
        with boundary.guard("probe.read"):
            if not self._may(offer):
                _close(slot)
                return ()
            if not slot.opened:
                slot.opened = True
                # Opening a slow one takes a driver's time, for which no fork waits.
                with nullcontext() if offer.slow else importing.lock:
                    slot.source = offer.open()
            if slot.source is not None:
                slot.readings = self._counts.since(slot.source.read(now))
        return slot.readings

    def _told(self, offer: Offer, slot: _Slot, now: float) -> Sequence[Reading]:
        stale = offer.slow and now - slot.read_at > _STALE * self.interval
        return () if stale else slot.readings

    def _have_read(self, state: _State) -> None:
        """Start the thread that reads slow sources, unless it runs or has nothing to read."""
        if not self._loop.is_running and not self._finishing and self._wanted(state):
            self._loop.ensure()

    def _wanted(self, state: _State) -> list[tuple[Offer, _Slot]]:
        """The slow sources that there are for this process."""
        return [
            (offer, slot)
            for offer, slot in state.slots.items()
            if offer.slow and _has_something(offer, slot) and self._may(offer)
        ]

    def _run(self, loop: supervisor.Loop) -> None:
        state = self._state()
        with suppress_instrumentation():
            while loop.goes_on and not self._finishing and (wanted := self._wanted(state)):
                for offer, slot in wanted:
                    self._tell(self._read_apart(offer, slot))
                loop.wait(self.interval)

    def _read_apart(self, offer: Offer, slot: _Slot) -> Sequence[Reading]:
        """Read a slow source while others are told what it said before."""
        apart = _Slot(source=slot.source, opened=slot.opened)
        self._read(offer, apart, self._clock())
        slot.source, slot.opened = apart.source, apart.opened
        slot.read_at, slot.readings = self._clock(), apart.readings
        return slot.readings

    def _tell(self, readings: Sequence[Reading]) -> None:
        for receive in tuple(self._subscribers) if readings else ():
            with boundary.guard("probe.subscriber"):
                receive(readings)


def _has_something(offer: Offer, slot: _Slot) -> bool:
    if slot.opened:
        return slot.source is not None
    return offer.is_there is None or offer.is_there()


def _close(slot: _Slot) -> None:
    source, slot.source, slot.opened = slot.source, None, False
    if source is not None:
        with boundary.guard("probe.close"):
            source.close()


def _observations(readings: Iterable[Reading]) -> dict[str, list[Observation]]:
    by_name: dict[str, list[Observation]] = {}
    for reading in readings:
        by_name.setdefault(reading.name, []).append(Observation(reading.value, dict(reading.attributes)))
    return by_name
