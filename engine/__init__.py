"""bge-engine: text embeddings on CPUs, from a BERT you can read.

    import engine

    embedder = engine.load("bge-base-en-v1.5")
    vectors = embedder.encode(["a cat", "a kitten"])  # (2, 768) float32, unit length

Importing this package loads nothing heavy; `load` does.
"""

import sys

from engine._version import __version__
from engine.errors import (
    CheckpointError,
    EngineError,
    InputError,
    ModelNotFound,
    NotFinite,
    Overloaded,
    TooLong,
    TruncationWarning,
    UnknownOption,
)

if sys.platform == "win32":
    raise ImportError(
        "bge-engine runs on Linux and macOS, not on Windows itself: locks and the kept kernels "
        "use what only POSIX has. Under WSL, the Linux in Windows, it works."
    )

# Not imported from typing: `python -m engine` could find a typing.py in the working directory.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.embedder import Embedder
    from engine.loading import load, prepare
    from engine.vectors.quantized import quantize

__all__ = [
    "CheckpointError",
    "Embedder",
    "EngineError",
    "InputError",
    "ModelNotFound",
    "NotFinite",
    "Overloaded",
    "TooLong",
    "TruncationWarning",
    "UnknownOption",
    "__version__",
    "load",
    "prepare",
    "quantize",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> "Any":
    if name in ("load", "prepare"):
        from engine import loading

        return getattr(loading, name)
    if name == "Embedder":
        from engine.embedder import Embedder

        return Embedder
    if name == "quantize":
        from engine.vectors.quantized import quantize

        return quantize
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
