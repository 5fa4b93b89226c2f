"""Against a stand-in for the module `amdsmi`: which calls are made, in which units, and what errors do."""

import sys
from types import SimpleNamespace

import pytest

from otel_llm.probe import amd


class Failure(Exception):  # noqa: N818 - as amdsmi's own exceptions, it carries err_code
    def __init__(self, err_code):
        self.err_code = err_code


class StandIn(SimpleNamespace):
    """As much of amdsmi 7 as is used; ``fails`` maps a function's name to an error code."""

    def __init__(self):
        super().__init__(
            fails={}, counter=0, opened=0, power={"current_socket_power": 412, "average_socket_power": "N/A"}
        )
        self.AmdSmiMemoryType = SimpleNamespace(VRAM="vram")
        self.AmdSmiTemperatureType = SimpleNamespace(HOTSPOT="hotspot", VRAM="vram")
        self.AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="current")
        self.AmdSmiClkType = SimpleNamespace(GFX="gfx", MEM="mem")
        self.answers = {
            "get_gpu_device_uuid": lambda handle: f"uuid-{handle}",
            "get_gpu_asic_info": lambda _handle: {"market_name": "AMD Instinct MI300X"},
            "get_gpu_activity": lambda _handle: {"gfx_activity": 55, "umc_activity": "N/A", "mm_activity": 0},
            "get_gpu_memory_usage": lambda _handle, _kind: 50,
            "get_gpu_memory_total": lambda _handle, _kind: 200,
            "get_power_info": lambda _handle: self.power,
            "get_energy_count": lambda _handle: {"energy_accumulator": self.counter, "counter_resolution": 15.3},
            "get_temp_metric": lambda _handle, kind, _metric: {"hotspot": 64, "vram": 48}[kind],
            "get_clock_info": lambda _handle, kind: {"clk": {"gfx": 2100, "mem": "N/A"}[kind]},
            "get_gpu_fan_speed": lambda _handle, _index: 51,
            "get_gpu_fan_speed_max": lambda _handle, _index: 255,
            "get_gpu_total_ecc_count": lambda _handle: {"correctable_count": 7, "uncorrectable_count": 0},
        }

    def amdsmi_init(self):
        if "init" in self.fails:
            raise Failure(self.fails["init"])
        self.opened += 1

    def amdsmi_shut_down(self):
        self.opened -= 1

    def amdsmi_get_processor_handles(self):
        return [0, 1]

    def __getattr__(self, name):
        asked = name.removeprefix("amdsmi_")

        def answer(*arguments):
            if asked in self.fails:
                raise Failure(self.fails[asked])
            return self.answers[asked](*arguments)

        return answer


@pytest.fixture
def smi():
    return StandIn()


def told(source, now=0.0, card="uuid-0"):
    """By metric and last attribute, what one card said."""
    return {
        (
            one.name,
            *(value for key, value in one.attributes.items() if not key.startswith("hw.") or "task" in key),
        ): one.value
        for one in source.read(now)
        if one.attributes.get("hw.id") == card
    }


def test_values_are_in_the_units_of_the_conventions(smi):
    said = told(amd.Amd(smi))
    assert said[("hw.power",)] == 412
    assert said[("hw.gpu.utilization", "general")] == 0.55
    assert said[("hw.gpu.memory.usage",)] == 50
    assert said[("hw.gpu.memory.limit",)] == 200
    assert said[("hw.gpu.memory.utilization",)] == 0.25
    assert said[("otel_llm.gpu.clock", "graphics")] == 2_100_000_000
    assert said[("hw.fan.speed_ratio",)] == 0.2
    assert said[("hw.errors", "corrected")] == 0


def test_what_is_not_available_is_absent(smi):
    said = told(amd.Amd(smi))
    assert ("hw.gpu.utilization", "memory") not in said
    assert ("otel_llm.gpu.clock", "memory") not in said


def test_a_card_is_named(smi):
    reading = amd.Amd(smi).read(0.0)[0]
    assert reading.attributes["hw.vendor"] == "AMD"
    assert reading.attributes["hw.name"] == "AMD Instinct MI300X"


def test_a_card_that_does_not_tell_its_name_is_called_by_its_place(smi):
    smi.fails = {"get_gpu_device_uuid": 1, "get_gpu_asic_info": 1}
    reading = amd.Amd(smi).read(0.0)[0]
    assert reading.attributes["hw.id"] == "amd-0"
    assert "hw.name" not in reading.attributes


def test_energy_is_the_counter_times_its_resolution(smi):
    source = amd.Amd(smi)
    told(source)
    smi.counter = 1_000_000
    assert told(source, 1.0)[("hw.energy", "counter")] == pytest.approx(15.3)


def test_energy_is_sampled_where_there_is_no_counter(smi):
    smi.fails = {"get_energy_count": 2}
    source = amd.Amd(smi)
    told(source)
    assert told(source, 10.0)[("hw.energy", "sampled")] == 4120


def test_older_cards_say_their_power_elsewhere(smi):
    smi.power = {"current_socket_power": "N/A", "average_socket_power": 90}
    assert told(amd.Amd(smi))[("hw.power",)] == 90
    smi.power = {"current_socket_power": "N/A", "average_socket_power": "N/A", "socket_power": "N/A"}
    assert ("hw.power",) not in told(amd.Amd(smi))


def test_a_field_that_fails_is_counted_and_absent(smi):
    smi.fails = {"get_gpu_activity": 34}
    source = amd.Amd(smi)
    assert ("hw.gpu.utilization", "general") not in told(source)
    assert source.errors == {"utilization": 2}


def test_a_field_that_is_not_supported_is_no_error_and_asked_again_later(smi):
    smi.fails = {"get_gpu_fan_speed": 2}
    source = amd.Amd(smi)
    told(source)
    smi.fails = {}
    assert ("hw.fan.speed_ratio",) not in told(source, 10.0)
    assert told(source, 700.0)[("hw.fan.speed_ratio",)] == 0.2
    assert source.errors == {}


def test_without_a_driver_nothing_is_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(amd, "DEVICE", tmp_path / "kfd")
    assert amd.open_cards() is None


@pytest.mark.parametrize("fault", ["missing", "init"])
def test_a_library_that_does_not_open_is_no_source(tmp_path, monkeypatch, smi, fault):
    monkeypatch.setattr(amd, "DEVICE", tmp_path)
    smi.fails = {"init": 8}
    monkeypatch.setitem(sys.modules, "amdsmi", None if fault == "missing" else smi)
    assert amd.open_cards() is None


def test_the_library_is_opened_and_closed(tmp_path, monkeypatch, smi):
    monkeypatch.setattr(amd, "DEVICE", tmp_path)
    monkeypatch.setitem(sys.modules, "amdsmi", smi)
    source = amd.open_cards()
    assert smi.opened == 1
    source.close()
    assert smi.opened == 0
