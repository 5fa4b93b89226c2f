"""Room probe: one NVIDIA GPU, or one MIG instance of it: which fields it is asked for, and what their answers mean.

A field is one question to NVML (``pynvml``). Where a card or its driver does not know the question, the next way of
asking it is tried; where none is left the field is absent, and asked for again only after a while. Sources: NVML's API
reference; the hardware semantic conventions for names and units. Readings go to `nvml`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from otel_llm import semconv
from otel_llm.probe.reading import Reading
from otel_llm.probe.shares import process as this_process
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

_MOST_WATTS: Final = 10_000.0
"""No card draws more; a counter that says so has wrapped or was reset [W]."""

_MOST_BYTES: Final = 1e12
"""No link carries more in a second [By/s]."""

_MOST_ERRORS: Final = 1e6
"""No memory makes more errors in a second."""

_INSTANCES_FOR: Final = 60.0
"""How long the list of a card's MIG instances is kept [s]."""

_LENGTH: Final = 128
"""Most characters of a name."""

_UNSIGNED_LONG_LONG: Final = 3
"""``NVML_VALUE_TYPE_UNSIGNED_LONG_LONG``; a narrower byte counter wraps within a collection."""


class GoneError(Exception):
    """The card is lost, or has to be reset."""


class ClosedError(Exception):
    """NVML itself has to be opened anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One question.

    Attributes:
        name: What it is called where its errors are counted.
        ways: How to ask it, the best first.
    """

    name: str
    ways: tuple[Callable[["Card"], Sequence[Reading]], ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Card:
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
    _energy: Tally = field(default_factory=lambda: Tally(fastest=_MOST_WATTS * 1000, wrap=2**32))
    _sampled: Integral = field(default_factory=Integral)
    _tallies: dict[str, Tally] = field(default_factory=dict)
    _instances: "list[Card]" = field(default_factory=list)
    _instances_until: float = 0.0
    _asleep: dict[str, float] = field(default_factory=dict)
    _way: dict[str, int] = field(default_factory=dict)
    _attributes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

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


def _utilization(card: Card) -> Sequence[Reading]:
    rates = card.nvml.nvmlDeviceGetUtilizationRates(card.handle)
    return (*_task(card, "general", rates.gpu), *_task(card, "memory", rates.memory))


def _encoder(card: Card) -> Sequence[Reading]:
    return _task(card, "encoder", card.nvml.nvmlDeviceGetEncoderUtilization(card.handle)[0])


def _decoder(card: Card) -> Sequence[Reading]:
    return _task(card, "decoder", card.nvml.nvmlDeviceGetDecoderUtilization(card.handle)[0])


def _task(card: Card, task: str, percent: int) -> Sequence[Reading]:
    if not 0 <= percent <= 100:  # noqa: PLR2004 - percent
        return ()
    return (Reading(semconv.METRIC_GPU_UTILIZATION, percent / 100, card.attributes(semconv.HW_GPU_TASK, task)),)


def _memory(card: Card) -> Sequence[Reading]:
    # The second version leaves what the driver reserves out of what is used.
    return _fill(card, card.nvml.nvmlDeviceGetMemoryInfo(card.handle, version=card.nvml.nvmlMemory_v2))


def _memory_before_510(card: Card) -> Sequence[Reading]:
    return _fill(card, card.nvml.nvmlDeviceGetMemoryInfo(card.handle))


def _fill(card: Card, memory: Any) -> Sequence[Reading]:
    used, total = int(memory.used), int(memory.total)
    if not 0 <= used <= total or not total:
        return ()
    return (
        Reading(semconv.METRIC_GPU_MEMORY_USAGE, used, card.identity),
        Reading(semconv.METRIC_GPU_MEMORY_LIMIT, total, card.identity),
        Reading(semconv.METRIC_GPU_MEMORY_UTILIZATION, used / total, card.identity),
    )


def _power(card: Card) -> Sequence[Reading]:
    card.power = watts = card.nvml.nvmlDeviceGetPowerUsage(card.handle) / 1000
    return (Reading(semconv.METRIC_POWER, watts, card.identity),)


def _counted_energy(card: Card) -> Sequence[Reading]:
    attributes = card.attributes(semconv.ENERGY_METHOD, semconv.ENERGY_METHOD_COUNTER)
    return (Reading(semconv.METRIC_ENERGY, card.count_energy(), attributes),)


def _sampled_energy(card: Card) -> Sequence[Reading]:
    joules = card.sample_energy()
    attributes = card.attributes(semconv.ENERGY_METHOD, semconv.ENERGY_METHOD_SAMPLED)
    return () if joules is None else (Reading(semconv.METRIC_ENERGY, joules, attributes),)


def _temperature(card: Card) -> Sequence[Reading]:
    return _degrees(card, "gpu", card.nvml.nvmlDeviceGetTemperatureV(card.handle, card.nvml.NVML_TEMPERATURE_GPU))


def _temperature_before_575(card: Card) -> Sequence[Reading]:
    return _degrees(card, "gpu", card.nvml.nvmlDeviceGetTemperature(card.handle, card.nvml.NVML_TEMPERATURE_GPU))


def _memory_temperature(card: Card) -> Sequence[Reading]:
    (answer,) = _values(card, card.nvml.NVML_FI_DEV_MEMORY_TEMP)
    return _degrees(card, "memory", answer.value.uiVal)


def _degrees(card: Card, location: str, degrees: int) -> Sequence[Reading]:
    attributes = card.attributes(semconv.HW_SENSOR_LOCATION, location)
    return (Reading(semconv.METRIC_TEMPERATURE, degrees, attributes),)


def _values(card: Card, *fields: int) -> Sequence[Any]:
    """NVML's field values; each has a status of its own."""
    answers: Sequence[Any] = card.nvml.nvmlDeviceGetFieldValues(card.handle, fields)
    for answer in answers:
        if answer.nvmlReturn:
            raise card.nvml.NVMLError(answer.nvmlReturn)
    return answers


def _clock(domain: str, constant: str) -> Field:
    def read(card: Card) -> Sequence[Reading]:
        megahertz = card.nvml.nvmlDeviceGetClockInfo(card.handle, getattr(card.nvml, constant))
        attributes = card.attributes(semconv.GPU_CLOCK_DOMAIN, domain)
        return (Reading(semconv.METRIC_GPU_CLOCK, megahertz * 1_000_000, attributes),)

    return Field(name=f"clock_{domain}", ways=(read,))


def _fan(card: Card) -> Sequence[Reading]:
    percent = card.nvml.nvmlDeviceGetFanSpeed(card.handle)
    return (Reading(semconv.METRIC_FAN_SPEED_RATIO, percent / 100, card.identity),)


def _counted_io(card: Card) -> Sequence[Reading]:
    nvml = card.nvml
    answers = _values(card, nvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, nvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES)
    if any(answer.valueType != _UNSIGNED_LONG_LONG for answer in answers):
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    return [
        Reading(
            semconv.METRIC_GPU_IO,
            card.tally(direction, answer.value.ullVal, _MOST_BYTES),
            card.attributes(semconv.NETWORK_IO_DIRECTION, direction),
        )
        for direction, answer in zip(("transmit", "receive"), answers, strict=True)
    ]


def _sampled_io(card: Card) -> Sequence[Reading]:
    # Takes 20 ms for each direction: cards are read on a thread of their own.
    nvml = card.nvml
    return [
        Reading(
            semconv.METRIC_GPU_THROUGHPUT,
            nvml.nvmlDeviceGetPcieThroughput(card.handle, counter) * 1000,
            card.attributes(semconv.NETWORK_IO_DIRECTION, direction),
        )
        for direction, counter in (
            ("transmit", nvml.NVML_PCIE_UTIL_TX_BYTES),
            ("receive", nvml.NVML_PCIE_UTIL_RX_BYTES),
        )
    ]


_THROTTLES: Final = {
    "power_cap": 0x4,
    "hardware_slowdown": 0x8,
    "sync_boost": 0x10,
    "thermal": 0x20,
    "hardware_thermal": 0x40,
    "power_brake": 0x80,
}
"""What holds a card's clocks down, without the reasons that are no fault: idle, or set so by the user."""


def _throttle(card: Card) -> Sequence[Reading]:
    return _reasons(card, card.nvml.nvmlDeviceGetCurrentClocksEventReasons(card.handle))


def _throttle_before_535(card: Card) -> Sequence[Reading]:
    return _reasons(card, card.nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card.handle))


