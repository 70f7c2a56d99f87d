"""What is made once and kept: packed weights, and machine code.

Both lie in one folder of the user's cache ($BGE_CACHE), under names that are hashes of all they
depend on: the checkpoint, the precision, the kind of CPU, the source of this package, the
versions of numba and LLVM. So a stale file is never found; a damaged one is noticed and made
again. Files appear under their names only when whole, and one process makes a file while others
wait for it. Whoever makes one takes away those in its place that nobody has read for a month.
"""

import contextlib
import glob
import hashlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from numpy.typing import NDArray

from engine import registry
from engine.checkpoint import load_weights
from engine.config import Config
from engine.fast import arrays, compile
from engine.fast.pack import Shape, packed

Kept = TypeVar("Kept")
MONTH = 30 * 24 * 3600.0

KERNEL_SOURCES = (
    "build", "compile", "encoder", "gemm", "integers", "kernels", "layout", "linear", "simd",
    "steps", "target", "tasks", "teach",
)  # fmt: skip
WEIGHT_SOURCES = ("arrays", "pack", "quantize", "target")


def cache_folder() -> Path:
    """$BGE_CACHE, or the user's cache folder."""
    if said := os.environ.get("BGE_CACHE"):
        return Path(said)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bge-engine" / "prepared"


def weights(folder: Path, config: Config, shape: Shape) -> Mapping[str, NDArray]:
    """The packed arrays of a checkpoint, memory-mapped; made now if they are not there."""
    parts = (registry.weights_hash(folder), shape.precision, shape.target.name, repr(config))
    stem = f"{folder.resolve().name}-{shape.precision}-{shape.target.name}"
    path = cache_folder() / f"{stem}-{_key(WEIGHT_SOURCES, *parts)}.weights"

    def make(target: Path) -> None:
        arrays.write(target, packed(load_weights(folder, config), shape))

    what = f"preparing the weights of {folder.name} in {shape.precision}"
    return _kept(path, arrays.read, make, what)


def kernels(shape: Shape) -> tuple[compile.Encode, object]:
    """`encode` for this CPU, as `compile.load` gives it; compiled now if it is not there."""
    key = _key(KERNEL_SOURCES, shape.precision, shape.target.name, *_versions())
    path = cache_folder() / f"{shape.target.name}-{shape.precision}-{key}.kernels"

    def make(target: Path) -> None:
        code = compile.compiled(shape.target, shape.precision)
        target.write_bytes(hashlib.sha256(code).digest() + code)

    what = f"compiling kernels for this CPU ({shape.target.name}, {shape.precision})"
    return compile.load(_kept(path, _code, make, what))


def _code(path: Path) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise ValueError(f"{path} is damaged")
    return content[32:]


@cache
def _source(modules: tuple[str, ...]) -> bytes:
    folder = Path(__file__).parent
    return b"".join((folder / f"{name}.py").read_bytes() for name in modules)


def _versions() -> Iterator[str]:
    """Of numba and llvmlite, neither of them imported: that would cost more than all the rest."""
    for name in ("numba", "llvmlite"):
        spec = find_spec(name)
        yield Path(spec.origin).with_name("_version.py").read_text() if spec and spec.origin else ""


def _key(modules: tuple[str, ...], *parts: str) -> str:
    text = "\n".join((*parts, sys.platform, sys.byteorder)).encode()
    return hashlib.sha256(_source(modules) + text).hexdigest()[:32]


def _kept(
    path: Path, read: Callable[[Path], Kept], make: Callable[[Path], None], what: str
) -> Kept:
    """What `read` finds at `path`, which `make` writes where it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError):
        return read(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.with_suffix(".lock")):
            with contextlib.suppress(OSError, ValueError):  # another process made it meanwhile
                return read(path)
            return _made(path, read, make, what)
    except OSError as error:
        _warn(path.parent, str(error))
    with tempfile.TemporaryDirectory(prefix="bge-") as folder:
        return _made(Path(folder) / path.name, read, make, what)


@cache
def _warn(folder: Path, error: str) -> None:
    """Once, though it holds for weights and machine code alike."""
    warnings.warn(
        f"nothing can be kept in {folder} ({error}), so every process compiles kernels and "
        "prepares weights again. Set BGE_CACHE to a folder that can be written.",
        stacklevel=2,
    )


def _made(
    path: Path, read: Callable[[Path], Kept], make: Callable[[Path], None], what: str
) -> Kept:
    began = time.monotonic()
    print(f"bge-engine: {what}, once ...", file=sys.stderr, flush=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        make(part)
        part.replace(path)
        _remove_stale(path)
    finally:
        part.unlink(missing_ok=True)
    print(f"bge-engine: done in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return read(path)


def _remove_stale(path: Path) -> None:
    """Files made for the same by other versions: hundreds of megabytes each. Who still has one
    mapped keeps it; another version in use makes it again."""
    stem = path.name.rpartition("-")[0]
    for other in path.parent.glob(f"{glob.escape(stem)}-{'?' * 32}{path.suffix}"):
        with contextlib.suppress(OSError):
            found = other.stat()
            if max(found.st_atime, found.st_mtime) < time.time() - MONTH:
                other.unlink()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process at a time; the lock goes with its process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: both make it, and the last one stays
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
