"""Room probe: one NVIDIA GPU, or one MIG instance of it: who it is, how it is asked, what is remembered of it.

A field is one question to NVML (``pynvml``); `fields` has them. Where a card or its driver does not know the question,
the next way of asking it is tried; where none is left the field is absent, and asked for again only after a while.
Source: NVML's API reference. Readings go to `nvml`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from otel_llm import semconv
from otel_llm.probe.reading import Reading
from otel_llm.probe.tally import Integral, Tally

ASK_AGAIN: Final = 600.0
"""How long a field that the card does not support is not asked for [s]."""

_UNSUPPORTED: Final = frozenset({3, 4, 13, 25, 26})
"""NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, DEPRECATED: asking again is no use."""

_GONE: Final = frozenset({15, 16, 28})
"""GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND."""

_CLOSED: Final = frozenset({1, 9, 18})
"""UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH: somebody closed NVML, or changed the driver under it."""

_NOT_FOUND: Final = 6

MOST_WATTS: Final = 10_000.0
"""No card draws more; a counter that says so has wrapped or was reset [W]."""

MOST_ERRORS: Final = 1e6
"""No memory makes more errors in a second."""

_INSTANCES_FOR: Final = 60.0
"""How long the list of a card's MIG instances is kept [s]."""

_LENGTH: Final = 128
"""Most characters of a name."""


class GoneError(Exception):
    """The card is lost, or has to be reset."""


class ClosedError(Exception):
    """NVML itself has to be opened anew."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One question.

    Attributes:
        name: What it is called where its errors are counted.
        ways: How to ask it, the best first.
    """

    name: str
    ways: tuple[Callable[["Card"], Sequence[Reading]], ...]


class Card(msgspec.Struct, kw_only=True, eq=False):
    """A card, and what is remembered between two readings of it.

    Attributes:
        nvml: The module ``pynvml``.
        handle: NVML's; renewed whenever NVML is opened.
        identity: Attributes of every reading: ``hw.id`` and, where known, ``hw.name``, ``hw.vendor``.
        errors: By field, how many questions failed.
    """

    nvml: Any
    handle: Any
    identity: dict[str, str]
    errors: dict[str, int]
    now: float = 0.0
    power: float | None = None
    _energy: Tally = msgspec.field(default_factory=lambda: Tally(fastest=MOST_WATTS * 1000, wrap=2**32))
    _sampled: Integral = msgspec.field(default_factory=Integral)
    _tallies: dict[str, Tally] = msgspec.field(default_factory=dict)
    _instances: "list[Card]" = msgspec.field(default_factory=list)
    _instances_until: float = 0.0
    _asleep: dict[str, float] = msgspec.field(default_factory=dict)
    _way: dict[str, int] = msgspec.field(default_factory=dict)
    _attributes: dict[tuple[str, str], dict[str, str]] = msgspec.field(default_factory=dict)

    @property
    def id(self) -> str:
        """``hw.id``: NVML's UUID."""
        return self.identity[semconv.HW_ID]

    def read(self, fields: Sequence[Field], now: float) -> list[Reading]:
        """What the card says to ``fields``.

        Raises:
            GoneError: The card is lost.
            ClosedError: NVML has to be opened anew.
        """
        self.now, self.power = now, None
        readings: list[Reading] = []
        asleep, chosen = self._asleep, self._way
        for asked in fields:
            name = asked.name
            if name in asleep and asleep[name] > now:
                continue
            way = chosen.get(name, 0)
            try:
                readings += asked.ways[way](self)
            except Exception as error:  # noqa: BLE001 - ctypes and decoding raise what they like
                readings += self._ask_otherwise(asked, way, error)
        return readings

    def _ask_otherwise(self, asked: Field, way: int, error: Exception) -> Sequence[Reading]:
        """Ask in the ways that are left, after ``error`` ended one."""
        while is_unsupported(error):
            way += 1
            if way == len(asked.ways):
                self._asleep[asked.name] = self.now + ASK_AGAIN
                self._way.pop(asked.name, None)
                return ()
            self._way[asked.name] = way
            try:
                return asked.ways[way](self)
            except Exception as another:  # noqa: BLE001 - as above
                error = another
        self.errors[asked.name] = self.errors.get(asked.name, 0) + 1
        return ()

    def check(self) -> None:
        """Have the card answer.

        Raises:
            GoneError: The card is lost.
            ClosedError: NVML has to be opened anew.
        """
        try:
            self.nvml.nvmlDeviceGetPowerUsage(self.handle)
        except self.nvml.NVMLError as error:
            is_unsupported(error)

    def attributes(self, name: str, value: str) -> dict[str, str]:
        """The card's identity with one attribute more; made once."""
        key = (name, value)
        known = self._attributes.get(key)
        if known is None:
            known = self._attributes[key] = {**self.identity, name: value}
        return known

    def tally(self, name: str, count: int, fastest: float) -> int:
        """The total of a counter of the card's since it was first read."""
        if name not in self._tallies:
            self._tallies[name] = Tally(fastest=fastest)
        return self._tallies[name].feed(count, self.now)

    def count_energy(self) -> float:
        """Joules since the first reading, by the card's own counter [J]."""
        return self._energy.feed(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle), self.now) / 1000

    def sample_energy(self) -> float | None:
        """Joules since the first reading, by samples of power [J]; ``None`` without one."""
        return None if self.power is None else self._sampled.feed(self.power, self.now)

    def processes(self) -> frozenset[int]:
        """Processes that compute on the card; none where it does not say."""
        try:
            return frozenset(one.pid for one in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.handle))
        except self.nvml.NVMLError:
            return frozenset()

    def instances(self) -> "list[Card]":
        """The card's MIG instances; none where MIG is off."""
        if self.now >= self._instances_until:
            current, _pending = self.nvml.nvmlDeviceGetMigMode(self.handle)
            found = _find_instances(self) if current else []
            kept = {known.id: known for known in self._instances}
            for card in found:
                if card.id in kept:
                    kept[card.id].handle = card.handle
            self._instances = [kept.get(card.id, card) for card in found]
            self._instances_until = self.now + _INSTANCES_FOR
        return self._instances


