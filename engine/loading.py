"""`engine.load`: from a name or a folder to an `Embedder`."""

import warnings
from pathlib import Path

from engine import registry
from engine.checkpoint import load_weights
from engine.config import Config, read_config
from engine.cores import usable_cores
from engine.embedder import Embedder, Encoder
from engine.errors import InputError
from engine.reference import ReferenceEncoder

PRECISIONS = ("float32", "int16", "int8", "reference")


def load(
    model: str | Path,
    *,
    precision: str = "float32",
    threads: int | None = None,
    offline: bool = False,
    revision: str | None = None,
) -> Embedder:
    """An `Embedder` for a known name ("bge-base-en-v1.5") or a checkpoint folder.

    precision: "float32", "int16" and "int8" are the fast path, "reference" is the readable model.
    threads: by default the cores that this process may use. offline: never open a connection.
    Raises ModelNotFound, CheckpointError, InputError.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; it may be one of {', '.join(PRECISIONS)}.")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}; it may be a positive integer, or None for all.")
    folder = registry.locate(model, offline=offline, revision=revision)
    config, threads = read_config(folder), threads or usable_cores()
    encoder = _encoder(folder, config, precision, threads)
    entry = registry.find(model, revision)
    return Embedder(folder, config, encoder, entry=entry, precision=precision, threads=threads)


def _encoder(folder: Path, config: Config, precision: str, threads: int) -> Encoder:
    if precision == "reference" or (precision == "float32" and not _has_kernels()):
        return ReferenceEncoder(load_weights(folder, config), config, threads)
    from engine.fast.runner import FastEncoder

    return FastEncoder(folder, config, precision, threads)


def _has_kernels() -> bool:
    from engine.fast.target import able_targets

    able = bool(able_targets())
    if not able:
        warnings.warn("no kernels for this kind of CPU: computing with numpy", stacklevel=4)
    return able
