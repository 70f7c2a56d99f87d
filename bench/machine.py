"""Describes the machine of a benchmark: CPU, memory, versions, and the load of all processes."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# The CPU features that decide which kernels an engine uses.
TELLING = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)

PACKAGES = (
    *("numpy", "numba", "llvmlite", "tokenizers", "safetensors"),
    *("onnx", "onnxruntime", "openvino", "nncf", "ctranslate2", "fastembed"),
    *("torch", "transformers", "sentence-transformers"),
)


def describe() -> dict[str, Any]:
    """What every record must contain: date, commit, machine and versions of packages."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": git("describe", "--always", "--dirty", "--abbrev=12"),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "features": cpu_features(),
            "memory_gb": memory_gb(),
            "system": platform.platform(terse=True),
        },
        "versions": {"python": platform.python_version(), **installed()},
    }


def cpu_name() -> str:
    """The CPU's name in /proc/cpuinfo, with family and model.

    Virtual machines often report a generic name.
    """
    facts = cpu_facts()
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    family = f"family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"
    return f"{facts['model name']} ({family})"


def cpu_features() -> list[str]:
    flags = cpu_facts().get("flags") or cpu_facts().get("Features") or ""
    return [feature for feature in TELLING if feature in flags.split()]


def has_bfloat16() -> bool:
    return any("bf16" in feature for feature in cpu_features())


def cpu_facts() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo; empty if there is no such file."""
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def version(package: str) -> str:
    """The installed version of a package; "none" if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def installed() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES if version(name) != "none"}


def git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(HERE), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def busy_seconds() -> float:
    """CPU seconds used by all processes since the system started; NaN if unknown."""
    try:
        fields = Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:]
    except OSError:
        return float("nan")
    user, nice, system, _, _, irq, softirq, steal, *_ = (int(field) for field in fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
