"""A checkpoint -> the arrays that the kernels read, in the order in which they read them.

An array is named by its place in the structures of `fast.job`: "3.up.panels" is of layer 3. Widths
are padded with zeros to whole vectors, and the columns of a product to whole panels. A panel is
[step][column][number]: what one step of `micro_kernel` reads lies together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine._version import __version__
from engine.checkpoint.weights import Layer, Linear, Norm, Weights
from engine.fast.codegen.target import LANES, Target
from engine.fast.weights.precisions import PRECISIONS, Precision
from engine.fast.weights.quantize import norm_factors, signs

Named = tuple[str, NDArray]


@dataclass(frozen=True)
class Shape:
    """How wide rows and panels are for a target and a precision."""

    target: Target
    precision: str

    @property
    def kind(self) -> Precision:
        return PRECISIONS[self.precision]

    @property
    def panel(self) -> int:
        """Columns of a panel."""
        # A tile's columns: the inner loop computes all of them at once.
        return self.target.panel(self.kind.product)

    @property
    def numerics(self) -> str:
        """What decides the bits of a result; the same for many targets (`target.LANES`)."""
        levels = f" of 0 to {self.target.levels}" if self.precision == "int8" else ""
        rounding = "fused" if self.target.fuses else "separate"
        return f"{self.precision}{levels}, {rounding} multiply-add, engine {__version__}"

    @property
    def word(self) -> int:
        """Numbers that one step of the product reads of a column."""
        return (
            8 if self.precision == "int8" and self.target.pairs_rows else self.kind.numbers_a_word
        )

    def width(self, size: int) -> int:
        """Numbers of a row: whole vectors."""
        return round_up(size, LANES)

    def inputs(self, size: int) -> int:
        """Numbers of a row that a product reads, which may be more; their weights are 0."""
        return round_up(size, self.target.run(self.kind.product))


def round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def packed(weights: Weights, shape: Shape) -> Iterator[Named]:
    """Every array of the prepared file, one at a time, so that memory holds one at a time."""
    width = shape.width(weights.word_VD.shape[1])
    yield "word", padded(weights.word_VD, width)
    yield "position", padded(weights.position_PD, width)
    yield "token_type", padded(weights.token_type_D[None], width)
    yield from _norm("embedding_norm", weights.embedding_norm, width)
    yield "signs", signs(max(width, shape.width(weights.layers[0].up.w_OI.shape[0])))[None]
    # Names say where each array's address goes: the fields of `fast.job`.
    before = weights.embedding_norm
    for n, layer in enumerate(weights.layers):
        for name, array in _layer(layer, before, shape):
            yield f"{n}.{name}", array
        before = layer.output_norm


def padded(x_ND: NDArray, width: int) -> NDArray:
    """Rows of `width` numbers, zeros behind."""
    # Zeros, not garbage: kernels compute on them, and NaN would spread.
    out = np.zeros((len(x_ND), width), x_ND.dtype)
    out[:, : x_ND.shape[1]] = x_ND
    return out


def _layer(layer: Layer, before: Norm, shape: Shape) -> Iterator[Named]:
    """`before` is the layer norm whose rows come in."""
    width = shape.width(layer.query.w_OI.shape[1])
    # Side by side, they are one product: x is read, or quantised, once.
    yield from _linear("qkv", [layer.query, layer.key, layer.value], shape, before)
    yield from _linear("attention_output", [layer.attention_output], shape)
    yield from _linear("up", [layer.up], shape, layer.attention_norm)
    yield from _linear("down", [layer.down], shape)
    yield from _norm("attention_norm", layer.attention_norm, width)
    yield from _norm("output_norm", layer.output_norm, width)


def _norm(name: str, norm: Norm, width: int) -> Iterator[Named]:
    yield f"{name}.scale", padded(norm.scale[None], width)
    yield f"{name}.shift", padded(norm.shift[None], width)
    # Division by a power of two is exact: the rotation is all that sees the difference.
    factors = norm_factors(norm.scale)
    yield f"{name}.signs", padded((signs(len(factors)) / factors)[None], width)


def _linear(
    name: str, maps: list[Linear], shape: Shape, norm: Norm | None = None
) -> Iterator[Named]:
    """Maps side by side: the outputs of each begin at a whole vector. `norm` makes their inputs."""
    # Zeros in W and b give zeros behind each part, which `layer_norm` and products rely on.
    outputs, inputs = maps[0].w_OI.shape
    width, each = shape.inputs(inputs), shape.width(outputs)
    # Each map begins at a whole vector, so that a part's rows are aligned; the last panel of all
    # is filled up with columns of zeros.
    rows = round_up(each * len(maps), shape.panel)
    w_OI, bias = np.zeros((rows, width), np.float32), np.zeros((1, rows), np.float32)
    for n, one in enumerate(maps):
        w_OI[n * each : n * each + outputs, :inputs] = one.w_OI
        bias[0, n * each : n * each + outputs] = one.b
    yield f"{name}.bias", bias
    # Where a layer norm divides its outlier channels, the weights that read them make up for it.
    factors = np.ones(width, np.float32)
    if norm:
        factors[:inputs] = norm_factors(norm.scale)
    for field, array in shape.kind.pack(w_OI, inputs, factors, shape.target).items():
        yield f"{name}.{field}", panels(array, shape) if field == "panels" else array[None]


def panels(w_OI: NDArray, shape: Shape) -> NDArray:
    """(outputs, inputs) -> [panel][step][column][number of the word]."""
    a_word = shape.word
    outputs, inputs = w_OI.shape
    # The inner loop reads its panel from start to end, as fast as memory gives it.
    # reshape splits the axes without copying; transpose orders them; one copy makes them so.
    tiles = w_OI.reshape(outputs // shape.panel, shape.panel, inputs // a_word, a_word)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3))
