"""The machine and the process as the kernel tells them, held against psutil; files that are odd or missing."""

import logging
import os
import threading
import time

import psutil
import pytest

from otel_llm import semconv
from otel_llm.probe import kernel, portable
from otel_llm.probe.cgroup import Cgroup
from otel_llm.probe.host import Host
from otel_llm.probe.instruments import HOST, PROCESS
from otel_llm.probe.process import Process
from parts.waiting import least, wait_for

STAT = "cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\ncpu0 1 2 3 4\nintr 12345\n"
MEMINFO = """\
MemTotal:        1000 kB
MemFree:          300 kB
MemAvailable:     600 kB
Buffers:           50 kB
Cached:           200 kB
SwapCached:         0 kB
SReclaimable:      50 kB
SwapTotal:        100 kB
SwapFree:          75 kB
"""
DISKSTATS = """\
   8       0 sda 10 0 100 0 20 0 40 0 0 0 0
   8       1 sda1 10 0 100 0 20 0 40 0 0 0 0
 253       0 dm-0 10 0 100 0 20 0 40 0 0 0 0
"""
NET = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets
    lo:  999       1    0    0    0     0          0         0      999       1    0    0    0     0       0          0
  eth0:  500       1    0    0    0     0          0         0      250       1    0    0    0     0       0          0
"""


@pytest.fixture
def machine(tmp_path):
    """A machine's files; a function that changes them and gives a host that reads them."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    files = {
        proc / "stat": STAT.format(user=100, system=100, idle=800),
        proc / "meminfo": MEMINFO,
        proc / "diskstats": DISKSTATS,
        proc / "net" / "dev": NET,
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in ("block/sda/device", "block/dm-0", "class/net/lo", "class/net/eth0"):
        (sys / name).mkdir(parents=True)
    return proc, sys


@pytest.fixture
def host(machine, tmp_path):
    proc, sys = machine
    return Host(str(proc), str(sys), Cgroup(str(tmp_path)))


REST = {semconv.LIMIT_SOURCE, semconv.PROCESS_PID}


def told(readings, name, **attributes):
    """The values of a metric with exactly these attributes, the limit's source left out."""
    wanted = {key.replace("_", "."): value for key, value in attributes.items()}
    return [
        reading.value
        for reading in readings
        if reading.name == name
        and {
            key: value
            for key, value in reading.attributes.items()
            if key not in {semconv.LIMIT_SOURCE, semconv.PROCESS_PID}
        }
        == wanted
    ]


def test_cpu_utilisation_is_told_from_the_second_reading_on(host, machine):
    assert told(host.read(0.0), semconv.METRIC_SYSTEM_CPU_UTILIZATION) == []
    (machine[0] / "stat").write_text(STAT.format(user=150, system=125, idle=825))
    readings = host.read(10.0)
    assert told(readings, semconv.METRIC_SYSTEM_CPU_UTILIZATION) == [0.75]
    assert told(readings, semconv.METRIC_SYSTEM_CPU_UTILIZATION, cpu_mode="user") == [0.5]
    assert told(readings, semconv.METRIC_SYSTEM_CPU_UTILIZATION, cpu_mode="idle") == [0.25]


def test_counters_of_a_cpu_that_was_taken_out_give_no_negative_share(host, machine):
    host.read(0.0)
    (machine[0] / "stat").write_text(STAT.format(user=10, system=10, idle=900))
    shares = [one.value for one in host.read(10.0) if one.name == semconv.METRIC_SYSTEM_CPU_UTILIZATION]
    assert all(0 <= share <= 1 for share in shares)


def test_no_time_passed_gives_no_share(host):
    host.read(0.0)
    assert told(host.read(0.0), semconv.METRIC_SYSTEM_CPU_UTILIZATION) == []


def test_the_states_of_memory_add_up_to_the_limit(host):
    readings = host.read(0.0)
    states = [one.value for one in readings if one.name == semconv.METRIC_SYSTEM_MEMORY_USAGE]
    assert told(readings, semconv.METRIC_SYSTEM_MEMORY_LIMIT) == [sum(states)] == [1000 * 1024]


def test_memory_that_can_be_had_is_not_utilised(host):
    assert told(host.read(0.0), semconv.METRIC_SYSTEM_MEMORY_UTILIZATION) == [0.4]


def test_swap_is_told_by_state_and_absent_where_there_is_none(host, machine):
    assert told(host.read(0.0), semconv.METRIC_SYSTEM_PAGING_UTILIZATION, system_paging_state="used") == [0.25]
    (machine[0] / "meminfo").write_text(MEMINFO.replace("100 kB", "0 kB").replace(" 75 kB", "0 kB"))
    assert [one for one in host.read(10.0) if "paging" in one.name] == []


def test_a_disk_is_counted_once_whatever_lies_on_it(host):
    readings = host.read(0.0)
    assert told(readings, semconv.METRIC_SYSTEM_DISK_IO, disk_io_direction="read") == [100 * 512]
    assert told(readings, semconv.METRIC_SYSTEM_DISK_IO, disk_io_direction="write") == [40 * 512]


