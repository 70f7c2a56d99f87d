"""How many cores this process may use: its affinity, and the CPU quota of its control group."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """At least 1. A container limited to 1.5 CPUs on a machine of 64 cores gets 2, not 64."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota() -> float | None:
    """CPUs granted by version 2 (cpu.max: "quota period") or version 1, None where unlimited."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((CGROUP / name).read_text("ascii") for name in names).split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # "max" is a ValueError: unlimited
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
