"""Machine code is mapped where a process may do so, and called; else an error says what to do."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import llvmlite.binding as llvm
import pytest

from engine.errors import EngineError
from engine.fast.codegen import loading
from engine.fast.codegen.compilation import module_for
from engine.fast.codegen.shared_object import link
from tests.fast import fast_process
from tests.support import checkpoints

# As numba's functions: result, error, and two arguments, the second an address.
STORE = """
define i32 @{name}(ptr %result, ptr %error, i64 %number, ptr %place) {{
  %sum = add i64 %number, {added}
  store i64 %sum, ptr %place
  ret i32 0
}}
"""


def compiled(name: str = "encode", added: int = 1) -> bytes:
    text, triple = STORE.format(name=name, added=added), llvm.get_process_triple()
    module, machine = module_for(text, triple, llvm.get_host_cpu_name(), "")
    code: bytes = machine.emit_object(module)
    return code


def shared(added: int = 1) -> bytes:
    return link(compiled(added=added))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "code").open("w+b") as file:
        yield file


def load(file: BinaryIO, code: bytes) -> loading.Code:
    file.truncate(0)
    file.write(code)
    file.flush()
    return loading.load(file, code)


def call(code: loading.Code, number: int) -> int:
    place = ctypes.c_int64()
    code(number, ctypes.addressof(place))
    return place.value


if sys.platform == "linux":

    def test_each_code_is_its_own_though_descriptors_return(tmp_path: Path) -> None:
        codes = []
        for added in range(20, 40):
            with (tmp_path / f"{added}").open("w+b") as file:  # the same number each time
                codes.append(load(file, shared(added)))
        assert [call(code, 100) for code in codes] == list(range(120, 140))

    def test_the_file_itself_is_mapped(file: BinaryIO) -> None:
        load(file, shared(50))
        assert file.name in Path("/proc/self/maps").read_text()

    def test_where_files_may_not_be_executed_it_is_mapped_from_memory(
        file: BinaryIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library, tried = loading._library, list[str]()

        def noexec(file: BinaryIO) -> ctypes.CDLL:
            tried.append(str(Path(f"/proc/self/fd/{file.fileno()}").readlink()))
            if "memfd" not in tried[-1]:
                raise OSError("failed to map segment from shared object")
            return library(file)

        monkeypatch.setattr(loading, "_library", noexec)
        assert call(load(file, shared(51)), 100) == 151
        assert len(tried) == 2 and tried[0] == file.name

    def test_where_nothing_may_be_executed_an_error_says_what_to_do(
        file: BinaryIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def noexec(file: BinaryIO) -> ctypes.CDLL:
            raise OSError("failed to map segment from shared object")

        monkeypatch.setattr(loading, "_library", noexec)
        with pytest.raises(EngineError, match=r'noexec.*precision="reference".*failed to map'):
            load(file, shared(52))

    def test_code_without_the_function_is_refused(file: BinaryIO) -> None:
        other = compiled("other")
        with pytest.raises(EngineError, match="no function encode"):
            load(file, link(other))


def test_other_systems_place_an_object_file_in_memory(
    file: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert call(load(file, compiled(added=53)), 100) == 153
    with pytest.raises(EngineError, match="no function encode"):
        load(file, compiled("other"))


def test_where_memory_may_not_be_executed_an_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden() -> None:
        raise OSError(13, "cannot allocate executable memory")

    monkeypatch.setattr(llvm, "check_jit_execution", forbidden)
    with pytest.raises(EngineError, match=r'MemoryDenyWriteExecute.*precision="reference"'):
        loading.check_allowed()


HARDENED = """
import ctypes, sys
import engine
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0  # PR_SET_MDWE: Linux 6.3
for precision in ("float32", "int16", "int8"):
    try:
        vector = engine.load(sys.argv[1], precision=precision, threads=1).encode("hello")
        print(vector.tobytes().hex())
    except engine.EngineError as error:
        print(error)
"""


@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_a_hardened_process_computes_with_what_is_prepared(cache: str, tmp_path: Path) -> None:
    """MemoryDenyWriteExecute=yes of systemd: only compiling is forbidden."""
    import engine

    expected = []
    for precision in ("float32", "int16", "int8"):
        with engine.load(checkpoints.tiny(), precision=precision, threads=1) as one:
            expected.append(one.encode("hello").tobytes().hex())
    given = {"BGE_CACHE": str(tmp_path)} if cache == "cold" else {}
    lines = fast_process.run(HARDENED, checkpoints.tiny(), **given).splitlines()
    if cache == "warm":
        assert lines == expected
    else:
        assert [line[:52] for line in lines] == [
            "this process may not make memory executable, which c"
        ] * 3
        assert "`bge prepare`" in lines[0]
