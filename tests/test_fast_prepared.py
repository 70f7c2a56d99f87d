"""What is made once and kept: found by the next process, noticed when damaged, never half there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import engine
from engine.config import read_config
from engine.errors import EngineError
from engine.fast import arrays, compile, prepared
from engine.fast.pack import Shape
from engine.fast.target import TARGETS, host_target
from tests import checkpoints, fast_process

ENCODE = """
import sys
import engine
from tests import checkpoints
one = engine.load(checkpoints.tiny(), threads=1)
print(one.encode("hello").tobytes().hex(), "numba" not in sys.modules)
"""
SAID = re.compile(
    r"bge-engine: (preparing|compiling) .*, once \.\.\.\nbge-engine: done in [\d.]+ s"
)


@pytest.fixture(scope="module")
def code() -> Path:
    """This machine's kernels in the usual cache folder, compiled there if they are not yet."""
    engine.load(checkpoints.tiny(), threads=1).close()
    with pytest.MonkeyPatch.context() as patch:
        name = kernels_file("float32", host_target().name, patch)
    return prepared.cache_folder() / name


@pytest.fixture
def cache(tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, with machine code and without weights."""
    folder = tmp_path / "cache"
    folder.mkdir()
    shutil.copy(code, folder)
    monkeypatch.setenv("BGE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float32]:
    with engine.load(checkpoints.tiny(), threads=1) as one:
        return one.encode("hello")


def encode() -> NDArray[np.float32]:
    with engine.load(checkpoints.tiny(), threads=1) as one:
        return one.encode("hello")


def test_what_other_versions_left_goes_after_a_month(cache: Path) -> None:
    encode()
    name = only(cache, "weights").name
    stem, ending = name[: -len("0" * 32 + ".weights")], ".weights"
    ages = {"a" * 32 + ending: 31, "b" * 32 + ending: 29, "c" * 31 + ending: 31}
    ages |= {"a" * 32 + ".kernels": 31, "d" * 32 + ".part": 31}
    for rest, days in ages.items():
        (cache / (stem + rest)).write_bytes(b"")
        os.utime(cache / (stem + rest), (time.time() - days * 24 * 3600,) * 2)
    other = cache / ("other-" + stem + "a" * 32 + ending)
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    before = set(cache.glob("*"))
    (cache / name).unlink()
    encode()
    assert before - set(cache.glob("*")) == {cache / (stem + "a" * 32 + ending)}


def only(folder: Path, kind: str) -> Path:
    (path,) = folder.glob(f"*.{kind}")
    return path


def quiet(capfd: pytest.CaptureFixture[str]) -> bool:
    return capfd.readouterr().err == ""


def test_made_once_and_said_so(
    cache: Path, expected: NDArray[np.float32], capfd: pytest.CaptureFixture[str]
) -> None:
    assert np.array_equal(encode(), expected)
    assert SAID.fullmatch(capfd.readouterr().err.strip())
    made = only(cache, "weights").stat()
    assert np.array_equal(encode(), expected)
    assert quiet(capfd)
    assert only(cache, "weights").stat() == made


def test_another_process_finds_it_without_numba(cache: Path, expected: NDArray[np.float32]) -> None:
    encode()
    found = start(ENCODE).communicate(timeout=300)
    assert found == (f"{expected.tobytes().hex()} True\n", "")


# damage


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def without_its_end(content: bytes) -> bytes:
    return content[:-1]


def overwritten(content: bytes) -> bytes:
    return content[:64] + b"\xff" * 64 + content[128:]


def of_zeros(content: bytes) -> bytes:
    """As some file systems leave a file after a power cut."""
    return b"\0" * len(content)


def something_else(content: bytes) -> bytes:
    return b"<html>not found</html>" * 99


DAMAGES = [cut_short, empty, without_its_end, overwritten, of_zeros, something_else]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_made_again(
    damage: Callable[[bytes], bytes],
    cache: Path,
    expected: NDArray[np.float32],
    capfd: pytest.CaptureFixture[str],
) -> None:
    encode()
    path = only(cache, "weights")
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(whole))
    capfd.readouterr()
    assert np.array_equal(encode(), expected)
    assert SAID.fullmatch(capfd.readouterr().err.strip())
    assert only(cache, "weights").read_bytes() == whole


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_machine_code_is_never_run(
    damage: Callable[[bytes], bytes],
    cache: Path,
    expected: NDArray[np.float32],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = only(cache, "kernels")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    monkeypatch.setattr(compile, "compiled", lambda target, precision: whole[32:])
    assert np.array_equal(encode(), expected)
    assert len(SAID.findall(capfd.readouterr().err)) == 2  # weights as well, for the first time
    assert path.read_bytes() == whole


def test_every_byte_of_a_files_table_matters(tmp_path: Path) -> None:
    """Whatever is changed in a file of arrays is noticed, or changes nothing."""
    path = tmp_path / "file"
    table = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.ones(1, np.int8)}
    arrays.write(path, table.items())
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            found = arrays.read(path)
        except ValueError:
            continue
        assert {name: x.tolist() for name, x in found.items()} == {
            name: x.tolist() for name, x in table.items()
        }, f"byte {i}"


# a folder that cannot be written


@pytest.mark.parametrize("folder", ["/proc/nowhere", "{file}/cache"])
def test_an_unwritable_cache_gives_one_warning(
    folder: str,
    tmp_path: Path,
    code: Path,
    expected: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BGE_CACHE", folder.format(file=tmp_path / "file"))
    monkeypatch.setattr(compile, "compiled", lambda *_: code.read_bytes()[32:])
    with pytest.warns(UserWarning, match="nothing can be kept in") as caught:
        assert np.array_equal(encode(), expected)
    assert len(caught) == 1 and "BGE_CACHE" in str(caught[0].message)


def test_a_full_disk_gives_one_warning(
    cache: Path, expected: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the file is written; what was written is taken away."""
    write, tries = arrays.write, []

    def full(path: Path, content: object) -> None:
        write(path, content)  # type: ignore[arg-type]
        tries.append(path)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrays, "write", full)
    with pytest.warns(UserWarning, match="No space left") as caught:
        assert np.array_equal(encode(), expected)
    assert len(caught) == 1 and not [*cache.glob("*.part"), *cache.glob("*.weights")]


