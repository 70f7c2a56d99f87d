"""The precisions of the compiled kernels: one object each, with all that preparing weights needs.

The other half is compiled: `fast.integers` says how each precision quantises a row of activations,
and how it turns sums of products into numbers again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.fast.codegen.target import Target
from engine.fast.weights import quantize

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Precision:
    """`product` names the inner step (`codegen.dot_products`) and the tile (`codegen.target`).

    `pack(w_OI, inputs, factors, target)` gives "panels", the numbers that are multiplied, (O, I);
    for integers also "scales", "offsets" and "missing", (O,), as in `fast.job`. I is `inputs`
    padded with zeros; `factors`, (I,), are those of `quantize.norm_factors`.
    """

    product: str
    numbers_a_word: int  # numbers in the 32 bits that an inner step reads of a row
    pack: Callable[[Array, int, Array, Target], Mapping[str, NDArray]]
    # In attention: the tile, and the numbers in a word.
    attention: tuple[str, int] = ("attention_int16", 2)
    widest: int | None = quantize.WIDEST  # the longest row, and text, whose sums cannot overflow


def _float32(w_OI: Array, inputs: int, factors: Array, target: Target) -> Mapping[str, NDArray]:
    return {"panels": w_OI}


def _int16(w_OI: Array, inputs: int, factors: Array, target: Target) -> Mapping[str, NDArray]:
    integers, scales = quantize.int16(w_OI)
    return {"panels": integers, "scales": scales}


def _int8(w_OI: Array, inputs: int, factors: Array, target: Target) -> Mapping[str, NDArray]:
    rotated = quantize.rotate(w_OI * factors, quantize.block_size(inputs))
    integers, scales = quantize.int8(rotated, pairs=target.sums_pairs)
    # Activations are low + scale a, so each output also has low times the sum of its weights.
    sums = integers.sum(axis=1, dtype=np.int32)
    arrays = {"panels": integers, "scales": scales, "offsets": scales * sums.astype(np.float32)}
    return arrays | ({"missing": target.offset * sums} if target.offset else {})


PRECISIONS = {
    "float32": Precision("float32", 1, _float32, ("attention", 1), None),
    "int16": Precision("int16", 2, _int16),
    "int8": Precision("int8", 4, _int8),
}
