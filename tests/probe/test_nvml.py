import ctypes
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from otel_llm import semconv
from otel_llm.probe import nvml
from otel_llm.probe.nvml import Nvml
from otel_llm.probe.reading import Reading
from parts.nvml import Cards

FIRST, SECOND = "GPU-00000000", "GPU-00000001"


@pytest.fixture
def source(cards):
    opened = Nvml()
    yield opened
    opened.close()


def values(readings: list[Reading], name: str, **attributes: str) -> dict[str, float]:
    """By card, the values of a metric that have these attributes (dots are written as double underscores)."""
    wanted = {key.replace("__", "."): value for key, value in attributes.items()}
    return {
        reading.attributes["hw.id"]: reading.value
        for reading in readings
        if reading.name == name and wanted.items() <= reading.attributes.items()
    }


def test_each_card_tells_its_own_values_in_the_units_of_the_conventions(cards: Cards, source: Nvml):
    cards.say({"0.gpu": 37, "0.bus": 12, "0.power": 350500, "0.temp": 61, "0.fan": 42, "0.clock_sm": 1980})
    cards.say({"1.gpu": 0, "1.encoder": 5, "1.decoder": 7})
    told = source.read(0.0)
    assert values(told, "hw.gpu.utilization", hw__gpu__task="general") == {FIRST: 0.37, SECOND: 0.0}
    assert values(told, "hw.gpu.utilization", hw__gpu__task="memory")[FIRST] == 0.12
    assert values(told, "hw.gpu.utilization", hw__gpu__task="encoder")[SECOND] == 0.05
    assert values(told, "hw.gpu.utilization", hw__gpu__task="decoder")[SECOND] == 0.07
    assert values(told, "hw.power")[FIRST] == 350.5
    assert values(told, "hw.temperature", hw__sensor_location="gpu") == {FIRST: 61, SECOND: 40}
    assert values(told, "hw.fan.speed_ratio")[FIRST] == 0.42
    assert values(told, "otel_llm.gpu.clock", otel_llm__gpu__clock__domain="sm")[FIRST] == 1_980_000_000


def test_memory_leaves_out_what_the_driver_reserves(cards: Cards, source: Nvml):
    cards.say({"total": 1000, "used": 600, "reserved": 100})
    told = source.read(0.0)
    assert values(told, "hw.gpu.memory.usage")[FIRST] == 600
    assert values(told, "hw.gpu.memory.limit")[FIRST] == 1000
    assert values(told, "hw.gpu.memory.utilization")[FIRST] == 0.6


def test_a_driver_that_knows_only_the_older_questions_is_asked_those(cards: Cards, source: Nvml):
    cards.say({"total": 1000, "used": 600, "reserved": 100, "temp": 55, "throttle": 4})
    cards.say({"memory.err": 13, "temp.err": 13, "throttle.err": 13})
    told = source.read(0.0)
    assert values(told, "hw.gpu.memory.usage")[FIRST] == 700
    assert values(told, "hw.temperature")[FIRST] == 55
    assert values(told, "otel_llm.gpu.throttle", otel_llm__gpu__throttle__reason="power_cap")[FIRST] == 1
    assert source.errors == {}


def test_a_card_is_named_by_uuid_name_and_vendor(cards: Cards, source: Nvml):
    cards.say({"0.name": "NVIDIA H100 80GB HBM3"})
    (power, _) = [one for one in source.read(0.0) if one.name == "hw.power"]
    assert power.attributes == {
        "hw.id": FIRST,
        "hw.name": "NVIDIA H100 80GB HBM3",
        "hw.type": "gpu",
        "hw.vendor": "NVIDIA",
    }


def test_a_name_of_garbage_is_made_readable(cards: Cards, source: Nvml):
    cards.say({"0.name": b"\xff\xfeH100\x07 \xc3".decode("utf-8", "surrogateescape")})
    (power, _) = [one for one in source.read(0.0) if one.name == "hw.power"]
    assert power.attributes["hw.name"] == "\ufffd\ufffdH100 \ufffd"


def test_a_card_without_a_uuid_or_a_name_is_called_by_its_place(cards: Cards, source: Nvml):
    cards.say({"1.uuid.err": 999, "1.name.err": 999})
    (_, power) = [one for one in source.read(0.0) if one.name == "hw.power"]
    assert power.attributes == {"hw.id": "nvidia-1", "hw.type": "gpu", "hw.vendor": "NVIDIA"}


