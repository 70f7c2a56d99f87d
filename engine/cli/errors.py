"""Turns an exception into the command's error message.

The exception is an error of the engine, a problem of the environment, or a bug.
"""

import engine
from engine.errors import EngineError

COMPILER = ("numba", "llvmlite")
NO_THREAD = "can't start new thread"  # CPython's message if the system refuses a new thread


def explain(error: Exception) -> str:
    """The message for `error`. An unknown kind of exception is presented as a bug to report."""
    if isinstance(error, EngineError):
        return str(error)
    return _environment(error) or (
        f"a bug in bge-engine {engine.__version__}: {type(error).__name__}: {error}\n"
        "Please report it with the traceback that --debug (or BGE_DEBUG=1) shows."
    )


def _environment(error: Exception) -> str | None:
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return f"{what}: {error.filename}" if error.filename else what
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory."
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{error.object[error.start : error.end]!r} cannot be written in the encoding "
            f"{error.encoding}; use a UTF-8 locale, or set PYTHONUTF8=1."
        )
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return "the system cannot start more threads; lower --threads, or raise ulimit -u."
    if isinstance(error, ImportError) and not _is_ours(error.name):
        return (
            f"a package cannot be imported: {error}. Install it again: "
            "pip install --force-reinstall bge-engine"
        )
    if type(error).__module__.partition(".")[0] in COMPILER:
        return (
            f"the compiler failed: {type(error).__name__}: {error}\nCheck that the versions of "
            "numba and llvmlite fit (run: pip check), or use --precision reference, which needs no "
            "compiler."
        )
    return None


def _is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "engine"