def _reasons(card: Card, mask: int) -> Sequence[Reading]:
    return [
        Reading(
            semconv.METRIC_GPU_THROTTLE,
            1 if mask & bit else 0,
            card.attributes(semconv.GPU_THROTTLE_REASON, reason),
        )
        for reason, bit in _THROTTLES.items()
    ]


def _memory_errors(kind: str, constant: str) -> Field:
    def read(card: Card) -> Sequence[Reading]:
        nvml = card.nvml
        count = nvml.nvmlDeviceGetTotalEccErrors(card.handle, getattr(nvml, constant), nvml.NVML_VOLATILE_ECC)
        total = card.tally(kind, count, _MOST_ERRORS)
        return (Reading(semconv.METRIC_HW_ERRORS, total, card.attributes(semconv.ERROR_TYPE, kind)),)

    return Field(name=f"ecc_{kind}", ways=(read,))


def _mig(card: Card) -> Sequence[Reading]:
    return [reading for instance in card.instances() for reading in instance.read((MEMORY,), card.now)]


def _own_memory(card: Card) -> Sequence[Reading]:
    used = [
        process.usedGpuMemory
        for process in card.nvml.nvmlDeviceGetComputeRunningProcesses(card.handle)
        if process.pid == os.getpid() and process.usedGpuMemory is not None
    ]
    return (Reading(semconv.METRIC_PROCESS_GPU_MEMORY, sum(used), {**card.identity, **this_process()}),) if used else ()


