"""Room probe: every instrument that it reads, with the condition under which it is absent. Data only.

`observation` registers them, ``otel-llm explain`` and the reference page tell them.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["gauge", "counter", "updowncounter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One metric of this room.

    Attributes:
        kind: ``gauge``; ``counter`` of what only grows; ``updowncounter`` of what can be summed over series.
        unit: In UCUM, as OpenTelemetry writes it.
        meaning: What it says, in a sentence or two.
        formula: How it is worked out, ``None`` where it is simply read.
        source: Who says the value.
        absent: When there is no value; ``None`` when there always is one.
        words: Short words that people use for it.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str
    formula: str | None = None
    absent: str | None = None
    words: tuple[str, ...] = ()


HOST: Final[tuple[Instrument, ...]] = ()
"""Of the machine or container: reported once per host."""

PROCESS: Final[tuple[Instrument, ...]] = ()
"""Of this process: reported by each."""

GPU: Final[tuple[Instrument, ...]] = (
    Instrument(
        name="hw.gpu.utilization",
        kind="gauge",
        unit="1",
        meaning="Share of the last sampling period in which the card was at work, by `hw.gpu.task`: `general` "
        "(compute), `memory` (the memory's bus), `encoder`, `decoder`.",
        source="NVML; amdsmi (`general`, `memory`)",
        absent="where the card does not say it; also with MIG on",
        words=("gpu", "gpu utilization"),
    ),
    Instrument(
        name="hw.gpu.memory.usage",
        kind="updowncounter",
        unit="By",
        meaning="Memory in use, without what the driver reserves. A MIG instance has a series of its own, with its "
        "card as `hw.parent`: it is part of its card's.",
        source="NVML; amdsmi",
        absent="where the card does not say it",
        words=("gpu memory", "vram"),
    ),
    Instrument(
        name="hw.gpu.memory.limit",
        kind="updowncounter",
        unit="By",
        meaning="Memory that the card, or the MIG instance, has.",
        source="NVML; amdsmi",
        absent="where the card does not say it",
    ),
    Instrument(
        name="hw.gpu.memory.utilization",
        kind="gauge",
        unit="1",
        meaning="Share of the memory in use. Servers that reserve memory beforehand (vLLM: 0.9) hold it at that.",
        formula="hw.gpu.memory.usage / hw.gpu.memory.limit",
        source="NVML; amdsmi",
        absent="where the card does not say it",
    ),
    Instrument(
        name="hw.gpu.io",
        kind="counter",
        unit="By",
        meaning="Bytes over PCIe since the first reading, by `network.io.direction`: `transmit`, `receive`.",
        source="NVML",
        absent="where the card has no such counter of 64 bits; `otel_llm.gpu.throughput` is there instead",
        words=("pcie",),
    ),
    Instrument(
        name="otel_llm.gpu.throughput",
        kind="gauge",
        unit="By/s",
        meaning="Bytes a second over PCIe, of one sample of 20 ms, by `network.io.direction`.",
        source="NVML, in KB/s; a KB is taken for 1,000 bytes",
        absent="where the card counts `hw.gpu.io`, or samples nothing",
    ),
    Instrument(
        name="hw.power",
        kind="gauge",
        unit="W",
        meaning="Power that the whole board draws; on most cards since Ampere the mean of the last second.",
        source="NVML; amdsmi",
        absent="where the card does not measure it",
        words=("power", "watts"),
    ),
    Instrument(
        name="hw.energy",
        kind="counter",
        unit="J",
        meaning="Energy that the board took since the first reading. `otel_llm.energy.method` says how it is known: "
        "`counter` is the card's own, `sampled` is made of samples of power.",
        formula="the counter's growth; else the trapezoids of hw.power",
        source="NVML; amdsmi",
        absent="where the card has neither counter nor power",
        words=("joules",),
    ),
    Instrument(
        name="hw.temperature",
        kind="gauge",
        unit="Cel",
        meaning="Temperature, by `hw.sensor_location`: `gpu` (amdsmi: the hottest point), `memory`.",
        source="NVML; amdsmi",
        absent="where the card has no such sensor",
        words=("gpu temperature",),
    ),
    Instrument(
        name="hw.fan.speed_ratio",
        kind="gauge",
        unit="1",
        meaning="Fan speed as a share of its most; what the card wants it to be.",
        source="NVML; amdsmi",
        absent="where the card has no fan of its own",
    ),
    Instrument(
        name="hw.errors",
        kind="counter",
        unit="{error}",
        meaning="Errors of the card's memory since the first reading, by `error.type`: `corrected`, `uncorrected`.",
        source="NVML; amdsmi",
        absent="where the card has no ECC, or it is off",
        words=("ecc",),
    ),
    Instrument(
        name="otel_llm.gpu.clock",
        kind="gauge",
        unit="Hz",
        meaning="Clock, by `otel_llm.gpu.clock.domain`: `graphics`, `sm`, `memory`.",
        source="NVML; amdsmi (`graphics`, `memory`)",
        absent="where the card does not say it",
    ),
    Instrument(
        name="otel_llm.gpu.throttle",
        kind="gauge",
        unit="1",
        meaning="1 while the card's clocks are held down for `otel_llm.gpu.throttle.reason`, else 0: `power_cap`, "
        "`hardware_slowdown`, `sync_boost`, `thermal`, `hardware_thermal`, `power_brake`.",
        source="NVML",
        absent="where the card does not say it",
        words=("throttling",),
    ),
    Instrument(
        name="otel_llm.self.gpu_read_errors",
        kind="counter",
        unit="{error}",
        meaning="Questions that a card should have answered and did not, by `otel_llm.self.where`: the field.",
        source="counted here; a field that a card does not support is no error",
        absent="while there was none",
    ),
)
"""Of the cards: reported once per host."""

GPU_PROCESS: Final[tuple[Instrument, ...]] = (
    Instrument(
        name="otel_llm.process.gpu.memory",
        kind="updowncounter",
        unit="By",
        meaning="GPU memory that this process holds, by card.",
        source="NVML",
        absent="where the process does not use CUDA, or the driver does not tell processes apart",
    ),
)
"""Of this process on the cards: reported by each."""

INSTRUMENTS: Final = HOST + PROCESS + GPU + GPU_PROCESS
"""All of them."""
