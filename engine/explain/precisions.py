"""`precision_errors`: how far a text's vector in each precision is from the reference."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import engine
from engine.embedder import Embedder
from engine.literals import Precision


class PrecisionError(NamedTuple):
    """The cosine of a precision's vector with the reference, and their largest difference."""

    precision: Precision
    cosine: float
    largest: float


def precision_errors(
    embedder: Embedder,
    text: str,
    precisions: Iterable[Precision] = ("float32", "int16", "int8"),
    *,
    prompt: str | None = None,
) -> list[PrecisionError]:
    """The error of each precision for the vector that `encode` gives.

    Each is loaded for this, from the embedder's folder. The first use on a machine compiles its
    kernels and packs its weights, which takes a minute or so. Raises as `load` and `encode` do.
    """
    tokens = embedder.tokenize([text], prompt=embedder.prompt_for(None, prompt))

    def vector(precision: Precision) -> NDArray[np.float64]:
        folder, threads = embedder.folder, embedder.threads
        with engine.load(folder, precision=precision, threads=threads, offline=True) as other:
            return np.asarray(other.encode_tokens(tokens)[0], np.float64)

    reference = vector("reference")
    return [_error(name, vector(name), reference) for name in precisions]


def _error(
    precision: Precision, vector: NDArray[np.float64], reference: NDArray[np.float64]
) -> PrecisionError:
    lengths = max(float(np.linalg.norm(vector) * np.linalg.norm(reference)), 1e-12)
    cosine, largest = vector @ reference / lengths, np.abs(vector - reference).max()
    return PrecisionError(precision, float(cosine), float(largest))
