"""`engine.load`: from a name or a folder to an `Embedder`."""

import warnings
from pathlib import Path

from engine.catalog import registry
from engine.checkpoint.config import Config, read_config
from engine.checkpoint.weights import load_weights
from engine.embedder import Embedder
from engine.literals import PRECISIONS, Precision
from engine.options import callers_level, check_choice, check_count
from engine.reference import ReferenceEncoder
from engine.system.cores import usable_cores
from engine.token_embedder import Encoder
from engine.vectors.modules import load_modules


def load(
    model: str | Path,
    *,
    precision: Precision = "float32",
    threads: int | None = None,
    offline: bool = False,
    revision: str | None = None,
) -> Embedder:
    """An `Embedder` for a known name ("bge-base-en-v1.5"), a hub name, or a checkpoint folder.

    precision: "float32", "int16" and "int8" run compiled kernels, "reference" the readable model.
    threads: default, all cores that this process may use. offline: never open a connection.
    Raises ModelNotFound, CheckpointError, InputError.
    """
    check_choice("precision", precision, PRECISIONS)
    if threads is not None:
        threads = check_count("threads", threads)
    folder, entry = registry.resolve(model, offline=offline, revision=revision)
    return load_folder(folder, entry, precision, threads)


def prepare(
    model: str | Path,
    *,
    precision: Precision = "float32",
    target: str | None = None,
    offline: bool = False,
    revision: str | None = None,
) -> None:
    """Compiles kernels and packs weights now, so that `load` finds both in the user's cache.

    target: the kind of CPU, which this machine need not be: for an image that runs elsewhere.
    Default, this machine's. Raises as `load` does, and EngineError where nothing can be compiled.
    """
    check_choice("precision", precision, tuple(name for name in PRECISIONS if name != "reference"))
    folder, _ = registry.resolve(model, offline=offline, revision=revision)
    config = read_config(folder.absolute())
    from engine.fast.codegen.target import named_target
    from engine.fast.weights import prepared
    from engine.fast.weights.packing import Shape

    shape = Shape(named_target(target), precision)
    prepared.prepare_kernels(shape)
    prepared.weights(config.transformer, config, shape)


def load_folder(
    folder: Path, entry: registry.Entry | None, precision: Precision, threads: int | None
) -> Embedder:
    """An `Embedder` for a folder; `entry` is the registry's, if the model is a known one.

    Copies of an embedder, and unpickled ones, are loaded by this function.
    """
    folder = folder.absolute()
    config, count = read_config(folder), threads or usable_cores()
    return Embedder(
        folder,
        config,
        load_modules(config.after_pooling, config.hidden),
        _encoder(config, precision, count),
        entry=entry,
        precision=precision,
        threads=count,
        reload=(load_folder, (folder, entry, precision, threads)),
    )


def _encoder(config: Config, precision: str, threads: int) -> Encoder:
    folder = config.transformer
    if precision == "reference" or (precision == "float32" and not _has_kernels()):
        return ReferenceEncoder(load_weights(folder, config), config, threads)
    from engine.fast.runtime.fast_encoder import FastEncoder

    return FastEncoder(folder, config, precision, threads)


def _has_kernels() -> bool:
    from engine.fast.codegen.target import able_targets

    able = bool(able_targets())
    if not able:
        warnings.warn(
            "no compiled kernels for this kind of CPU; computing with numpy",
            stacklevel=callers_level(),
        )
    return able
