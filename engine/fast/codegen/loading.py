"""Machine code -> the function `encode(job, worker)`, called by address and without numba.

On Linux the code is a shared object (`shared_object`), mapped by the system's loader. Elsewhere it
is an object file, which LLVM places in memory.
"""

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from engine.errors import EngineError

SYMBOL = "encode"
Encode = Callable[[int, int], None]
FORBIDDEN = (
    "this process may not {what}, which compiled kernels need. Something forbids it: {cause}. "
    'Allow it for this process, or use precision="reference". ({error})'
)

_libraries: dict[bytes, ctypes.CDLL] = {}  # by the SHA-256 of their code; never unloaded


class Code:
    """`encode(job, worker)`: addresses of a JOB and of a WORKER (`fast.job`)."""

    def __init__(self, address: int, needed: object) -> None:
        # Called through ctypes, which releases the interpreter's lock during the call.
        kinds = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        self._function = ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(address)
        # numba's own convention: first where to put a result and an error, of which there are none
        self._nowhere = (ctypes.c_int64 * 2)()
        self._result = ctypes.addressof(self._nowhere)
        self._needed = needed  # lives as long as the function may be called

    def __call__(self, job: int, worker: int) -> None:
        self._function(self._result, self._result + 8, job, worker)


def load(file: BinaryIO, code: bytes) -> Code:
    """The function in `code`, which is the beginning of the open file."""
    return _mapped(file, code) if sys.platform == "linux" else _placed(code)


def _mapped(file: BinaryIO, code: bytes) -> Code:
    digest = hashlib.sha256(code).digest()
    if digest not in _libraries:
        try:
            library = _library(file)
        except OSError:  # on a file system that is mounted "noexec", say
            library = _from_memory(code)
        _libraries[digest] = library
    try:
        address = ctypes.cast(_libraries[digest][SYMBOL], ctypes.c_void_p).value
    except AttributeError:
        address = None
    return Code(_found(address), _libraries[digest])


def _library(file: BinaryIO) -> ctypes.CDLL:
    # By the descriptor, so that what was checked is what is mapped. A descriptor's number may come
    # again, and for a path that it has seen the loader gives what it has: no path comes twice.
    return ctypes.CDLL(f"/proc/self/fd/{'./' * len(_libraries)}{file.fileno()}")


def _from_memory(code: bytes) -> ctypes.CDLL:
    try:
        with os.fdopen(os.memfd_create("bge-kernels"), "wb") as file:
            file.write(code)
            file.flush()
            return _library(file)
    except OSError as error:
        raise EngineError(
            FORBIDDEN.format(
                what="map a file of machine code",
                cause='the cache folder is mounted "noexec", and files in memory are forbidden too',
                error=error,
            )
        ) from error


def _placed(code: bytes) -> Code:
    import llvmlite.binding as llvm

    check_allowed()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # MCJIT here only places the object file in memory and applies its relocations.
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return Code(_found(engine.get_function_address(SYMBOL)), engine)


def _found(address: int | None) -> int:
    if not address:
        raise EngineError(f"the compiled kernels have no function {SYMBOL}; this is a bug.")
    return address


def check_allowed() -> None:
    """Raises EngineError where the system lets no process make memory executable, as LLVM does."""
    import llvmlite.binding as llvm

    try:
        llvm.check_jit_execution()
    except OSError as error:
        raise EngineError(
            FORBIDDEN.format(
                what="make memory executable",
                cause="MemoryDenyWriteExecute=yes in a systemd unit, PR_SET_MDWE, or SELinux. On "
                "Linux only the first use needs it: `bge prepare`, run without it",
                error=error,
            )
        ) from error
