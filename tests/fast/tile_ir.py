"""The tiles of one target as numba optimised them: LLVM's language, on standard output.

python -m tests.fast.tile_ir       in an environment made by `environment`
"""

import subprocess
import sys
from functools import cache

from engine.fast.codegen import compilation
from engine.fast.codegen.target import TARGETS
from tests.support.paths import ROOT


@cache
def ir(target: str) -> str:
    """What this file prints for a target, for any CPU's `compile.module_for`."""
    environment = compilation.environment(TARGETS[target], "float32")
    command = [sys.executable, "-m", "tests.fast.tile_ir"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def assembly(target: str, cpu: str) -> str:
    """The tiles of a target for a CPU by LLVM's name."""
    triple = f"{TARGETS[target].architecture}-unknown-linux-gnu"
    module, generator = compilation.module_for(ir(target), triple, cpu, TARGETS[target].features)
    return str(generator.emit_assembly(module))


def main() -> None:
    from engine.fast.codegen import micro_kernel
    from engine.fast.codegen.constants import TARGET
    from engine.fast.codegen.numba_vectors import int64, void, without_stand_ins
    from engine.fast.kernels import jit

    names = "float32", "attention", "attention_int16", "int16", "int8"
    float32, attention, attention_int16, int16, int8 = map(micro_kernel.tile, names)
    # Where a target has no such tile, another stands here twice.
    configure, release = micro_kernel.tile_registers("int8")
    bytes_ = "attention_int8" in TARGET.tiles
    attention_int8 = micro_kernel.tile("attention_int8") if bytes_ else int8

    @jit  # type: ignore[untyped-decorator]
    def tiles(m, a, lda, panel, steps, out, ldo):  # type: ignore[no-untyped-def]
        float32(m, a, lda, panel, steps, out, ldo)
        attention(m, a, lda, panel, steps, out, ldo)
        attention_int16(m, a, lda, panel, steps, out, ldo)
        attention_int8(m, a, lda, panel, steps, out, ldo)
        int16(m, a, lda, panel, steps, out, ldo)
        configure(m)
        int8(m, a, lda, panel, steps, out, ldo)
        release()

    tiles.compile(void(*[int64] * 7))
    (overload,) = tiles.overloads.values()
    text = overload.library.get_llvm_str().replace(
        overload.fndesc.llvm_func_name, compilation.SYMBOL
    )
    sys.stdout.write(without_stand_ins(text))


if __name__ == "__main__":
    main()
