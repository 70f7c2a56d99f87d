"""Every tolerance of the model's tests, with its reason. A new name in PRECISIONS runs all of these
tests on another implementation.

The rounding error is measured: weights/reference/*.json record the difference between
sentence-transformers in float32 and the same model in float64 (`float32_error`). Two correct
float32 programs differ by at most the sum of their errors. Mistakes in the model cause much larger
differences, which test_mistakes.py shows. Cosine is too coarse for that, so it is used only for the
quantised precisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISIONS = ("reference", "float32", "int16", "int8")
FLOATS = [precision for precision in PRECISIONS if precision in ("reference", "float32")]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Largest:
    """The largest difference of any two numbers is at most `bar`."""

    bar: float

    def hold(self, got: Array, want: Array) -> None:
        assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
        difference = np.abs(got.astype(np.float64) - want)
        worst = np.unravel_index(np.argmax(difference), difference.shape)
        assert difference[worst] <= self.bar, (
            f"largest difference {difference[worst]:.3g} over the bar {self.bar:.3g}, at "
            f"{tuple(map(int, worst))}: {got[worst]!r}, expected {want[worst]!r}"
        )


@dataclass(frozen=True)
class Cosine:
    """1 - cosine of each row and its expected row: at most `mean` on average, `largest` for any."""

    mean: float
    largest: float

    def hold(self, got: Array, want: Array) -> None:
        assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
        lost = 1 - np.sum(unit(got) * unit(want), axis=-1)
        assert lost.mean() <= self.mean and lost.max() <= self.largest, (
            f"1 - cosine is {lost.mean():.3g} on average and {lost.max():.3g} at most, for row "
            f"{int(np.argmax(lost))}; the bars are {self.mean:.3g} and {self.largest:.3g}"
        )


Bar = Largest | Cosine


def unit(rows: Array) -> NDArray[np.float64]:
    exact = rows.astype(np.float64)
    return exact / np.linalg.norm(exact, axis=-1, keepdims=True)


# Unit vectors against the library's float32. Numbers up to 1, which float32 keeps to 6e-8; the
# library's rounding error is 0.9e-7 to 2.1e-7. Ours is as large, plus 1.5e-7 for its erf.
FLOAT_UNIT: dict[str, Bar] = {
    "tiny": Largest(1e-6),
    "minilm": Largest(1e-6),
    "bge_shape": Largest(2e-6),  # twice the layers of MiniLM, and outliers in each
}
# Quantised, against the same float32: 13 bits cost 1e-7 to 5e-7 of cosine, 8 bits some 4e-4. The
# bars of MiniLM, real weights, are what the project promises. Those of random weights are above the
# errors of the least exact CPU kind (AVX2: int8 2.2e-3 on average, 2.9e-3 at most, bge_shape).
UNIT: dict[str, dict[str, Bar]] = {
    "reference": FLOAT_UNIT,
    "float32": FLOAT_UNIT,
    "int16": {
        "tiny": Cosine(5e-9, 2e-8),
        "minilm": Cosine(1e-6, 2e-6),
        "bge_shape": Cosine(1e-6, 2e-6),
    },
    "int8": {
        "tiny": Cosine(1e-4, 3e-4),
        "minilm": Cosine(6e-4, 1.5e-3),
        "bge_shape": Cosine(3e-3, 5e-3),
    },
}

# Last hidden states are not normalised: values up to 11, which float32 resolves to 5e-7; the
# library's rounding error is 7e-7 (tiny), 1.8e-6 (minilm) and 4.5e-6 (bge_shape).
FLOAT_HIDDEN: dict[str, Bar] = {
    "tiny": Largest(5e-6),
    "minilm": Largest(1e-5),
    "bge_shape": Largest(5e-5),
}
HIDDEN: dict[str, dict[str, Bar]] = {
    "reference": FLOAT_HIDDEN,
    "float32": FLOAT_HIDDEN,
}

# The same text, computed twice: alone and in a batch, at another position, with other threads. BLAS
# sums a row in another order when the number of rows changes, which gives differences of a few 1e-7
# as above. The fast path always uses the same order: the same bits.
SAME: dict[str, Largest] = {
    "reference": Largest(1e-6),
    "float32": Largest(0),
    "int16": Largest(0),
    "int8": Largest(0),
}

# Vectors that others published: of "mean" five or six decimals are printed; the "cls" numbers are
# older, from an export whose makers promise only 1e-3.
PUBLISHED = {"mean": Largest(6e-6), "cls": Largest(1e-4)}


def cases(table: dict[str, dict[str, Bar]]) -> Sequence[tuple[str, str]]:
    """(checkpoint, precision) of each bar of the table, for the precisions under test."""
    return [(checkpoint, p) for p in PRECISIONS for checkpoint in table.get(p, ())]
