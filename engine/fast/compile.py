"""Kernels -> machine code that runs without numba, and without anything else.

    python -m engine.fast.compile > encode.o       in an environment made by `environment`

numba compiles `encoder.encode` to LLVM's language for the wanted CPU; what it adds for Python
(wrappers, reference counts) is thrown away, and LLVM makes an object file of the rest. The file
needs no symbol from outside: `load` puts it into memory and calls it by address.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError
from engine.fast.target import Target

SYMBOL = "encode"
PACKAGE = Path(__file__).parents[1]
Encode = Callable[[int, int], None]


def environment(target: Target, precision: str) -> dict[str, str]:
    """What tells `engine.fast.build` and numba what to compile."""
    search = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        "BGE_COMPILE_FOR": target.name,
        "BGE_COMPILE_PRECISION": precision,
        "NUMBA_CPU_NAME": target.cpu,
        "NUMBA_CPU_FEATURES": target.features,
    }


def compiled(target: Target, precision: str) -> bytes:
    """The object file, compiled in a process of its own: numba and LLVM stay out of this one."""
    command = [sys.executable, "-m", "engine.fast.compile"]
    done = subprocess.run(command, env=environment(target, precision), capture_output=True)
    if done.returncode:
        raise EngineError(
            f"the kernels for {target.name} in {precision} could not be compiled; "
            'precision="reference" works without them. The compiler said:\n'
            + done.stderr.decode(errors="replace")[-2000:]
        )
    return done.stdout


def load(code: bytes) -> tuple[Encode, object]:
    """The function in an object file, as encode(job, scratch); and what must stay alive with it."""
    import llvmlite.binding as llvm

    _initialize(llvm)
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    # numba's own convention: where to put a result and an error (there are none), then arguments
    function = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
    )(engine.get_function_address(SYMBOL))
    nowhere = (ctypes.c_int64 * 2)()
    result, error = ctypes.addressof(nowhere), ctypes.addressof(nowhere) + 8

    def encode(job: int, scratch: int) -> None:
        function(result, error, job, scratch)

    return encode, (engine, nowhere)


def llvm_ir() -> str:
    """`encoder.encode` as numba optimised it, in LLVM's language, under the name SYMBOL."""
    from engine.fast.encoder import SIGNATURE, encode

    encode.compile(SIGNATURE)
    (overload,) = encode.overloads.values()
    return overload.library.get_llvm_str().replace(overload.fndesc.llvm_func_name, SYMBOL)


def module_for(text: str, triple: str, cpu: str, features: str):
    """LLVM's module and machine for any CPU, with nothing but `encode` and what it calls."""
    import llvmlite.binding as llvm

    _initialize(llvm)
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="jitdefault"
    )
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = triple, str(machine.target_data)
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != SYMBOL:
            value.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return module, machine


def _initialize(llvm) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def main() -> None:
    import llvmlite.binding as llvm

    from engine.fast.build import TARGET

    triple = llvm.get_process_triple()
    module, machine = module_for(llvm_ir(), triple, TARGET.cpu, TARGET.features)
    undefined = [f.name for f in module.functions if f.is_declaration and "llvm." not in f.name]
    if undefined:
        raise SystemExit(f"the kernels call what will not be there: {', '.join(undefined)}")
    sys.stdout.buffer.write(machine.emit_object(module))


if __name__ == "__main__":
    main()
