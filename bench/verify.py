"""Checks the vectors of an engine against reference vectors before it is timed."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.checkpoints import Checkpoint, cache_folder
from bench.machine import version
from bench.peers.registry import FLOAT32, find_engine, is_installed
from bench.texts import Case, fingerprint
from bench.workers import EngineFailed, Vectors, Worker

VERIFIED = 500  # texts of a case that are compared, at most
EXACT = 1e-4  # a float32 engine further than this from the truth computes something else
ALIKE = 0.5  # and so does a quantised one whose cosine with it is lower


def teller() -> str:
    """The reference engine: transformers, or our own reference model if that is not installed."""
    return "transformers" if is_installed(find_engine("transformers")) else "ours-reference"


def true_vectors(
    checkpoint: Checkpoint, cases: Sequence[Case], worker: Callable[[str], Worker]
) -> dict[str, Vectors]:
    """Of the first VERIFIED texts of each case. What transformers says is kept in the cache folder,
    and asked for once."""
    edition = version("transformers") if teller() == "transformers" else str(time.time_ns())
    kind = f"{checkpoint.weights_hash[:12]}-{edition}"
    files = {
        case.name: cache_folder() / f"truth-{kind}-{fingerprint(case.texts[:VERIFIED])[:12]}.npy"
        for case in cases
    }
    if not all(file.exists() for file in files.values()):
        with worker(teller()) as truthful:
            for name, file in files.items():
                if not file.exists():  # cases may share their texts
                    np.save(file, truthful.encode(name, first=VERIFIED)[0])
    return {name: np.load(file) for name, file in files.items()}


def compare(vectors: Vectors, truth: Vectors, result: dict[str, Any]) -> None:
    """Raise `max_difference` and `cosine_error` of the result to those of these vectors, and
    `cosine_mean` to their mean error."""
    if vectors.shape != truth.shape or not np.isfinite(vectors).all():
        raise EngineFailed(
            f"its vectors have shape {vectors.shape}, where {truth.shape} is expected, or are not "
            "all finite"
        )
    exact = vectors.astype(np.float64), truth.astype(np.float64)
    difference = float(np.abs(exact[0] - exact[1]).max())
    lengths = np.linalg.norm(exact[0], axis=1) * np.linalg.norm(exact[1], axis=1)
    errors = 1 - (exact[0] * exact[1]).sum(axis=1) / lengths
    result["max_difference"] = max(result.get("max_difference", 0.0), difference)
    result["cosine_error"] = max(result.get("cosine_error", 0.0), float(errors.max()))
    result["cosine_mean"] = max(result.get("cosine_mean", 0.0), float(errors.mean()))


def check(engine: str, result: dict[str, Any]) -> None:
    """Raises EngineFailed for an engine too far from the truth to be worth timing."""
    if find_engine(engine).precision == FLOAT32 and result["max_difference"] > EXACT:
        raise EngineFailed(f"its vectors are wrong, by {result['max_difference']:.1e}")
    if result["cosine_error"] > 1 - ALIKE:
        raise EngineFailed(
            f"its vectors are wrong: the cosine is {1 - result['cosine_error']:.3f}, and it must "
            f"be at least {ALIKE}"
        )
