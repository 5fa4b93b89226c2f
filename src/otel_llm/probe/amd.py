"""Room probe: the AMD GPUs of this host, read through AMD's SMI library (``amdsmi``, extra ``[amd]``).

Written after the library's documented interface and tested against a stand-in Python module only: no AMD card has been
read with it yet. Units are amdsmi's: power in W, energy in steps of micro-joules, memory in bytes, clocks in MHz,
temperature in degrees. Readings go to `observation`.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import msgspec

from otel_llm import boundary, semconv
from otel_llm.probe.card import ASK_AGAIN, MOST_ERRORS, MOST_WATTS, tell_memory
from otel_llm.probe.driver import DEVICE
from otel_llm.probe.reading import Reading
from otel_llm.probe.tally import Integral, Tally

_UNSUPPORTED: Final = frozenset({2, 3, 4, 9})
"""NOT_SUPPORTED, NOT_YET_IMPLEMENTED, FAIL_LOAD_MODULE, FAIL_LOAD_SYMBOL: asking again is no use. So is NO_PERM, 10."""

_NO_PERMISSION: Final = 10


class _Card(msgspec.Struct, kw_only=True, eq=False):
    smi: Any
    handle: Any
    identity: dict[str, str]
    now: float = 0.0
    power: float | None = None
    energy: Tally = msgspec.field(default_factory=lambda: Tally(fastest=MOST_WATTS * 1e6))
    sampled: Integral = msgspec.field(default_factory=Integral)
    tallies: dict[str, Tally] = msgspec.field(default_factory=dict)
    asleep: dict[str, float] = msgspec.field(default_factory=dict)

    def marked(self, name: str, value: str) -> dict[str, str]:
        return {**self.identity, name: value}


class Amd:
    """The cards, as a source.

    Raises:
        Exception: Whatever the library raises when it does not open.
    """

    name: str = "gpu"

    def __init__(self, smi: Any) -> None:
        self.errors: dict[str, int] = {}
        self._smi = smi
        smi.amdsmi_init()
        self._cards = [
            _identified(smi, handle, index) for index, handle in enumerate(smi.amdsmi_get_processor_handles())
        ]

    def read(self, now: float) -> Sequence[Reading]:
        """What the cards say."""
        readings: list[Reading] = []
        for card in self._cards:
            card.now, card.power = now, None
            for name, ask in _FIELDS:
                if card.asleep.get(name, now) <= now:
                    readings += self._ask(card, name, ask)
        readings += [
            Reading(semconv.METRIC_SELF_GPU_READ_ERRORS, count, {semconv.SELF_WHERE: where})
            for where, count in self.errors.items()
        ]
        return readings

    def close(self) -> None:
        """Close the library."""
        with boundary.guard("probe.amd"):
            self._smi.amdsmi_shut_down()

    def _ask(self, card: _Card, name: str, ask: Callable[[_Card], Sequence[Reading]]) -> Sequence[Reading]:
        try:
            return ask(card)
        except Exception as error:  # noqa: BLE001 - a library of ctypes raises what it likes
            code = getattr(error, "err_code", None)
            if code in _UNSUPPORTED or code == _NO_PERMISSION:
                card.asleep[name] = card.now + ASK_AGAIN
            else:
                self.errors[name] = self.errors.get(name, 0) + 1
            return ()


def open_cards() -> Amd | None:
    """The cards, or ``None`` where there is no driver or no library."""
    if not DEVICE.exists():
        return None
    try:
        return Amd(import_module("amdsmi"))
    except Exception as error:  # noqa: BLE001 - without its library amdsmi raises KeyError where it is imported
        boundary.logger.info("AMD cards are not read: %s: %s", type(error).__name__, error)
        return None


def _identified(smi: Any, handle: Any, index: int) -> _Card:
    identity = {semconv.HW_ID: f"amd-{index}", semconv.HW_TYPE: semconv.HW_TYPE_GPU, semconv.HW_VENDOR: "AMD"}
    with boundary.guard("probe.amd"):
        identity[semconv.HW_ID] = smi.amdsmi_get_gpu_device_uuid(handle) or identity[semconv.HW_ID]
    with boundary.guard("probe.amd"):
        name = smi.amdsmi_get_gpu_asic_info(handle)["market_name"]
        if name and name != "N/A":
            identity[semconv.HW_NAME] = name
    return _Card(smi=smi, handle=handle, identity=identity)


def _number(said: Any) -> float | None:
    """What amdsmi says, which puts ``N/A`` where there is no number."""
    return said if isinstance(said, int | float) and not isinstance(said, bool) else None


def _activity(card: _Card) -> Sequence[Reading]:
    said = card.smi.amdsmi_get_gpu_activity(card.handle)
    return [
        Reading(semconv.METRIC_GPU_UTILIZATION, percent / 100, card.marked(semconv.HW_GPU_TASK, task))
        for task, key in (("general", "gfx_activity"), ("memory", "umc_activity"))
        if (percent := _number(said.get(key))) is not None
    ]


def _memory(card: _Card) -> Sequence[Reading]:
    kind = card.smi.AmdSmiMemoryType.VRAM
    used = card.smi.amdsmi_get_gpu_memory_usage(card.handle, kind)
    total = card.smi.amdsmi_get_gpu_memory_total(card.handle, kind)
    return tell_memory(card.identity, used, total)


def _power(card: _Card) -> Sequence[Reading]:
    said = card.smi.amdsmi_get_power_info(card.handle)
    # Which of them a card fills in depends on its generation; the others are N/A, or 0.
    known = (_number(said.get(key)) for key in ("current_socket_power", "average_socket_power", "socket_power"))
    card.power = next((watts for watts in known if watts), None)
    return () if card.power is None else (Reading(semconv.METRIC_POWER, card.power, card.identity),)


def _energy(card: _Card) -> Sequence[Reading]:
    said = card.smi.amdsmi_get_energy_count(card.handle)
    microjoules = round(said["energy_accumulator"] * said["counter_resolution"])
    joules = card.energy.feed(microjoules, card.now) / 1e6
    method = card.marked(semconv.ENERGY_METHOD, semconv.ENERGY_METHOD_COUNTER)
    return (Reading(semconv.METRIC_ENERGY, joules, method),)


def _sampled_energy(card: _Card) -> Sequence[Reading]:
    """Where `_energy` was found not to be supported."""
    if card.power is None or "energy" not in card.asleep:
        return ()
    method = card.marked(semconv.ENERGY_METHOD, semconv.ENERGY_METHOD_SAMPLED)
    return (Reading(semconv.METRIC_ENERGY, card.sampled.feed(card.power, card.now), method),)


def _temperature(location: str, sensor: str) -> Callable[[_Card], Sequence[Reading]]:
    def ask(card: _Card) -> Sequence[Reading]:
        smi = card.smi
        kind, now = getattr(smi.AmdSmiTemperatureType, sensor), smi.AmdSmiTemperatureMetric.CURRENT
        degrees = smi.amdsmi_get_temp_metric(card.handle, kind, now)
        return (Reading(semconv.METRIC_TEMPERATURE, degrees, card.marked(semconv.HW_SENSOR_LOCATION, location)),)

    return ask


def _clock(domain: str, kind: str) -> Callable[[_Card], Sequence[Reading]]:
    def ask(card: _Card) -> Sequence[Reading]:
        said = card.smi.amdsmi_get_clock_info(card.handle, getattr(card.smi.AmdSmiClkType, kind))
        megahertz = _number(said.get("clk"))
        if megahertz is None:
            return ()
        attributes = card.marked(semconv.GPU_CLOCK_DOMAIN, domain)
        return (Reading(semconv.METRIC_GPU_CLOCK, megahertz * 1e6, attributes),)

    return ask


def _fan(card: _Card) -> Sequence[Reading]:
    most = card.smi.amdsmi_get_gpu_fan_speed_max(card.handle, 0)
    speed = card.smi.amdsmi_get_gpu_fan_speed(card.handle, 0)
    return (Reading(semconv.METRIC_FAN_SPEED_RATIO, speed / most, card.identity),) if most else ()


def _errors(card: _Card) -> Sequence[Reading]:
    said = card.smi.amdsmi_get_gpu_total_ecc_count(card.handle)
    readings = []
    for kind, key in (("corrected", "correctable_count"), ("uncorrected", "uncorrectable_count")):
        count = _number(said.get(key))
        if count is not None:
            total = card.tallies.setdefault(kind, Tally(fastest=MOST_ERRORS)).feed(int(count), card.now)
            readings.append(Reading(semconv.METRIC_HW_ERRORS, total, card.marked(semconv.ERROR_TYPE, kind)))
    return readings


_FIELDS: Final = (
    ("utilization", _activity),
    ("memory", _memory),
    ("power", _power),
    ("energy", _energy),
    ("sampled_energy", _sampled_energy),
    ("temperature", _temperature("gpu", "HOTSPOT")),
    ("memory_temperature", _temperature("memory", "VRAM")),
    ("clock_graphics", _clock("graphics", "GFX")),
    ("clock_memory", _clock("memory", "MEM")),
    ("fan", _fan),
    ("ecc", _errors),
)
"""Power comes before energy, which is made of it where the card does not count."""
