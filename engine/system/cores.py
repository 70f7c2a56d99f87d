"""How many CPU cores this process may use: its affinity and the quota of its control groups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The number of cores that this process may use, at least 1.

    Hyperthreads of one core count once, where Linux tells: they share its multipliers, so a second
    one adds little and every step would wait for the slower of both. A quota is rounded up: a
    container with 1.5 CPUs on a machine of 64 cores gets 2.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len({_core(cpu) for cpu in os.sched_getaffinity(0)})
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else min(cores, math.ceil(quota))


def _core(cpu: int) -> str:
    """The numbers of all CPUs of Linux that are hyperthreads of the same core, such as "0,4"."""
    try:
        topology = CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        return topology.read_text("ascii").strip()
    except (OSError, ValueError):
        return str(cpu)


def _quota() -> float | None:
    """The quota of this process in CPUs: the lowest of its control groups; None if unlimited."""
    quotas = [quota for group in _groups() if (quota := _group_quota(group)) is not None]
    return min(quotas, default=None)


def _groups() -> Iterator[Path]:
    """The folders of this process's control group and of its parents, for cgroup v1 and v2.

    A line of /proc/self/cgroup is "number:controllers:path". In version 2 the controllers are
    empty. In a container the path is "/" or the host's path; only the root folder of the latter
    exists in the container.
    """
    try:
        lines = [line.split(":", 2) for line in OWN_GROUPS.read_text("utf-8").splitlines()]
        paths = {name: path for _, names, path in lines for name in names.split(",")}
    except (OSError, ValueError):
        paths = {}
    for root, controller in ((CGROUP, ""), (CGROUP / "cpu", "cpu")):
        own = Path(paths.get(controller, "/").lstrip("/"))
        yield from (root / folder for folder in (own, *own.parents) if ".." not in folder.parts)


def _group_quota(folder: Path) -> float | None:
    """The quota of one group in CPUs, from cpu.max ("quota period", v2) or the two files of v1."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((folder / name).read_text("ascii") for name in names).split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # float("max") is a ValueError: unlimited
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