MEMORY: Final = Field(name="memory", ways=(_memory, _memory_before_510))
FIELDS: Final = (
    Field(name="utilization", ways=(_utilization,)),
    Field(name="encoder", ways=(_encoder,)),
    Field(name="decoder", ways=(_decoder,)),
    MEMORY,
    Field(name="power", ways=(_power,)),
    Field(name="energy", ways=(_counted_energy, _sampled_energy)),
    Field(name="temperature", ways=(_temperature, _temperature_before_575)),
    Field(name="memory_temperature", ways=(_memory_temperature,)),
    _clock("graphics", "NVML_CLOCK_GRAPHICS"),
    _clock("sm", "NVML_CLOCK_SM"),
    _clock("memory", "NVML_CLOCK_MEM"),
    Field(name="fan", ways=(_fan,)),
    Field(name="pcie", ways=(_counted_io, _sampled_io)),
    Field(name="throttle", ways=(_throttle, _throttle_before_535)),
    _memory_errors("corrected", "NVML_MEMORY_ERROR_TYPE_CORRECTED"),
    _memory_errors("uncorrected", "NVML_MEMORY_ERROR_TYPE_UNCORRECTED"),
    Field(name="mig", ways=(_mig,)),
)
"""What a card is asked for. Power comes before energy, which is made of it where the card does not count."""

METER_FIELDS: Final = tuple(one for one in FIELDS if one.name in {"utilization", "power", "energy"})
"""What the energy of calls is made of."""

PROCESS_FIELDS: Final = (Field(name="process_memory", ways=(_own_memory,)),)
"""What a card knows of this process."""
