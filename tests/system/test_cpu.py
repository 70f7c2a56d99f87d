"""What the operating systems say of named CPUs, and what is made of it."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.fast.codegen.target import able_targets
from engine.system import cpu

HASWELL = "fpu sse sse2 ssse3 fma movbe avx f16c abm bmi1 avx2 bmi2"
SKYLAKE = f"{HASWELL} avx512f avx512dq avx512cd avx512bw avx512vl"
X86 = {
    "nehalem": ("fpu sse sse2 ssse3 sse4_1 sse4_2", "sse2"),
    "sandybridge": ("fpu sse sse2 ssse3 avx", "sse2"),
    "haswell": (HASWELL, "avx2"),
    "haswell without fma": (HASWELL.replace("fma ", ""), "sse2"),
    "zen 3": (HASWELL, "avx2"),
    "skylake": (SKYLAKE, "avx512"),
    "ice lake": (f"{SKYLAKE} avx512_vnni", "avx512vnni"),
    "alder lake": (f"{HASWELL} avx_vnni", "avxvnni"),
    "sapphire rapids": (
        f"{SKYLAKE} avx512_vnni avx_vnni amx_tile amx_int8",
        "avx512vnni",
    ),  # no leave
}
# As Linux gives them: asimd is bit 1 of AT_HWCAP, asimddp bit 20; i8mm is bit 13 of AT_HWCAP2.
ARM64 = {
    "cortex-a72": (0x8FF, 0, "neon"),
    "neoverse-n1": (0x1083FF, 0, "dotprod"),
    "cortex-a76": (0x100FFF, 0, "dotprod"),
    "neoverse-v1": (0xEF_BFFFFF, 0x2_6000 | 1, "i8mm"),
    "neoverse-n2": (0xEF_B3FFFF, 0x2_6FFF, "i8mm"),
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cpu.features.cache_clear()
    yield
    cpu.features.cache_clear()


def machine(patch: pytest.MonkeyPatch, system: str, name: str) -> None:
    patch.setattr(platform, "system", lambda: system)
    patch.setattr(platform, "machine", lambda: name)


@pytest.mark.parametrize("name", X86)
def test_x86_on_linux(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags, target = X86[name]
    machine(monkeypatch, "Linux", "x86_64")
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    cpu.CPUINFO.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: avx512f\n\nflags\t: x\n")
    assert able_targets()[0].name == target


@pytest.mark.parametrize(("permission", "target"), [(0, "amx"), (-1, "avx512vnni")])
def test_amx_needs_leave_of_the_system(
    permission: int, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "Linux", "x86_64")
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    cpu.CPUINFO.write_text(f"flags\t\t: {X86['sapphire rapids'][0]}\n")
    asked = []

    def syscall(*arguments: int) -> int:
        asked.append(arguments)
        return permission

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(syscall=syscall))
    assert able_targets()[0].name == target
    assert asked == [(158, 0x1023, 18)]  # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)


def test_without_proc_llvm_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, "Linux", "x86_64")
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "nowhere")
    binding = SimpleNamespace(get_host_cpu_features=lambda: {"sse2": True, "avx2": False})
    monkeypatch.setitem(sys.modules, "llvmlite", SimpleNamespace(binding=binding))
    assert cpu.features() == {"sse2"}
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    cpu.features.cache_clear()
    assert [target.name for target in able_targets()] == ["sse2"]


@pytest.mark.parametrize("name", ARM64)
def test_arm64_on_linux(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, target = ARM64[name]

    class Library:
        @staticmethod
        def getauxval(entry: int) -> int:
            return {16: first, 26: second}[entry]

    Library.getauxval = SimpleCall(Library.getauxval)  # type: ignore[method-assign,assignment]
    machine(monkeypatch, "Linux", "aarch64")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    assert able_targets()[0].name == target
    assert ("i8mm" in cpu.features()) == bool(second >> 13 & 1)


class SimpleCall:
    """A function that may be given `restype` and `argtypes`, as those of ctypes."""

    def __init__(self, call: object) -> None:
        self.call = call

    def __call__(self, *args: object) -> object:
        return self.call(*args)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("known", "target"),
    [
        ({"AdvSIMD": 1, "arm.FEAT_DotProd": 1, "arm.FEAT_I8MM": 0}, "dotprod"),  # M1
        ({"AdvSIMD": 1, "arm.FEAT_DotProd": 1, "arm.FEAT_I8MM": 1}, "i8mm"),  # M2
        ({"AdvSIMD": 1}, "neon"),  # a name that this version of macOS does not have
    ],
)
def test_arm64_on_macos(
    known: dict[str, int], target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sysctlbyname(name: bytes, value: object, size: object, new: object, length: object) -> int:
        key = name.decode().removeprefix("hw.optional.")
        if key not in known:
            return -1
        value._obj.value = known[key]  # type: ignore[attr-defined]
        return 0

    machine(monkeypatch, "Darwin", "arm64")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(sysctlbyname=sysctlbyname))
    assert able_targets()[0].name == target


@pytest.mark.parametrize(("system", "name"), [("Linux", "riscv64"), ("Windows", "ARM64")])
def test_what_nobody_tried_has_no_kernels(
    system: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, system, name)
    assert cpu.features() == frozenset() and able_targets() == []


def test_a_process_of_32_bits_has_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, "Linux", "x86_64")
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert able_targets() == []


def test_this_cpu_is_as_llvm_sees_it() -> None:
    """On x86, where LLVM asks the CPU itself."""
    if cpu.architecture() == "x86_64":
        names = {need for target in able_targets() for need in target.needs}
        assert names <= cpu._from_llvm()
    assert able_targets()