@pytest.mark.parametrize(
    ("key", "metric"),
    [
        ("utilization", "hw.gpu.utilization"),
        ("power", "hw.power"),
        ("fan", "hw.fan.speed_ratio"),
        ("corrected", "hw.errors"),
        ("clock_sm", "otel_llm.gpu.clock"),
        ("throttle_v1", "otel_llm.gpu.throttle"),
        ("memory_v1", "hw.gpu.memory.usage"),
    ],
)
@pytest.mark.parametrize("code", [3, 999])
def test_a_field_that_fails_is_absent_and_the_rest_goes_on(
    cards: Cards, source: Nvml, key: str, metric: str, code: int
):
    before = sum(one.name == metric and one.attributes["hw.id"] == SECOND for one in source.read(0.0))
    source = Nvml()
    cards.say({f"1.{key}.err": code, f"1.{key.removesuffix('_v1')}.err": code})
    told = source.read(0.0)
    assert sum(one.name == metric and one.attributes["hw.id"] == SECOND for one in told) < before
    assert values(told, metric)[FIRST] is not None
    assert values(told, "hw.gpu.memory.limit" if metric != "hw.gpu.memory.usage" else "hw.power")[SECOND]
    assert bool(source.errors) == (code == 999)


def test_errors_are_counted_by_field(cards: Cards, source: Nvml):
    cards.say({"1.power.err": 999})
    source.read(0.0)
    told = source.read(10.0)
    counted = {one.attributes["otel_llm.self.where"]: one.value for one in told if "read_errors" in one.name}
    assert counted == {"power": 2}


def test_a_field_that_is_not_supported_is_asked_for_again_only_after_a_while(cards: Cards, source: Nvml):
    cards.say({"fan.err": 3})
    source.read(0.0)
    cards.say({"fan.err": None})
    assert values(source.read(10.0), "hw.fan.speed_ratio") == {}
    assert FIRST in values(source.read(700.0), "hw.fan.speed_ratio")


def test_energy_is_counted_from_the_first_reading(cards: Cards, source: Nvml):
    cards.say({"energy": 5_000_000})
    assert values(source.read(0.0), "hw.energy", otel_llm__energy__method="counter")[FIRST] == 0
    cards.say({"energy": 5_003_500})
    assert values(source.read(10.0), "hw.energy")[FIRST] == 3.5


def test_a_counter_that_wraps_goes_on(cards: Cards, source: Nvml):
    cards.say({"energy": 2**32 - 1000})
    source.read(0.0)
    cards.say({"energy": 500})
    assert values(source.read(10.0), "hw.energy")[FIRST] == 1.5


def test_a_counter_that_begins_anew_goes_on(cards: Cards, source: Nvml):
    cards.say({"energy": 3_000_000_000, "corrected": 40})
    source.read(0.0)
    cards.say({"energy": 2_000, "corrected": 3})
    told = source.read(10.0)
    assert values(told, "hw.energy")[FIRST] == 2.0
    assert values(told, "hw.errors", error__type="corrected")[FIRST] == 3


def test_a_card_without_a_counter_has_its_energy_sampled_and_says_so(cards: Cards, source: Nvml):
    cards.say({"energy.err": 3, "power": 100_000})
    source.read(0.0)
    cards.say({"power": 200_000})
    assert values(source.read(10.0), "hw.energy", otel_llm__energy__method="sampled")[FIRST] == 1500.0


def test_energy_is_not_drawn_over_a_long_gap(cards: Cards, source: Nvml):
    cards.say({"energy.err": 3, "power": 100_000})
    source.read(0.0)
    assert values(source.read(300.0), "hw.energy")[FIRST] == 0.0


def test_a_card_with_neither_counter_nor_power_has_no_energy(cards: Cards, source: Nvml):
    cards.say({"energy.err": 3, "power.err": 3})
    source.read(0.0)
    assert values(source.read(10.0), "hw.energy") == {}


def test_bytes_over_pcie_are_counted_where_the_card_counts_them(cards: Cards, source: Nvml):
    cards.say({"field.197": 10_000, "field.198": 50_000})
    source.read(0.0)
    cards.say({"field.197": 12_000, "field.198": 50_000})
    told = source.read(10.0)
    assert values(told, "hw.gpu.io", network__io__direction="transmit")[FIRST] == 2_000
    assert values(told, "hw.gpu.io", network__io__direction="receive")[FIRST] == 0
    assert values(told, "otel_llm.gpu.throughput") == {}


