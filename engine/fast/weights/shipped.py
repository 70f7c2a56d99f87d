"""Kernels for common CPUs that come with a wheel: nothing is compiled where it is installed.

    python -m engine.fast.weights.shipped

makes them in this package, before a wheel is built from the checkout. They are not committed; an
installation from a checkout has none and compiles at the first use. The wheel is for Linux only:
elsewhere machine code has another form, is not found, and is compiled.
"""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.fast.codegen import compilation
from engine.fast.codegen.target import TARGETS
from engine.fast.weights import code_files, prepared
from engine.fast.weights.packing import Shape
from engine.fast.weights.precisions import PRECISIONS
from engine.system.cores import usable_cores

COMMON = ("amx", "avx512vnni", "avx512", "avxvnni", "avx2", "i8mm", "dotprod", "neon")


def make(folder: Path, shapes: list[Shape]) -> None:
    """Compiles the kernels of each shape into the folder, which has nothing else afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    def write(shape: Shape) -> None:
        code = compilation.compiled(shape.target, shape.precision)
        with (folder / prepared.shipped_name(shape)).open("wb") as file:
            code_files.write(file, code)

    # Each is compiled in a process of its own.
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(write, shapes))


def main() -> None:
    shapes = [Shape(TARGETS[name], precision) for name in COMMON for precision in PRECISIONS]
    make(prepared.SHIPPED, shapes)
    size = sum(path.stat().st_size for path in prepared.SHIPPED.iterdir())
    print(f"{len(shapes)} files, {size / 1024:.0f} KiB, in {prepared.SHIPPED}", file=sys.stderr)


if __name__ == "__main__":
    main()
