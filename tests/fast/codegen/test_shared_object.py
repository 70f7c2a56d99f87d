"""Shared objects: what the system's loader, and tools of others, find in them.

The code of arm64 is run by `tests.emulation`; here its patched instructions are compared with
encodings worked out by hand.
"""

import ctypes
import struct
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from engine.fast.codegen import shared_object
from engine.fast.codegen.compilation import module_for
from engine.fast.codegen.shared_object import PATCHES, link

LINUX = "{}-unknown-linux-gnu"
# A table of constants in its own section, and a call that is not inlined.
TEXT = """
@table = internal constant [4 x double] [double 1.5, double 2.5, double 3.5, double 4.5]

define internal double @"a name, numba's: Ω"(i64 %i) noinline {
  %place = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %x = load double, ptr %place
  ret double %x
}

define double @encode(i64 %i) {
  %x = call double @"a name, numba's: Ω"(i64 %i)
  %y = fmul double %x, 1.0e-3
  ret double %y
}
"""


def linked(machine: str, text: str = TEXT) -> bytes:
    module, generator = module_for(text, LINUX.format(machine), "generic", "")
    return link(generator.emit_object(module))


def test_the_loader_finds_the_function_and_it_computes(tmp_path: Path) -> None:
    machine = llvm.get_process_triple().split("-")[0]
    (tmp_path / "some.so").write_bytes(linked(machine))
    library = ctypes.CDLL(str(tmp_path / "some.so"))
    library.encode.restype, library.encode.argtypes = ctypes.c_double, [ctypes.c_int64]
    assert [library.encode(i) for i in range(4)] == [1e-3 * x for x in (1.5, 2.5, 3.5, 4.5)]
    assert not hasattr(library, "table")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_nothing_is_both_written_and_executed(machine: str) -> None:
    code = linked(machine)
    *_, size, count, _, _, _ = shared_object.HEADER.unpack_from(code)
    programs = [
        shared_object.PROGRAM.unpack_from(code, shared_object.HEADER.size + n * size)
        for n in range(count)
    ]
    assert sorted(kind for kind, *_ in programs) == [1, 1, 2, 0x6474E551]  # with a stack's flags
    for kind, flags, offset, address, _, _, length, align in programs:
        assert flags in (shared_object.CODE, shared_object.DATA)
        assert kind != shared_object.LOAD or (address - offset) % shared_object.PAGE == 0
        assert kind != shared_object.LOAD or align == shared_object.PAGE
        assert offset + length <= len(code)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_function_is_named_for_profilers(machine: str) -> None:
    _, sections = shared_object.read_sections(linked(machine))
    by_name = {section.name: section for section in sections}
    assert list(by_name) == ["", ".text", ".dynsym", ".dynstr", ".hash", ".shstrtab"]
    assert sections[by_name[".dynsym"].link].name == ".dynstr"
    names = by_name[".dynstr"].content
    _, *symbols = shared_object.SYMBOL.iter_unpack(by_name[".dynsym"].content)
    found = {shared_object.text_at(names, one[0]): one[-1] for one in symbols}
    assert list(found) == ["a name, numba's: Ω", "encode"] and min(found.values()) > 0
    assert {section for *_, section, _, _ in symbols} == {1}


def test_patches_of_arm64() -> None:
    """Each against the encoding in Arm's manual: adrp x0; add x0, x0; bl; ldr q0, [x0]."""
    patch = PATCHES[183]
    # 0x3 pages on: the low two bits of 3 stand in bits 29 and 30
    assert patch[275](0x9000_0000, 0x4008, 0x1FF0) == 0x9000_0000 | 3 << 29
    assert patch[275](0x9000_0000, 0x0008, 0x1FF0) == 0x9000_0000 | 3 << 29 | 0x7FFFF << 5
    assert patch[277](0x9100_0000, 0x4ABC, 0) == 0x9100_0000 | 0xABC << 10
    assert patch[299](0x3DC0_0000, 0x4AB0, 0) == 0x3DC0_0000 | 0xAB << 10
    assert patch[286](0xF940_0000, 0x4AB8, 0) == 0xF940_0000 | 0x157 << 10
    assert patch[283](0x9400_0000, 0x100, 0x200) == 0x9400_0000 | 0x03FF_FFC0
    assert patch[261](0, 0x100, 0x104) == 0xFFFF_FFFC


@pytest.mark.parametrize(
    ("kind", "target", "place"),
    [(282, 1 << 28, 0), (283, 2, 0), (261, 1 << 31, 0), (299, 8, 0), (275, 1 << 33, 0)],
)
def test_what_does_not_fit_an_instruction_is_refused(kind: int, target: int, place: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        PATCHES[183][kind](0, target, place)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_comes_from_outside_is_refused(machine: str) -> None:
    outside = "declare double @exp(double)\ndefine double @encode(double %x) {\n"
    outside += "  %y = call double @exp(double %x)\n  ret double %y\n}\n"
    with pytest.raises(ValueError, match="to 'exp' is not among those"):
        linked(machine, outside)


@pytest.mark.parametrize("code", [b"", b"\x7fELF", b"MZ" * 99, struct.pack("<100I", *[0] * 100)])
def test_what_is_no_object_file_is_refused(code: bytes) -> None:
    with pytest.raises(ValueError, match="not an object file"):
        link(code)