# many processes, and their ends


def start(script: str, **changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=fast_process.environment(**changes),
        cwd=fast_process.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once_make_one_file(cache: Path, expected: NDArray[np.float32]) -> None:
    processes = [start(ENCODE) for _ in range(3)]
    ended = [process.communicate(timeout=300) for process in processes]
    assert {out for out, _ in ended} == {f"{expected.tobytes().hex()} True\n"}
    assert sum("preparing" in complaint for _, complaint in ended) == 1
    assert only(cache, "weights") and not list(cache.glob("*.part"))


SLOW = (
    """
import time
from engine.fast import arrays
write = arrays.write
def slow(path, content):
    write(path, content)
    path.write_bytes(path.read_bytes()[:5000])
    print("half", flush=True)
    time.sleep(600)
arrays.write = slow
"""
    + ENCODE
)


def test_a_kill_in_the_middle_leaves_nothing_wrong(
    cache: Path, expected: NDArray[np.float32]
) -> None:
    process = start(SLOW)
    assert process.stdout
    with process:
        assert process.stdout.readline() == "half\n"
        waiting = start(ENCODE)  # it waits for the other one, and then does it itself
        time.sleep(1)
        process.send_signal(signal.SIGKILL)
    assert waiting.communicate(timeout=300)[0] == f"{expected.tobytes().hex()} True\n"
    assert arrays.read(only(cache, "weights"))


# keys


def weights_file(precision: str, target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the file that would be looked for."""
    names: list[str] = []
    monkeypatch.setattr(prepared, "_kept", lambda path, *_: names.append(path.name))
    folder = checkpoints.tiny()
    prepared.weights(folder, read_config(folder), Shape(TARGETS[target], precision))
    return names[0]


def kernels_file(precision: str, target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    names: list[str] = []
    monkeypatch.setattr(prepared, "_kept", lambda path, *_: names.append(path.name))
    monkeypatch.setattr(compile, "load", lambda code: None)
    prepared.kernels(Shape(TARGETS[target], precision))
    return names[0]


@pytest.mark.parametrize("file", [weights_file, kernels_file])
def test_a_name_for_each_target_and_precision(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [file(p, t, monkeypatch) for p in ("float32", "int16", "int8") for t in TARGETS]
    assert len(set(names)) == len(names) == 3 * len(TARGETS)
    assert file("int8", "avx2", monkeypatch) in names


@pytest.mark.parametrize("file", [weights_file, kernels_file])
def test_another_name_when_the_source_changes(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file("int8", "avx2", monkeypatch)
    source = prepared._source
    monkeypatch.setattr(prepared, "_source", lambda modules: source(modules) + b"\n")
    assert file("int8", "avx2", monkeypatch) != before


def test_another_name_when_the_compiler_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kernels_file("int8", "avx2", monkeypatch)
    monkeypatch.setattr(prepared, "_versions", lambda: ["99.0", "99.0"])
    assert kernels_file("int8", "avx2", monkeypatch) != before


def test_another_name_when_the_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_file("int8", "avx2", monkeypatch)
    monkeypatch.setattr(prepared.registry, "weights_hash", lambda folder: "0" * 64)
    assert weights_file("int8", "avx2", monkeypatch) != before


def imports(module: str) -> set[str]:
    """Names in engine.fast that a module's source imports."""
    text = (Path(compile.__file__).parent / f"{module}.py").read_text("utf-8")
    found = re.findall(r"^\s*from engine\.fast\.(\w+) import", text, re.MULTILINE)
    for line in re.findall(r"^\s*from engine\.fast import (.+)", text, re.MULTILINE):
        found += re.findall(r"(\w+)(?: as \w+)?", line)
    return set(found)


@pytest.mark.parametrize(
    ("roots", "sources"),
    [
        (["encoder", "compile"], prepared.KERNEL_SOURCES),
        (["pack", "arrays"], prepared.WEIGHT_SOURCES),
    ],
)
def test_every_source_that_matters_is_in_the_key(
    roots: list[str], sources: tuple[str, ...]
) -> None:
    reached: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module not in reached:
            reached.add(module)
            todo += imports(module)
    assert reached == set(sources)


# the compiler


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile.sys, "executable", "/bin/false")
    with pytest.raises(EngineError, match=r"kernels for avx2 in int8 could not be compiled"):
        compile.compiled(TARGETS["avx2"], "int8")


def test_bge_cache_and_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BGE_CACHE", str(tmp_path))
    assert prepared.cache_folder() == tmp_path
    monkeypatch.delenv("BGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prepared.cache_folder() == tmp_path / "bge-engine" / "prepared"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert prepared.cache_folder() == tmp_path / ".cache" / "bge-engine" / "prepared"


def test_an_unknown_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "BGE_TARGET", "pentium")
    with pytest.raises(ValueError, match=r"BGE_TARGET is 'pentium'; this CPU runs .*\w"):
        host_target()
