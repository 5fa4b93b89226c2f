"""Room probe: what an NVIDIA GPU, or one MIG instance of it, is asked for, and what its answers mean.

Sources: NVML's API reference; the hardware semantic conventions for names and units. `nvml` and `meter` have a `card`
asked.
"""

import os
from collections.abc import Sequence
from typing import Any, Final

from otel_llm import semconv
from otel_llm.probe.card import MOST_ERRORS, Card, Field, tell_memory
from otel_llm.probe.reading import Reading
from otel_llm.probe.shares import process as this_process

_MOST_BYTES: Final = 1e12
"""No link carries more in a second [By/s]."""

_UNSIGNED_LONG_LONG: Final = 3
"""``NVML_VALUE_TYPE_UNSIGNED_LONG_LONG``; a narrower byte counter wraps within a collection."""


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
    memory = card.nvml.nvmlDeviceGetMemoryInfo(card.handle, version=card.nvml.nvmlMemory_v2)
    return tell_memory(card.identity, int(memory.used), int(memory.total))


def _memory_before_510(card: Card) -> Sequence[Reading]:
    memory = card.nvml.nvmlDeviceGetMemoryInfo(card.handle)
    return tell_memory(card.identity, int(memory.used), int(memory.total))


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
        total = card.tally(kind, count, MOST_ERRORS)
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
