"""What the CPU of this process can do, as the operating system says it, in LLVM's names.

The operating system, because it knows what it saves at a context switch; and because LLVM does not
report arm64's dotprod and i8mm.
"""

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Linux's name of a feature -> LLVM's, where they differ.
X86_NAMES = {
    "bmi1": "bmi",
    "abm": "lzcnt",
    "avx512_vnni": "avx512vnni",
    "avx_vnni": "avxvnni",
    "amx_int8": "amx-int8",
}
# Linux on arm64: LLVM's name -> an entry of the auxiliary vector, AT_HWCAP or AT_HWCAP2, and a bit.
AUXILIARY = {"neon": (16, 1), "dotprod": (16, 20), "i8mm": (26, 13), "bf16": (26, 14)}
# macOS on arm64: the names of sysctl.
SYSCTL = {
    "neon": "hw.optional.AdvSIMD",
    "dotprod": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
    "bf16": "hw.optional.arm.FEAT_BF16",
}


def architecture() -> str:
    """ "x86_64", "aarch64" or another name: of this process, under emulation too."""
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    machine = platform.machine().lower()
    # A process of 32 bits on a machine of 64 can run none of the kernels.
    return names.get(machine, machine) if sys.maxsize > 2**32 else f"{machine}, 32 bits"


@cache
def features() -> frozenset[str]:
    """The features of the CPU; nothing where the operating system is not known."""
    system, machine = platform.system(), architecture()
    if machine == "x86_64":
        found = _from_cpuinfo() if system == "Linux" else _from_llvm()
        return found if "amx-int8" in found and _may_use_tiles() else found - {"amx-int8"}
    if machine == "aarch64" and system in ("Linux", "Darwin"):
        has = _has_auxiliary if system == "Linux" else _has_sysctl
        return frozenset(name for name in AUXILIARY if has(name))
    return frozenset()


def _from_cpuinfo() -> frozenset[str]:
    """x86: the flags of the first CPU; all have the same."""
    try:
        lines = CPUINFO.read_text("utf-8").splitlines()
    except OSError:  # a sandbox without /proc
        return _from_llvm()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(X86_NAMES.get(flag, flag) for flag in flags.split())


def _from_llvm() -> frozenset[str]:
    """What LLVM asks the CPU itself: right on x86, and slow to import."""
    try:
        from llvmlite import binding
    except ImportError:
        return frozenset({"sse2"})  # every CPU of 64 bits has it
    return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)


def _may_use_tiles() -> bool:
    """Whether Linux lets this process use AMX: it is off until a process asks for it."""
    arch_prctl, request, tile_data = 158, 0x1023, 18  # numbers of Linux on x86-64
    return bool(ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0)


def auxiliary(entry: int) -> int:
    """An entry of the auxiliary vector, which Linux gives to every process."""
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, (ctypes.c_ulong,)
    return int(getauxval(entry))


def _has_auxiliary(feature: str) -> bool:
    entry, bit = AUXILIARY[feature]
    return bool(auxiliary(entry) >> bit & 1)


def _has_sysctl(feature: str) -> bool:
    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    sysctl = ctypes.CDLL(None).sysctlbyname
    name = SYSCTL[feature].encode()
    failed = sysctl(name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return not failed and value.value == 1