def test_throughput_is_sampled_where_the_card_counts_no_bytes(cards: Cards, source: Nvml):
    cards.say({"tx": 123, "rx": 456})
    told = source.read(0.0)
    assert values(told, "otel_llm.gpu.throughput", network__io__direction="transmit")[FIRST] == 123_000
    assert values(told, "hw.gpu.io") == {}


def test_a_byte_counter_that_wraps_within_a_collection_is_not_believed(cards: Cards, source: Nvml):
    cards.say({"field.197": 10_000, "field.198": 50_000, "field.197.type": 1})
    assert values(source.read(0.0), "hw.gpu.io") == {}


def test_what_throttles_a_card_is_told_apart(cards: Cards, source: Nvml):
    cards.say({"throttle": 0x1 | 0x4 | 0x40})
    told = [one for one in source.read(0.0) if one.name == "otel_llm.gpu.throttle" and one.attributes["hw.id"] == FIRST]
    held = {one.attributes["otel_llm.gpu.throttle.reason"] for one in told if one.value}
    assert held == {"power_cap", "hardware_thermal"}
    assert len(told) == 6


def test_memory_has_a_temperature_of_its_own_where_it_is_measured(cards: Cards, source: Nvml):
    cards.say({"0.field.82": 77})
    assert values(source.read(0.0), "hw.temperature", hw__sensor_location="memory") == {FIRST: 77}


def test_mig_instances_have_memory_and_a_parent(cards: Cards, source: Nvml):
    cards.say({"0.mig": 2, "0.0.used": 100, "0.1.used": 200, "0.0.total": 1000, "0.1.total": 1000})
    cards.say({"0.utilization.err": 3, "0.0.name": "NVIDIA A100 MIG 1g.5gb"})
    told = source.read(0.0)
    memory = values(told, "hw.gpu.memory.usage", hw__parent=FIRST)
    assert memory == {"MIG-00000000-0": 100, "MIG-00000000-1": 200}
    assert values(told, "hw.gpu.memory.usage", hw__name="NVIDIA A100 MIG 1g.5gb") == {"MIG-00000000-0": 100}
    assert values(told, "hw.gpu.utilization", hw__gpu__task="general") == {SECOND: 0.0}


def test_instances_that_are_made_anew_are_found(cards: Cards, source: Nvml):
    cards.say({"0.mig": 1})
    source.read(0.0)
    cards.say({"0.mig": 3})
    assert len(values(source.read(61.0), "hw.gpu.memory.usage", hw__parent=FIRST)) == 3


def test_an_instance_that_cannot_be_had_is_counted(cards: Cards, source: Nvml):
    cards.say({"0.mig": 2, "0.instance.err": 999})
    assert values(source.read(0.0), "hw.gpu.memory.usage", hw__parent=FIRST) == {}
    assert source.errors == {"mig": 1}


@pytest.mark.parametrize("code", [15, 16, 28])
def test_a_lost_gpu_is_absent_and_told_once(cards: Cards, source: Nvml, caplog, code: int):
    source.read(0.0)
    cards.say({"1.all.err": code})
    with caplog.at_level(logging.WARNING, "otel_llm"):
        for now in (10.0, 20.0, 50.0, 90.0):
            assert set(values(source.read(now), "hw.power")) == {FIRST}
    # Threads that read the same stand-in say what they see themselves.
    told = [record for record in caplog.records if record.thread == threading.get_ident()]
    assert [record.levelname for record in told] == ["WARNING"]
    assert SECOND in caplog.text


def test_a_lost_gpu_comes_back_and_goes_on_counting(cards: Cards, source: Nvml, caplog):
    cards.say({"energy": 1_000_000})
    source.read(0.0)
    cards.say({"energy": 1_010_000})
    source.read(10.0)
    cards.say({"1.all.err": 15})
    source.read(20.0)
    cards.say({"1.all.err": None, "energy": 1_020_000})
    assert set(values(source.read(30.0), "hw.power")) == {FIRST}
    with caplog.at_level(logging.INFO, "otel_llm"):
        assert values(source.read(51.0), "hw.energy") == {FIRST: 20.0, SECOND: 20.0}
    assert f"{SECOND} is back" in caplog.text


