"""What is made once and kept: found by the next process, noticed when damaged, never half there."""

import ast
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray

import engine
from engine.checkpoint.config import read_config
from engine.fast.codegen import compilation
from engine.fast.codegen.target import TARGETS, host_target
from engine.fast.weights import array_files, code_files, prepared
from engine.fast.weights.packing import Shape
from engine.system import folders
from tests.fast import fast_process
from tests.support import checkpoints

ENCODE = """
import sys
import engine
from tests.support import checkpoints
one = engine.load(checkpoints.tiny(), threads=1)
print(one.encode("hello").tobytes().hex(), "numba" not in sys.modules)
"""
PACKAGE = prepared.PACKAGE
SAID = re.compile(
    r"bge-engine: (preparing|compiling) .*, once \.\.\.\nbge-engine: done in [\d.]+ s"
)


@pytest.fixture(scope="module")
def code() -> Path:
    """This machine's kernels in the usual cache folder, compiled there if they are not yet."""
    engine.load(checkpoints.tiny(), threads=1).close()
    with pytest.MonkeyPatch.context() as patch:
        name = kernels_file("float32", host_target().name, patch)
    folder = folders.prepared_home()
    assert folder
    return folder / name


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


def with_a_tail_of_zeros(content: bytes) -> bytes:
    """As other file systems leave one."""
    return content[: len(content) * 2 // 3].ljust(len(content), b"\0")


def with_one_bit_flipped(content: bytes) -> bytes:
    """Far behind the beginning of an array: the exponent of a number."""
    place = len(content) // 2 | 3
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


DAMAGES = [
    cut_short, empty, without_its_end, overwritten, of_zeros, with_a_tail_of_zeros,
    with_one_bit_flipped, something_else,
]  # fmt: skip


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
    whole_file = path.with_suffix(".whole")
    whole_file.write_bytes(whole)
    path.unlink()  # a file of its own, as this process may have mapped the other
    path.write_bytes(damage(whole))
    monkeypatch.setattr(compilation, "compiled", lambda *_: machine_code(whole_file))
    assert np.array_equal(encode(), expected)
    assert len(SAID.findall(capfd.readouterr().err)) == 2  # weights as well, for the first time
    assert path.read_bytes() == whole


def machine_code(path: Path) -> bytes:
    return path.read_bytes()[: -code_files.END]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Other bytes: some flipped, cut out, put in, or overwritten with zeros."""
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice([1, 1, 1, 8, 100, 5000]))
    middle = content[start:end]
    other = chance.choice(
        [
            bytes([middle[0] ^ 1 << chance.randrange(8)]) + middle[1:],
            chance.randbytes(len(middle)),
            bytes(len(middle)),
            b"",
            middle + chance.randbytes(3),
        ]
    )
    return content[:start] + other + content[end:]


@pytest.mark.parametrize("kind", ["weights", "kernels", "weights.checked", "kernels.checked"])
def test_random_damage_is_repaired_before_use(
    kind: str,
    cache: Path,
    code: Path,
    expected: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """300 files, each with its own damage: the right vector, and the file is whole again."""
    monkeypatch.setattr(compilation, "compiled", lambda *_: machine_code(code))
    encode()
    chance, path = random.Random(kind), only(cache, kind)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = mutated(path.read_bytes(), chance)
        path.unlink()
        path.write_bytes(damaged)
        assert np.array_equal(encode(), expected)
        assert kind.endswith("checked") or path.read_bytes() == whole


def test_a_file_is_read_through_once_and_then_trusted(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode()
    checked = counting(monkeypatch, "check")
    encode()
    assert checked == []
    os.utime(only(cache, "weights"))
    encode()
    encode()
    assert len(checked) == 1


def counting(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """The files on which this function of `arrays` is called from now on."""
    function, files = getattr(array_files, name), []

    def counted(file: BinaryIO, *rest: object) -> object:
        files.append(file)
        return function(file, *rest)

    monkeypatch.setattr(array_files, name, counted)
    return files


def test_damage_that_hides_behind_the_old_time_is_noticed(
    cache: Path, expected: NDArray[np.float32]
) -> None:
    encode()
    path = only(cache, "weights")
    found = path.stat()
    path.write_bytes(with_one_bit_flipped(path.read_bytes()))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert np.array_equal(encode(), expected)


def test_what_is_checked_is_what_is_used(
    cache: Path, expected: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file takes the name between the check and the mapping."""
    encode()
    path, check = only(cache, "weights"), array_files.check
    whole = path.read_bytes()

    def exchange(file: BinaryIO) -> None:
        check(file)
        other = path.with_suffix(".other")
        other.write_bytes(with_one_bit_flipped(whole))
        other.replace(path)

    os.utime(path)
    monkeypatch.setattr(array_files, "check", exchange)
    assert np.array_equal(encode(), expected)
    monkeypatch.undo()
    monkeypatch.setenv("BGE_CACHE", str(cache))
    assert np.array_equal(encode(), expected)
    assert path.read_bytes() == whole


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
    monkeypatch.setattr(compilation, "compiled", lambda *_: machine_code(code))
    with pytest.warns(UserWarning, match="nothing is kept in") as caught:
        assert np.array_equal(encode(), expected)
        assert np.array_equal(encode(), expected)
    assert len(caught) == 1 and "BGE_CACHE" in str(caught[0].message)


def test_a_full_disk_gives_one_warning(
    cache: Path, expected: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the file is written; what was written is taken away."""
    write, tries = array_files.write, list[BinaryIO]()

    def full(file: BinaryIO, content: Any) -> None:
        write(file, content)
        tries.append(file)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_files, "write", full)
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
from engine.fast.weights import array_files
write = array_files.write
def slow(file, content):
    write(file, content)
    file.truncate(5000)
    print("half", flush=True)
    time.sleep(600)
array_files.write = slow
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
    with only(cache, "weights").open("rb") as file:
        array_files.check(file)
    assert not list(cache.glob("*.part"))


# keys


def weights_file(precision: str, target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the file that would be looked for."""
    names: list[str] = []
    monkeypatch.setattr(prepared, "kept", lambda _, name, *__: names.append(name))
    folder = checkpoints.tiny()
    prepared.weights(folder, read_config(folder), Shape(TARGETS[target], precision))
    return names[0]


def kernels_file(precision: str, target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    names: list[str] = []

    monkeypatch.setattr(prepared, "kept", lambda _, name, *__: names.append(name))
    prepared.kernels(Shape(TARGETS[target], precision))
    return names[0]


def test_what_is_said_while_compiling_has_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(prepared, "kept", lambda *given: said.append(given[-1]))
    for advice in ("", "no AVX2 is visible"):
        monkeypatch.setattr(prepared, "advice", lambda advice=advice: advice)
        prepared.kernels(Shape(TARGETS["sse2"], "int8"))
        prepared.prepare_kernels(Shape(TARGETS["neon"], "int8"))
    assert said == [
        "compiling kernels for this CPU (sse2, int8)",
        "compiling kernels for a kind of CPU (neon, int8)",
        "compiling kernels for this CPU (sse2, int8; no AVX2 is visible)",
        "compiling kernels for a kind of CPU (neon, int8)",
    ]


@pytest.mark.parametrize("file", [weights_file, kernels_file])
def test_a_name_for_each_target_and_precision(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [file(p, t, monkeypatch) for p in ("float32", "int16", "int8") for t in TARGETS]
    assert len(set(names)) == len(names) == 3 * len(TARGETS)
    assert file("int8", "avx2", monkeypatch) in names


@pytest.mark.parametrize(
    ("file", "module"),
    [
        *((weights_file, module) for module in prepared.WEIGHT_SOURCES),
        *((kernels_file, module) for module in prepared.KERNEL_SOURCES),
    ],
)
def test_another_name_when_a_source_changes(
    file: Callable[..., str], module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file("int8", "avx2", monkeypatch)
    copy = tmp_path / "engine"
    shutil.copytree(prepared.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(prepared, "PACKAGE", copy)
    prepared._source.cache_clear()
    assert file("int8", "avx2", monkeypatch) == before
    with copy.joinpath(*module.split(".")).with_suffix(".py").open("a") as source:
        source.write("\n")
    prepared._source.cache_clear()
    assert file("int8", "avx2", monkeypatch) != before
    monkeypatch.undo()
    prepared._source.cache_clear()


def test_another_name_when_numpy_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_file("int8", "avx2", monkeypatch)
    monkeypatch.setattr(prepared.np, "__version__", "99.0")
    assert weights_file("int8", "avx2", monkeypatch) != before


def test_another_name_when_the_compiler_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kernels_file("int8", "avx2", monkeypatch)
    monkeypatch.setattr(prepared, "_versions", lambda: ["99.0", "99.0"])
    assert kernels_file("int8", "avx2", monkeypatch) != before


def test_another_name_when_the_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_file("int8", "avx2", monkeypatch)
    monkeypatch.setattr(prepared.registry, "weights_hash", lambda folder: "0" * 64)
    assert weights_file("int8", "avx2", monkeypatch) != before


NEUTRAL = {  # imported by those that matter, without a say in the numbers: messages and folders
    "errors", "system.cpu", "system.folders",
}  # fmt: skip


def imports(module: str) -> set[str]:
    """The modules of this package that a module's source imports, named as after `engine.`."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("engine.")
                is_module = PACKAGE.joinpath(*whole.split(".")).with_suffix(".py").is_file()
                found.add(whole if is_module else whole.rpartition(".")[0])
    return found


@pytest.mark.parametrize(
    ("roots", "sources"),
    [
        (["fast.encoder", "fast.codegen.compilation"], prepared.KERNEL_SOURCES),
        (
            [
                "fast.weights.packing",
                "fast.weights.array_files",
                "checkpoint.weights",
                "checkpoint.config",
            ],
            prepared.WEIGHT_SOURCES,
        ),
    ],
)
def test_every_source_that_matters_is_in_the_key(
    roots: list[str], sources: tuple[str, ...]
) -> None:
    reached: set[str] = {"_version"}
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module not in reached | NEUTRAL:
            reached.add(module)
            todo += imports(module)
    assert reached == set(sources)


def test_bge_cache_and_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BGE_CACHE", str(tmp_path))
    assert folders.prepared_home() == tmp_path
    monkeypatch.delenv("BGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folders.prepared_home() == tmp_path / "bge-engine" / "prepared"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folders.prepared_home() == tmp_path / ".cache" / "bge-engine" / "prepared"
    monkeypatch.setenv("BGE_CACHE", "~/prepared")
    assert folders.prepared_home() == tmp_path / "prepared"


def test_an_unknown_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "BGE_TARGET", "pentium")
    with pytest.raises(ValueError, match=r"BGE_TARGET is 'pentium'; this CPU runs .*\w"):
        host_target()
