"""Kernels -> machine code that runs without numba, and without anything else.

numba compiles `encoder.encode` to LLVM's language for the wanted CPU; what it adds for Python
(wrappers, reference counts) is thrown away, and LLVM makes an object file of the rest, which needs
no symbol from outside. On Linux it becomes a shared object (`shared_object`).

The compiler is a process of its own. What it makes is kept for every later process, so it depends
on nothing but the installation: its modules come from the standard library, this package and the
folders in which numba, llvmlite and numpy are installed, never from the working directory; of the
environment it sees KEPT alone, so no variable of numba or Python; and it works in this package's
folder, for numba reads a configuration file where it works.
"""

import os
import site
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from engine.errors import EngineError
from engine.fast.codegen.loading import SYMBOL, check_allowed
from engine.fast.codegen.shared_object import link
from engine.fast.codegen.target import Target
from engine.system.folders import is_working_folder

PACKAGE = Path(__file__).parents[2]
COMPILER = ("numba", "llvmlite", "numpy")
KEPT = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT",
    "TMPDIR", "TEMP", "TMP",
)  # fmt: skip
START = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
package, *homes = sys.argv[1:]
sys.path += homes
spec = spec_from_file_location("engine", f"{package}/__init__.py")
sys.modules["engine"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["engine"])
from engine.fast.codegen.compilation import main
main()
"""


def environment(target: Target, precision: str) -> dict[str, str]:
    """All that the compiler finds in its environment: what to compile, and for which CPU."""
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "BGE_COMPILE_FOR": target.name,
        "BGE_COMPILE_PRECISION": precision,
        # for another architecture numba's own code is not used, see `numba_vectors`
        "NUMBA_CPU_NAME": "generic" if target.is_foreign else target.cpu,
        "NUMBA_CPU_FEATURES": "" if target.is_foreign else target.features,
    }


def search_path() -> list[str]:
    """Where packages are installed: `sys.path` without the working directory, PYTHONPATH last."""
    # numba is found where it is installed, never beside the user's script.
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    added = {os.path.abspath(folder) for folder in given}  # noqa: PTH100  as Python itself does

    def rank(folder: str) -> int:
        return (folder not in installed) + (folder in added)

    return sorted((p for p in sys.path if p in installed or not is_working_folder(p)), key=rank)


def command() -> list[str]:
    """The compiler's process: -I and -S leave Python with its standard library alone."""
    specs = [PathFinder.find_spec(name, search_path()) for name in COMPILER]
    homes = [str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin]
    return [sys.executable, "-I", "-S", "-c", START, str(PACKAGE), *dict.fromkeys(homes)]


def compiled(target: Target, precision: str) -> bytes:
    """The code, compiled in a process of its own: numba and LLVM stay out of this one."""
    # numba makes memory executable while it compiles.
    check_allowed()
    try:
        done = subprocess.run(
            # The environment is made from nothing: a variable that is not in it cannot matter.
            command(),
            env=environment(target, precision),
            cwd=PACKAGE,
            capture_output=True,
        )
        complaint = done.stderr.decode(errors="replace")[-2000:]
    except OSError as error:
        complaint = f"the process did not start: {error}"
    else:
        if done.returncode == 0:
            return done.stdout
    raise EngineError(
        f"the kernels for {target.name} in {precision} could not be compiled; "
        f'precision="reference" works without them. The compiler said:\n{complaint}'
    )


def llvm_ir() -> str:
    """`encoder.encode` as numba optimised it, in LLVM's language, under the name SYMBOL."""
    from engine.fast.codegen.numba_vectors import without_stand_ins
    from engine.fast.encoder import SIGNATURE, encode

    # One signature, so one compiled version; its name is numba's own, so it gets ours.
    encode.compile(SIGNATURE)
    (overload,) = encode.overloads.values()
    text = overload.library.get_llvm_str().replace(overload.fndesc.llvm_func_name, SYMBOL)
    return without_stand_ins(text)


def triple_of(target: Target) -> str:
    """This system, with the target's architecture."""
    import llvmlite.binding as llvm

    host = llvm.get_process_triple()
    return f"{target.architecture}{host[host.index('-') :]}" if target.is_foreign else host


def module_for(text: str, triple: str, cpu: str, features: str):
    """LLVM's module and machine for any CPU, with nothing but `encode` and what it calls."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    # "pic": the code may be put anywhere in memory. "small": all of it close together.
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic",
        codemodel="small" if "linux" in triple else "jitdefault",
    )  # fmt: skip
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = triple, str(machine.target_data)
    # All else becomes private to the module, so that what `encode` does not call can be removed:
    # numba's wrappers for Python.
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != SYMBOL:
            value.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return module, machine


def main() -> None:
    """In the compiler's process: writes the code to standard output, and nothing else."""
    # LLVM and numba may print. Standard output is for the code alone.
    output = os.dup(1)
    os.dup2(2, 1)

    from engine.fast.codegen.constants import TARGET

    triple = triple_of(TARGET)
    module, machine = module_for(llvm_ir(), triple, TARGET.cpu, TARGET.features)
    # A function of the C library, such as expf, would be missing where nothing links the code.
    undefined = [f.name for f in module.functions if f.is_declaration and "llvm." not in f.name]
    if undefined:
        raise SystemExit(f"the kernels call what will not be there: {', '.join(undefined)}")
    with os.fdopen(output, "wb") as file:
        code = machine.emit_object(module)
        file.write(link(code) if "linux" in triple else code)
