"""Kernels that come with a wheel: what the source gives, found without a compiler."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine
from engine.errors import EngineError
from engine.fast.codegen import compilation
from engine.fast.codegen.target import TARGETS, host_target
from engine.fast.weights import code_files, prepared, shipped
from engine.fast.weights.array_files import Damaged
from engine.fast.weights.packing import Shape
from tests.support.synthetic import TINY

SHAPE = Shape(host_target(), "float32")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "shipped"
    folder.mkdir()
    (folder / "of-an-older-release.kernels").touch()
    shipped.make(folder, [SHAPE])
    return folder


@pytest.fixture
def no_compiler(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    def compiled(*_: object) -> bytes:
        raise EngineError("there is no compiler here")

    monkeypatch.setattr(prepared, "SHIPPED", made)
    monkeypatch.setattr(compilation, "compiled", compiled)
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "cache"))
    yield monkeypatch


@pytest.mark.slow
def test_what_is_shipped_is_what_the_source_gives(made: Path) -> None:
    (path,) = made.iterdir()
    assert path.name == prepared.shipped_name(SHAPE)
    assert path.read_bytes()[: -code_files.END] == compilation.compiled(SHAPE.target, "float32")


@pytest.mark.slow
def test_what_is_shipped_is_used_and_nothing_is_compiled(
    no_compiler: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with engine.load(TINY, threads=1) as one:
        vector = one.encode("hello")
    engine.prepare(TINY)
    assert not list((tmp_path / "cache").glob("*.kernels"))
    no_compiler.undo()
    assert (engine.load(TINY, threads=1).encode("hello") == vector).all()


@pytest.mark.slow
def test_what_is_not_shipped_or_damaged_is_compiled(
    no_compiler: pytest.MonkeyPatch, made: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="no compiler here"):
        engine.load(TINY, precision="int16", threads=1)
    (path,) = made.iterdir()
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-1] + b"x")
    with (tmp_path / path.name).open("rb") as file, pytest.raises(Damaged):
        code_files.read(file)
    no_compiler.setattr(prepared, "SHIPPED", tmp_path)
    with pytest.raises(EngineError, match="no compiler here"):
        engine.load(TINY, threads=1)


def test_another_source_is_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {prepared.shipped_name(Shape(TARGETS[name], "int8")) for name in shipped.COMMON}
    before = prepared.shipped_name(SHAPE)
    monkeypatch.setattr(prepared, "_versions", lambda: ["99.0"])
    assert prepared.shipped_name(SHAPE) == before  # whatever compiles
    monkeypatch.setattr(prepared, "_source", lambda _: b"another source")
    assert prepared.shipped_name(SHAPE) != before and len(names) == len(shipped.COMMON)


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
from pathlib import Path
import engine
from engine.fast.weights import prepared
prepared.SHIPPED = Path(sys.argv[1])
print(engine.load(sys.argv[2], threads=1).encode("hello").tobytes().hex())
"""


@pytest.mark.slow
def test_a_machine_without_numba_computes(made: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT_NUMBA, made, TINY]
    environment = os.environ | {"BGE_CACHE": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    with engine.load(TINY, threads=1) as one:
        assert done.stdout.strip() == one.encode("hello").tobytes().hex()