def test_the_loopback_is_no_network(host):
    readings = host.read(0.0)
    assert told(readings, semconv.METRIC_SYSTEM_NETWORK_IO, network_io_direction="receive") == [500]
    assert told(readings, semconv.METRIC_SYSTEM_NETWORK_IO, network_io_direction="transmit") == [250]


def test_what_cannot_be_read_is_absent_and_told_once(host, machine, caplog):
    (machine[0] / "meminfo").unlink()
    (machine[0] / "stat").write_text("nonsense\n")
    with caplog.at_level(logging.WARNING, "otel_llm"):
        first, second = host.read(0.0), host.read(10.0)
    assert {one.name for one in first + second} == {
        *(semconv.METRIC_SYSTEM_LOAD_1, semconv.METRIC_SYSTEM_LOAD_5, semconv.METRIC_SYSTEM_LOAD_15),
        *(semconv.METRIC_SYSTEM_DISK_IO, semconv.METRIC_SYSTEM_NETWORK_IO),
    }
    assert [record.message.partition(" cannot")[0] for record in caplog.records] == [
        "the host's memory",
        "the host's CPU times",
    ]


def test_files_longer_than_one_read_are_read_whole(tmp_path):
    (tmp_path / "long").write_text("x" * 200_000)
    assert len(kernel.text(str(tmp_path / "long"))) == 200_000


def test_this_machine_says_what_psutil_says():
    host, other = Host(), portable.Host()
    for source in (host, other):
        source.read(time.monotonic())
    time.sleep(0.2)
    ours, theirs = host.read(time.monotonic()), other.read(time.monotonic())
    (limit,), known = told(ours, semconv.METRIC_SYSTEM_MEMORY_LIMIT), psutil.virtual_memory()
    if not any(one.attributes.get(semconv.LIMIT_SOURCE) == semconv.LIMIT_SOURCE_CGROUP for one in ours):
        assert limit == known.total

        def apart():
            (share,) = told(host.read(time.monotonic()), semconv.METRIC_SYSTEM_MEMORY_UTILIZATION)
            return abs(share - psutil.virtual_memory().percent / 100)

        assert least(apart, 0.03) < 0.03  # others take and give back
    assert {one.name for one in theirs} == {one.name for one in ours}


def test_every_reading_is_in_the_table():
    named = {one.name for one in HOST}
    for source in (Host(), portable.Host()):
        source.read(time.monotonic())
        time.sleep(0.05)
        assert {one.name for one in source.read(time.monotonic())} <= named


@pytest.mark.parametrize("kind", [Process, portable.Process])
def test_a_process_says_what_the_table_names(kind):
    process = kind()
    process.read(time.monotonic())
    assert {one.name for one in process.read(time.monotonic() + 1)} == {one.name for one in PROCESS}


@pytest.mark.parametrize("kind", [Process, portable.Process])
def test_a_process_counts_its_threads_and_files(kind, tmp_path):
    def more():
        """Threads and files, with one more of each against without."""
        process, done = kind(), threading.Event()
        before = process.read(0.0)
        thread = threading.Thread(target=done.wait)
        thread.start()
        with (tmp_path / "file").open("w"):
            after = process.read(1.0)
        done.set()
        thread.join()
        names = (semconv.METRIC_PROCESS_THREAD_COUNT, semconv.METRIC_PROCESS_FILE_DESCRIPTOR_COUNT)
        return [told(after, name)[0] - told(before, name)[0] for name in names]

    wait_for(lambda: more() == [1, 1])  # a thread that a test before this one left behind may end meanwhile


def test_a_busy_process_uses_its_share():
    process = Process()
    started, used = time.monotonic(), time.process_time()
    process.read(started)
    while time.process_time() - used < 0.5:
        pass
    ended = time.monotonic()
    (share,) = told(process.read(ended), semconv.METRIC_PROCESS_CPU_UTILIZATION)
    had = (time.process_time() - used) / (ended - started) / len(os.sched_getaffinity(0))
    assert share == pytest.approx(had, rel=0.3)


def test_a_clock_that_jumps_back_gives_no_share():
    process = Process()
    process.read(10.0)
    assert told(process.read(5.0), semconv.METRIC_PROCESS_CPU_UTILIZATION) == []


def test_psutil_that_is_refused_is_absent(monkeypatch, caplog):
    process = portable.Process()

    def refuse():
        raise psutil.AccessDenied

    monkeypatch.setattr(process._process, "memory_info", refuse)
    readings = process.read(0.0) + process.read(1.0)
    assert told(readings, semconv.METRIC_PROCESS_MEMORY_USAGE) == []
    assert len([record for record in caplog.records if "memory" in record.message]) == 1


def test_a_process_whose_files_are_hidden_tells_the_rest(tmp_path, caplog):
    process = Process(str(tmp_path / "nowhere"))
    assert {one.name for one in process.read(0.0)} == {semconv.METRIC_PROCESS_CPU_TIME}
    assert len(caplog.records) == 2
