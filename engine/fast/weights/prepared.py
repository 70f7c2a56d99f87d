"""What is made once and kept: packed weights, and machine code.

Both lie in one folder of the user's cache ($BGE_CACHE), under names that are hashes of all they
depend on: the checkpoint, the precision, the kind of CPU, the source of this package that makes
them, the versions of this package, numpy, numba and LLVM. So a stale file is never found;
`engine.fast.weights.cache` makes a damaged one again.
"""

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np

from engine.catalog import registry
from engine.checkpoint.config import Config
from engine.checkpoint.weights import load_weights
from engine.fast.codegen import compilation
from engine.fast.codegen.loading import Code
from engine.fast.codegen.target import advice
from engine.fast.weights import array_files, code_files
from engine.fast.weights.array_files import Arrays
from engine.fast.weights.cache import Content, Kind, kept
from engine.fast.weights.packing import Shape, packed
from engine.system import folders

PACKAGE = Path(__file__).parents[2]
SHIPPED = PACKAGE / "fast" / "shipped"  # kernels that came with a wheel, see `shipped`
# Modules whose text decides the result. A test walks their imports and misses none.
KERNEL_SOURCES = (
    "_version", "fast.barrier", "fast.encoder", "fast.integer_attention", "fast.integer_scores",
    "fast.integers", "fast.job", "fast.kernels", "fast.layers",
    "fast.codegen.amx", "fast.codegen.compilation", "fast.codegen.constants",
    "fast.codegen.dot_products", "fast.codegen.loading", "fast.codegen.micro_kernel",
    "fast.codegen.numba_vectors",
    "fast.codegen.records", "fast.codegen.shared_object", "fast.codegen.shuffles",
    "fast.codegen.simd", "fast.codegen.target",
    "fast.weights.precisions", "fast.weights.quantize",
)  # fmt: skip
WEIGHT_SOURCES = (
    "_version", "literals", "checkpoint.config", "checkpoint.json_files", "checkpoint.module_list",
    "checkpoint.tensor_files", "checkpoint.weights", "fast.codegen.target",
    "fast.weights.array_files", "fast.weights.packing", "fast.weights.precisions",
    "fast.weights.quantize",
)  # fmt: skip


def weights(folder: Path, config: Config, shape: Shape) -> Arrays:
    """The packed arrays of a checkpoint, memory-mapped; made now if they are not there."""
    # The content of the weights, not their path: a folder that moves keeps its prepared files.
    model = registry.weights_hash(folder), repr(config), np.__version__
    key = _key(WEIGHT_SOURCES, shape.precision, shape.target.name, *model)
    stem = f"{folder.resolve().name}-{shape.precision}-{shape.target.name}"
    return kept(
        folders.prepared_home(),
        f"{stem}-{key}.weights",
        array_files,
        lambda: packed(load_weights(folder, config), shape),
        f"preparing the weights of {folder.name} in {shape.precision}",
    )


def kernels(shape: Shape) -> Code:
    """`encode` for this CPU; compiled now if it is neither shipped nor kept."""
    return _kernels(shape, code_files, "this CPU")


def prepare_kernels(shape: Shape) -> None:
    """The same for any CPU: made, and not loaded."""
    _kernels(shape, code_files.Unloaded(), "a kind of CPU")


def shipped_name(shape: Shape) -> str:
    """The name of the file that ships the kernels of this very source, whatever compiled it."""
    key = _key(KERNEL_SOURCES, shape.precision, shape.target.name)
    return f"{shape.target.name}-{shape.precision}-{key}.kernels"


def _kernels(shape: Shape, kind: Kind[bytes, Content], whose: str) -> Content:
    target, precision = shape.target, shape.precision
    # Trusted as the modules beside it are.
    with (
        contextlib.suppress(FileNotFoundError, array_files.Damaged),
        (SHIPPED / shipped_name(shape)).open("rb") as file,
    ):
        return kind.read(file)
    key = _key(KERNEL_SOURCES, precision, target.name, *_versions())
    facts = f"{target.name}, {precision}", "" if target.is_foreign else advice()
    return kept(
        folders.prepared_home(),
        f"{target.name}-{precision}-{key}.kernels",
        kind,
        lambda: compilation.compiled(target, precision),
        f"compiling kernels for {whose} ({'; '.join(filter(None, facts))})",
    )


@cache
def _source(modules: tuple[str, ...]) -> bytes:
    """The text of modules of this package, each named as after `engine.`."""
    paths = (PACKAGE.joinpath(*name.split(".")).with_suffix(".py") for name in modules)
    return b"".join(path.read_bytes() for path in paths)


def _versions() -> Iterator[str]:
    """Of numba and llvmlite, neither of them imported: that would cost more than all the rest."""
    path = compilation.search_path()
    for name in ("numba", "llvmlite"):
        # the file's text, because importing either package takes longer than loading a model
        spec = PathFinder.find_spec(name, path)
        yield Path(spec.origin).with_name("_version.py").read_text() if spec and spec.origin else ""


def _key(modules: tuple[str, ...], *parts: str) -> str:
    # The platform too: a home directory may be shared by machines of several kinds.
    text = "\n".join((*parts, sys.platform, sys.byteorder)).encode()
    return hashlib.sha256(_source(modules) + text).hexdigest()[:32]
