"""Packing: every number of the checkpoint stands where the kernels read it, zeros elsewhere."""

import numpy as np
import pytest

from engine.checkpoint.config import read_config
from engine.checkpoint.weights import load_weights
from engine.fast.codegen.target import TARGETS
from engine.fast.weights.packing import Shape, packed, padded, panels, round_up
from tests.support.synthetic import TINY

AVX2, AVX512 = TARGETS["avx2"], TARGETS["avx512vnni"]


@pytest.mark.parametrize(
    ("size", "multiple", "expected"), [(1, 8, 8), (8, 8, 8), (9, 8, 16), (0, 8, 0), (40, 16, 48)]
)
def test_rounding_up(size: int, multiple: int, expected: int) -> None:
    assert round_up(size, multiple) == expected


@pytest.mark.parametrize(
    ("target", "precision", "panel", "width"),
    [
        ("avx512vnni", "float32", 48, 48),  # three registers of 16
        ("avx2", "float32", 16, 48),
        ("avx2", "int8", 16, 48),
        ("sse2", "float32", 16, 48),
        ("dotprod", "int8", 16, 48),
    ],
)
def test_the_shape_of_a_target(target: str, precision: str, panel: int, width: int) -> None:
    shape = Shape(TARGETS[target], precision)
    # Rows are whole vectors of 16 numbers everywhere, so that sums have one order.
    assert (shape.panel, shape.width(40), shape.width(1)) == (panel, width, 16)


def test_rows_are_padded_with_zeros() -> None:
    rows = padded(np.array([[1, 2, 3], [4, 5, 6]], np.float32), 5)
    assert rows.tolist() == [[1, 2, 3, 0, 0], [4, 5, 6, 0, 0]]
    assert rows.dtype == np.float32


@pytest.mark.parametrize(("precision", "a_word"), [("float32", 1), ("int16", 2), ("int8", 4)])
def test_panels_hold_step_column_and_number_of_the_word(precision: str, a_word: int) -> None:
    shape = Shape(AVX2, precision)
    numbers = np.arange(2 * shape.panel * 24).reshape(2 * shape.panel, 24)
    found = panels(numbers, shape)
    assert found.shape == (2, 24 // a_word, shape.panel, a_word) and found.flags.c_contiguous
    for panel, step, column, number in [(0, 0, 0, 0), (1, 3, 5, a_word - 1), (1, 5, 7, 0)]:
        output, input_ = panel * shape.panel + column, step * a_word + number
        assert found[panel, step, column, number] == numbers[output, input_]


@pytest.mark.parametrize("target", [AVX2, AVX512], ids=lambda target: target.name)
def test_a_checkpoint_is_found_again_in_its_arrays(target: object) -> None:
    weights = load_weights(TINY, read_config(TINY))
    shape = Shape(target, "float32")  # type: ignore[arg-type]
    arrays = dict(packed(weights, shape))
    hidden, width = 40, shape.width(40)
    assert np.array_equal(arrays["word"][:, :hidden], weights.word_VD)
    assert np.array_equal(arrays["position"][:, :hidden], weights.position_PD)
    assert np.array_equal(arrays["token_type"][0, :hidden], weights.token_type_D)
    assert np.array_equal(arrays["embedding_norm.scale"][0, :hidden], weights.embedding_norm.scale)
    assert np.array_equal(arrays["embedding_norm.shift"][0, :hidden], weights.embedding_norm.shift)
    layer = weights.layers[1]
    maps = {
        "qkv": [layer.query, layer.key, layer.value],
        "attention_output": [layer.attention_output],
        "up": [layer.up],
        "down": [layer.down],
    }
    for name, parts in maps.items():
        tiles, bias = arrays[f"1.{name}.panels"], arrays[f"1.{name}.bias"][0]
        rows = tiles.transpose(0, 2, 1, 3).reshape(len(bias), -1)  # (outputs, inputs) again
        outputs, inputs = parts[0].w_OI.shape
        expected, each = np.zeros_like(rows), shape.width(outputs)
        for n, part in enumerate(parts):
            expected[n * each : n * each + outputs, :inputs] = part.w_OI
            assert np.array_equal(bias[n * each : n * each + outputs], part.b)
        assert np.array_equal(rows, expected)
    for name, norm in ("attention_norm", layer.attention_norm), ("output_norm", layer.output_norm):
        for kind in ("scale", "shift"):
            row = arrays[f"1.{name}.{kind}"][0]
            assert np.array_equal(row[:hidden], getattr(norm, kind)) and not row[hidden:].any()
    assert arrays["word"].shape == (len(weights.word_VD), width)
    assert len(arrays["signs"][0]) == max(width, shape.width(layer.up.w_OI.shape[0]))


@pytest.mark.parametrize("precision", ["int16", "int8"])
def test_quantised_maps_have_a_scale_for_each_column(precision: str) -> None:
    """Integers times scales are the weights, to half a unit; for int8 after its rotation."""
    weights = load_weights(TINY, read_config(TINY))
    arrays = dict(packed(weights, Shape(AVX512, precision)))
    tiles, scales = arrays["0.up.panels"], arrays["0.up.scales"][0]
    integers = tiles.transpose(0, 2, 1, 3).reshape(len(scales), -1).astype(np.float64)
    w_OI = weights.layers[0].up.w_OI.astype(np.float64)
    outputs, inputs = w_OI.shape
    assert tiles.dtype == np.dtype(precision)
    if precision == "int16":
        found = integers[:outputs, :inputs] * scales[:outputs, None]
        assert np.abs(found - w_OI).max() <= 0.5001 * scales.max()
        return
    sums = integers.sum(axis=1) * scales
    assert np.allclose(arrays["0.up.offsets"][0], sums, rtol=1e-6)
    # an orthogonal map up to the factor 1 / √block keeps the length of a row
    lengths = np.linalg.norm(integers[:outputs] * scales[:outputs, None], axis=1)
    ratios = lengths / np.linalg.norm(w_OI, axis=1)
    assert ratios.std() / ratios.mean() < 0.02
