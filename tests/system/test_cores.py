"""The affinity, and quotas of control groups of both versions, nested or not."""

import os
from pathlib import Path

import pytest

from engine.system import cores
from engine.system.cores import usable_cores

V2, V1 = "0::{}\n", "12:pids:/x\n4:cpu,cpuacct:{}\n1:name=systemd:/y\n0::/z\n"


class Machine:
    """A machine with 8 cores and control groups in a folder of the test."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.own, self.cpus = folder / "cgroup", folder / "own", folder / "cpu"
        patch.setattr(cores, "CPUS", self.cpus)
        patch.setattr(cores, "CGROUP", self.root)
        patch.setattr(cores, "OWN_GROUPS", self.own)
        patch.setattr(os, "sched_getaffinity", {0: set(range(8))}.get, raising=False)
        self.own.write_text(V2.format("/"))

    def write_siblings(self, cpu: int, siblings: str) -> None:
        topology = self.cpus / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings, "latin-1")

    def write(self, name: str, content: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(content)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux")
def test_the_files_are_those_of_linux() -> None:
    assert cores.OWN_GROUPS.is_file() and cores.CGROUP.is_dir() and cores.CPUS.is_dir()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("quota", "usable"),
    [
        ("max 100000", 8),
        ("150000 100000", 2),  # a part of a core is a core
        ("200000 100000", 2),
        ("50000 100000", 1),
        ("1000 1000000", 1),
        ("6400000 100000", 8),  # never more than the affinity
        ("25000 10000", 3),
        ("0 100000", 8),
        ("150000 0", 8),
        ("150000", 8),
        ("", 8),
        ("\xff\xfe", 8),
    ],
)
def test_version_2(machine: Machine, quota: str, usable: int) -> None:
    machine.write("cpu.max", f"{quota}\n")
    assert usable_cores() == usable


@pytest.mark.parametrize(
    ("quota", "period", "usable"),
    [("-1", "100000", 8), ("150000", "100000", 2), ("30000", "10000", 3), ("1", "100000", 1)],
)
def test_version_1(machine: Machine, quota: str, period: str, usable: int) -> None:
    machine.own.write_text(V1.format("/docker/3f"))  # the host's path: not to be found in here
    machine.write("cpu/cpu.cfs_quota_us", f"{quota}\n")
    machine.write("cpu/cpu.cfs_period_us", f"{period}\n")
    assert usable_cores() == usable


def test_the_least_quota_along_the_path_counts(machine: Machine) -> None:
    machine.own.write_text(V2.format("/system.slice/bge.service/inner"))
    machine.write("system.slice/cpu.max", "500000 100000")
    machine.write("system.slice/bge.service/cpu.max", "300000 100000")
    machine.write("system.slice/bge.service/inner/cpu.max", "max 100000")
    machine.write("system.slice/other.service/cpu.max", "100000 100000")
    assert usable_cores() == 3
    machine.write("system.slice/cpu.max", "200000 100000")
    assert usable_cores() == 2


def test_version_1_nested(machine: Machine) -> None:
    machine.own.write_text(V1.format("/batch/job:7"))
    machine.write("cpu/batch/job:7/cpu.cfs_quota_us", "400000")
    machine.write("cpu/batch/job:7/cpu.cfs_period_us", "100000")
    machine.write("z/cpu.max", "100000 100000")  # of version 2, where this process is in /z
    assert usable_cores() == 1
    machine.write("z/cpu.max", "max 100000")
    assert usable_cores() == 4


@pytest.mark.parametrize("content", [None, "", "junk", "0::", "0::/../elsewhere"])
def test_without_a_path_the_root_counts(machine: Machine, content: str | None) -> None:
    machine.write("cpu.max", "300000 100000")
    machine.write("../elsewhere/cpu.max", "100000 100000")
    if content is None:
        machine.own.unlink()
    else:
        machine.own.write_text(content)
    assert usable_cores() == 3


def test_no_control_groups(machine: Machine) -> None:
    assert usable_cores() == 8


@pytest.mark.parametrize(("count", "usable"), [(6, 6), (None, 1)])
def test_a_system_without_affinity(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, count: int | None, usable: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == usable


def test_hyperthreads_of_a_core_count_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cpu in range(8):
        machine.write_siblings(cpu, f"{cpu % 4},{cpu % 4 + 4}\n")
    assert usable_cores() == 4
    monkeypatch.setattr(os, "sched_getaffinity", {0: {0, 1, 4}}.get, raising=False)
    assert usable_cores() == 2


def test_a_cpu_of_unknown_core_is_a_core_of_its_own(machine: Machine) -> None:
    machine.write_siblings(0, "0,4\n")
    machine.write_siblings(4, "0,4\n")
    machine.write_siblings(5, "\xff")
    assert usable_cores() == 7
