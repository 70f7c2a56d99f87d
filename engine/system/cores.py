"""How many cores this process may use: its affinity, and the CPU quota of its control groups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """At least 1. A container limited to 1.5 CPUs on a machine of 64 cores gets 2, not 64."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else min(cores, math.ceil(quota))


def _quota() -> float | None:
    """CPUs granted to this process: the least along its control groups; None where unlimited."""
    quotas = [quota for group in _groups() if (quota := _granted(group)) is not None]
    return min(quotas, default=None)


def _groups() -> Iterator[Path]:
    """The folders of this process's control group and of those above it, of both versions.

    A line of /proc/self/cgroup is "number:controllers:path"; version 2 has no controllers. In a
    container the path is "/", or the host's, of which only the root is there.
    """
    try:
        lines = [line.split(":", 2) for line in OWN_GROUPS.read_text("utf-8").splitlines()]
        paths = {name: path for _, names, path in lines for name in names.split(",")}
    except (OSError, ValueError):
        paths = {}
    for root, controller in ((CGROUP, ""), (CGROUP / "cpu", "cpu")):
        own = Path(paths.get(controller, "/").lstrip("/"))
        yield from (root / folder for folder in (own, *own.parents) if ".." not in folder.parts)


def _granted(folder: Path) -> float | None:
    """The quota of one group: version 2's cpu.max ("quota period") or version 1's two files."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((folder / name).read_text("ascii") for name in names).split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # "max" is a ValueError: unlimited
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