def is_unsupported(error: Exception) -> bool:
    """Whether a question failed because the card cannot answer it.

    Raises:
        GoneError: There is no card any more.
        ClosedError: There is no NVML any more.
    """
    code = getattr(error, "value", None)
    if isinstance(error, GoneError) or code in _GONE:
        raise GoneError from error
    if isinstance(error, ClosedError) or code in _CLOSED:
        raise ClosedError from error
    return code in _UNSUPPORTED


def identify(nvml: Any, handle: Any, index: str) -> dict[str, str]:
    """What names a card in every reading of it.

    Args:
        nvml: The module ``pynvml``.
        handle: The card's.
        index: What it is called where it tells no UUID.
    """
    identity: dict[str, str] = {
        semconv.HW_ID: _text(nvml.nvmlDeviceGetUUID, handle) or index,
        semconv.HW_TYPE: semconv.HW_TYPE_GPU,
        semconv.HW_VENDOR: "NVIDIA",
    }
    name = _text(nvml.nvmlDeviceGetName, handle)
    if name:
        identity[semconv.HW_NAME] = name
    return identity


def _text(ask: Any, handle: Any) -> str | None:
    """What a card calls itself, whatever bytes it uses for it."""
    try:
        # pynvml's wrapper would decode strictly, and raise.
        said = getattr(ask, "__wrapped__", ask)(handle)
    except Exception as error:  # noqa: BLE001 - ctypes and decoding raise what they like
        is_unsupported(error)
        return None
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return "".join(letter for letter in text if letter.isprintable())[:_LENGTH].strip() or None


def _find_instances(card: Card) -> list[Card]:
    nvml, found = card.nvml, []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card.handle)):
        try:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(card.handle, index)
        except nvml.NVMLError as error:
            if error.value == _NOT_FOUND:
                continue
            raise
        identity = identify(nvml, handle, f"{card.id}/{index}")
        identity[semconv.HW_PARENT] = card.id
        found.append(Card(nvml=nvml, handle=handle, identity=identity, errors=card.errors))
    return found


def tell_memory(identity: Mapping[str, str], used: int, total: int) -> Sequence[Reading]:
    """What is used of a card's memory [By]; nothing where the two cannot both be so."""
    if not 0 <= used <= total or not total:
        return ()
    return (
        Reading(semconv.METRIC_GPU_MEMORY_USAGE, used, identity),
        Reading(semconv.METRIC_GPU_MEMORY_LIMIT, total, identity),
        Reading(semconv.METRIC_GPU_MEMORY_UTILIZATION, used / total, identity),
    )