def test_a_card_that_is_plugged_in_is_found(cards: Cards, source: Nvml):
    source.read(0.0)
    cards.say({"count": 3})
    assert len(values(source.read(31.0), "hw.power")) == 3


def test_a_card_that_is_pulled_out_is_gone(cards: Cards, source: Nvml):
    source.read(0.0)
    cards.say({"count": 1})
    assert set(values(source.read(31.0), "hw.power")) == {FIRST}


def test_a_handle_that_cannot_be_had_leaves_the_others(cards: Cards, source: Nvml):
    cards.say({"0.handle.err": 999})
    assert set(values(source.read(0.0), "hw.power")) == {SECOND}
    assert source.errors["handle"] == 1


def test_no_cards_are_nothing(cards: Cards, source: Nvml, caplog):
    cards.say({"count": 0})
    assert source.read(0.0) == []
    assert source.why == "NVML knows no card"
    assert not caplog.records


def test_a_driver_that_does_not_count_its_cards_is_an_error(cards: Cards, source: Nvml):
    cards.say({"count.err": 999})
    told = source.read(0.0)
    assert [(one.name, one.value) for one in told] == [("otel_llm.self.gpu_read_errors", 1)]


def test_a_driver_that_is_not_loaded_is_silence_and_looked_for_again(cards: Cards, source: Nvml, caplog):
    cards.say({"init.err": 9})
    assert source.read(0.0) == []
    cards.say({"init.err": None})
    assert source.read(10.0) == []
    assert set(values(source.read(31.0), "hw.power")) == {FIRST, SECOND}
    assert not caplog.records


def test_a_driver_that_was_changed_under_us_is_opened_anew(cards: Cards, source: Nvml):
    source.read(0.0)
    cards.say({"power.err": 18})
    assert values(source.read(10.0), "hw.temperature") == {}
    cards.say({"power.err": None})
    assert set(values(source.read(41.0), "hw.power")) == {FIRST, SECOND}


def test_a_forked_child_opens_nvml_of_its_own(cards: Cards, source: Nvml):
    source.read(0.0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found = sorted(values(source.read(10.0), "hw.power"))
        os.write(writing, json.dumps([found, source.errors]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(reading, 10_000)) == [[FIRST, SECOND], {}]
    assert set(values(source.read(10.0), "hw.power")) == {FIRST, SECOND}


def test_a_machine_without_the_library_has_no_source():
    code = "import sys; from otel_llm.probe.nvml import *; print(open_cards(), open_own(), 'pynvml' in sys.modules)"
    answer = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert answer.stdout == "None None False\n"


def test_why_there_are_no_cards_can_be_asked(cards: Cards):
    assert nvml.diagnose() == ((("Stand-in GPU", FIRST), ("Stand-in GPU", SECOND)), None)
    cards.say({"1.all.err": 15})
    assert nvml.diagnose() == ((("Stand-in GPU", FIRST),), "nvidia-1 is lost")
    cards.say({"1.all.err": None})
    cards.say({"init.err": 9})
    names, why = nvml.diagnose()
    assert not names
    assert why == "NVML does not open: Driver Not Loaded"


@pytest.fixture
def cuda(tmp_path: Path) -> None:
    """A library that goes by the name of CUDA's is loaded into this process."""
    library = tmp_path / "libcuda.so.1"
    source = tmp_path / "cuda.c"
    source.write_text("int cuda_stand_in;")
    subprocess.run(("cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, source), check=True)
    ctypes.CDLL(str(library))


def test_what_a_card_holds_for_this_process_is_told(cards: Cards, cuda: None):
    cards.say({"0.processes": f"77:1000,{os.getpid()}:2048", "1.processes": "77:1000"})
    own = nvml.open_own()
    assert own is not None
    (told,) = own.read(0.0)
    own.close()
    assert (told.name, told.value) == (semconv.METRIC_PROCESS_GPU_MEMORY, 2048)
    assert told.attributes["hw.id"] == FIRST


def test_a_process_without_cuda_opens_nothing(cards: Cards, tmp_path: Path):
    code = "import sys; from otel_llm.probe.nvml import *; print(open_own().read(0.0), 'pynvml' in sys.modules)"
    answer = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=True, env=os.environ | cards.environ
    )
    assert answer.stdout == "() False\n"
