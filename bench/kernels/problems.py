"""What each kernel of the ladder has to compute: inputs of a shape, the exact result, the work."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
Inputs = Mapping[str, Array]
Call = Callable[[], Array]

GEMMS = tuple(
    (rows, inner, outer)
    for inner, outer in ((768, 2304), (768, 768), (768, 3072), (3072, 768))
    for rows in (8, 96, 480)
)
TOKENS = ((480, 768), (480, 3072))
LEVELS = 255  # of an activation in int8
LENGTH = 46_000  # of a row's integers in int16
BLOCK = 256  # numbers that are rotated together: a power of two that divides all widths


@dataclass(frozen=True)
class Kernel:
    """A problem: inputs for a shape, the right result, and the work that has to be done for it."""

    shapes: Sequence[tuple[int, ...]]
    inputs: Callable[..., Inputs]
    expected: Callable[[Inputs], Array]
    pairs: Callable[..., int] | None = None  # multiply-adds; without them bytes are counted
    bytes: Callable[..., int] | None = None


def draw(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def whole(low: int, high: int, dtype: str, *shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(dtype)


def exact_gelu(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def exact_attention(inputs: Inputs) -> Array:
    """(H, L, K) each: softmax(Q Kᵀ / √K) V in float64."""
    q, k, v = (inputs[name].astype(np.float64) for name in "qkv")
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[2])
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return weights / weights.sum(axis=2, keepdims=True) @ v


def exact_norm(inputs: Inputs) -> Array:
    x = inputs["x"].astype(np.float64)
    centred = x - x.mean(axis=1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
    return unit * inputs["scale"] + inputs["shift"]


def product(inputs: Inputs) -> Array:
    kind = np.float64 if inputs["a"].dtype == np.float32 else np.int64
    return inputs["a"].astype(kind) @ inputs["b"].astype(kind)


def gemm_pairs(rows: int, inner: int, outer: int) -> int:
    return rows * inner * outer


def exact_epilogue(inputs: Inputs) -> Array:
    """GELU of (sums scale) (column's scale) + low offset + bias; a row has its scale and low."""
    sums, rows, scales = (inputs[name].astype(np.float64) for name in ("sums", "rows", "scales"))
    low = rows[:, 1:] * inputs["offsets"].astype(np.float64)
    return exact_gelu(sums * rows[:, :1] * scales + low + inputs["bias"].astype(np.float64))


def hadamard(order: int) -> Array:
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def rotated(x: Array) -> Array:
    """Each BLOCK of a row times Hadamard's matrix."""
    return (x.reshape(len(x), -1, BLOCK) @ hadamard(BLOCK).astype(x.dtype)).reshape(x.shape)


def integers16(x: Array) -> Array:
    """Rows scaled to a length of LENGTH, rounded."""
    return np.rint(x * (LENGTH / np.linalg.norm(x, axis=1, keepdims=True)))


def integers8(x: Array) -> Array:
    """Rows from their least to their largest number as 0 to LEVELS."""
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    return np.rint((x - low) * (LEVELS / (high - low)))


KERNELS: dict[str, Kernel] = {
    "gemm": Kernel(GEMMS, lambda m, k, n: {"a": draw(m, k), "b": draw(k, n)}, product, gemm_pairs),
    "gemm int16": Kernel(  # 13 bits of magnitude a side would overflow in places: see fast/
        GEMMS,
        lambda m, k, n: {"a": whole(-800, 801, "i2", m, k), "b": whole(-800, 801, "i2", k, n)},
        product,
        gemm_pairs,
    ),
    "gemm int8": Kernel(  # as small as they must be where sums of two have 16 bits
        GEMMS,
        lambda m, k, n: {"a": whole(0, 201, "u1", m, k), "b": whole(-81, 82, "i1", k, n)},
        product,
        gemm_pairs,
    ),
    "attention": Kernel(  # heads, length, width of a head
        ((12, 16, 64), (12, 88, 64), (12, 512, 64)),
        lambda h, n, k: {name: draw(h, n, k) * np.float32(at + 1) for at, name in enumerate("qkv")},
        exact_attention,
        lambda h, n, k: 2 * h * n * n * k,
    ),
    "layer norm": Kernel(
        TOKENS[:1],
        lambda t, d: {"x": draw(t, d), "scale": draw(d) + 1, "shift": draw(d)},
        exact_norm,
        bytes=lambda t, d: 8 * t * d,
    ),
    "gelu": Kernel(
        TOKENS[1:],
        lambda t, f: {"x": 3 * draw(t, f)},
        lambda inputs: exact_gelu(inputs["x"].astype(np.float64)),
        bytes=lambda t, f: 8 * t * f,
    ),
    "epilogue int8": Kernel(  # what follows a product: sums of integers -> bias and GELU
        TOKENS[1:],
        lambda t, f: {
            "sums": whole(-100_000, 100_000, "i4", t, f),
            "rows": np.abs(draw(t, 2)),
            "scales": np.abs(draw(f)) * np.float32(1e-5),
            "offsets": draw(f),
            "bias": draw(f),
        },
        exact_epilogue,
        bytes=lambda t, f: 8 * t * f,
    ),
    "rotate": Kernel(
        TOKENS,
        lambda t, d: {"x": draw(t, d)},
        lambda inputs: rotated(inputs["x"].astype(np.float64)),
        bytes=lambda t, d: 8 * t * d,
    ),
    "quantise int16": Kernel(
        TOKENS,
        lambda t, d: {"x": draw(t, d)},
        lambda inputs: integers16(inputs["x"].astype(np.float64)),
        bytes=lambda t, d: 6 * t * d,
    ),
    "quantise int8": Kernel(
        TOKENS,
        lambda t, d: {"x": draw(t, d)},
        lambda inputs: integers8(inputs["x"].astype(np.float64)),
        bytes=lambda t, d: 5 * t * d,
    ),
}
