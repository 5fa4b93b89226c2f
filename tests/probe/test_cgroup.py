"""The limits of containers, as control groups of both versions say them; and this machine's own."""

import pytest

from otel_llm import semconv
from otel_llm.probe.cgroup import Cgroup, Cpu, Memory
from otel_llm.probe.host import Host

GIB = 1 << 30
MOUNT_V2 = "30 29 0:26 {root} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNT_V1 = "3{n} 29 0:3{n} {root} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
NO_LIMIT_V1 = "9223372036854771712\n"


@pytest.fixture
def container(tmp_path):
    """Writes the files of a container; its control groups."""

    def write(files):
        for path, text in files.items():
            file = tmp_path / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return Cgroup(str(tmp_path / "proc"), str(tmp_path))

    return write


def v2(path="/", root="/", point="/sys/fs/cgroup"):
    return {"/proc/cgroup": f"0::{path}\n", "/proc/mountinfo": MOUNT_V2.format(root=root, point=point)}


def v1(**files):
    """Docker's version 1: the group's path is the host's, the mount begins at it."""
    names = ("cpu,cpuacct", "memory", "cpuset")
    memberships = "".join(f"{n}:{name}:/docker/c0ffee\n" for n, name in enumerate(names, 2))
    mounts = "".join(MOUNT_V1.format(n=n, name=name, root="/docker/c0ffee") for n, name in enumerate(names, 2))
    return {"/proc/cgroup": memberships + "0::/\n", "/proc/mountinfo": mounts} | files


V2_FILES = {
    "/sys/fs/cgroup/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 0\n",
    "/sys/fs/cgroup/memory.max": f"{GIB}\n",
    "/sys/fs/cgroup/memory.current": f"{GIB // 2}\n",
    "/sys/fs/cgroup/memory.stat": f"anon 1\nfile 2\ninactive_file {GIB // 8}\n",
}
V1_FILES = {
    "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
    "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "3000000000\n",
    "/sys/fs/cgroup/cpu,cpuacct/cpuacct.stat": "user 200\nsystem 100\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB // 2}\n",
    "/sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB // 8}\n",
}


@pytest.mark.parametrize("files", [v2() | V2_FILES, v1() | V1_FILES], ids=["v2", "v1"])
def test_a_containers_limits_and_usage_are_read(container, files):
    cgroup = container(files)
    cgroup.find(cpus=8, memory=16 * GIB)
    assert cgroup.cpu() == Cpu(limit=1.5, total=3.0, user=2.0, system=1.0)
    assert cgroup.memory() == Memory(limit=GIB, usage=GIB // 2, inactive_file=GIB // 8)


UNLIMITED_V2 = V2_FILES | {"/sys/fs/cgroup/cpu.max": "max 100000\n", "/sys/fs/cgroup/memory.max": "max\n"}
UNLIMITED_V1 = V1_FILES | {
    "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
}


@pytest.mark.parametrize(
    "files", [v2() | UNLIMITED_V2, v1() | UNLIMITED_V1, v2(), {}], ids=["v2", "v1", "bare", "none"]
)
def test_without_limits_there_is_nothing_to_tell(container, files):
    cgroup = container(files)
    cgroup.find(cpus=8, memory=16 * GIB)
    assert (cgroup.cpu(), cgroup.memory(), cgroup.cpu_limit) == (None, None, None)


def test_a_limit_above_the_machines_own_is_none(container):
    cgroup = container(v2() | V2_FILES)
    cgroup.find(cpus=1, memory=GIB)
    assert (cgroup.cpu(), cgroup.memory()) == (None, None)


def test_the_tightest_limit_above_a_group_counts_with_the_usage_of_its_group(container):
    cgroup = container(
        v2("/pod/app")
        | {
            "/sys/fs/cgroup/pod/app/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/pod/app/memory.max": f"{4 * GIB}\n",
            "/sys/fs/cgroup/pod/cpu.max": "200000 100000\n",
            "/sys/fs/cgroup/pod/cpu.stat": "usage_usec 5000000\nuser_usec 4000000\nsystem_usec 1000000\n",
            "/sys/fs/cgroup/pod/memory.max": f"{2 * GIB}\n",
            "/sys/fs/cgroup/pod/memory.current": f"{GIB}\n",
            "/sys/fs/cgroup/pod/memory.stat": "inactive_file 0\n",
        }
    )
    cgroup.find(cpus=8, memory=16 * GIB)
    assert cgroup.cpu() == Cpu(limit=2.0, total=5.0, user=4.0, system=1.0)
    assert cgroup.memory() == Memory(limit=2 * GIB, usage=GIB)


def test_a_group_outside_of_what_is_mounted_is_read_at_the_mount(container):
    cgroup = container(v2("/../../elsewhere", root="/here") | V2_FILES)
    cgroup.find(cpus=8, memory=16 * GIB)
    assert cgroup.cpu_limit == 1.5


def test_a_set_of_cpus_is_a_limit_too(container):
    cgroup = container(v2() | UNLIMITED_V2 | {"/sys/fs/cgroup/cpuset.cpus.effective": "0-2,7\n"})
    cgroup.find(cpus=64, memory=16 * GIB)
    assert cgroup.cpu_limit == 4


def test_a_set_of_all_cpus_is_none(container):
    cgroup = container(v2() | UNLIMITED_V2 | {"/sys/fs/cgroup/cpuset.cpus.effective": "0-7\n"})
    cgroup.find(cpus=8, memory=16 * GIB)
    assert cgroup.cpu_limit is None


def test_utilisation_is_of_the_containers_limit_and_says_so(container, tmp_path):
    host = Host("/proc", "/sys", cgroup=container(v2() | V2_FILES))
    host._cpus = 8
    host.read(100.0)
    stat = "usage_usec 10500000\nuser_usec 8000000\nsystem_usec 2500000\n"
    (tmp_path / "sys/fs/cgroup/cpu.stat").write_text(stat)
    readings = host.read(110.0)
    cpu = {
        one.attributes.get(semconv.CPU_MODE): one.value
        for one in readings
        if one.name == semconv.METRIC_SYSTEM_CPU_UTILIZATION
    }
    assert cpu == {None: pytest.approx(0.5), "user": pytest.approx(0.4), "system": pytest.approx(0.1), "idle": 0.5}
    (memory,) = [
        one.value
        for one in readings
        if one.name == semconv.METRIC_SYSTEM_MEMORY_UTILIZATION and semconv.MEMORY_STATE not in one.attributes
    ]
    assert memory == 0.375
    limited = {semconv.METRIC_SYSTEM_CPU_UTILIZATION, semconv.METRIC_SYSTEM_MEMORY_UTILIZATION}
    sources = {one.attributes[semconv.LIMIT_SOURCE] for one in readings if one.name in limited}
    assert sources == {semconv.LIMIT_SOURCE_CGROUP}


def test_a_group_whose_counter_falls_gives_no_share(container, tmp_path):
    host = Host("/proc", "/sys", cgroup=container(v2() | V2_FILES))
    host._cpus = 8
    host.read(100.0)
    (tmp_path / "sys/fs/cgroup/cpu.stat").write_text("usage_usec 0\nuser_usec 0\nsystem_usec 0\n")
    assert [one for one in host.read(110.0) if one.name == semconv.METRIC_SYSTEM_CPU_UTILIZATION] == []


def test_this_machines_own_groups_are_found_or_there_are_none():
    cgroup = Cgroup()
    cgroup.find(cpus=1 << 20, memory=1 << 60)
    for limited in (cgroup.cpu(), cgroup.memory()):
        assert limited is None or limited.limit > 0
