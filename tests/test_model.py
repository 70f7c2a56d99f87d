"""`engine.model`, piece by piece, against the float64 oracle and against what must hold anyway.

The formulas run in any width of float: in float64 they must agree with the oracle to its last
digits, which leaves no room for a formula that is only nearly right.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model
from engine.batch import PackedBatch
from engine.checkpoint.config import read_config
from engine.checkpoint.weights import Linear, Norm, Weights, load_weights
from tests.conftest import Load
from tests.support import bars, oracle
from tests.support.golden import golden
from tests.support.synthetic import write_checkpoint

Array = NDArray[Any]

EPS = 1e-12
FLOAT64 = bars.Largest(1e-12)  # some hundred roundings of 1.1e-16, of numbers up to 10


@pytest.fixture(scope="module")
def weights(tiny: Path) -> Weights:
    return load_weights(tiny, read_config(tiny))


@pytest.fixture(scope="module")
def truth(tiny: Path) -> oracle.Oracle:
    return oracle.Oracle(tiny, heads=5)


def widened(weights: Any) -> Any:
    """The same weights in float64."""
    fields = {name: np.asarray(value, np.float64) for name, value in vars(weights).items()}
    return type(weights)(**fields)


def random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def packed(*lengths: int, vocabulary: int = 242) -> PackedBatch:
    draw = np.random.default_rng(sum(lengths))
    return PackedBatch.of([draw.integers(5, vocabulary, n, dtype=np.int32) for n in lengths])


def test_linear_is_the_oracles(weights: Weights, truth: oracle.Oracle) -> None:
    x_TD = random(1, 3, 40)
    wide_TF = model.linear(x_TD, widened(weights.layers[0].up))
    expected = truth.linear(x_TD.tolist(), "encoder.layer.0.intermediate.dense")
    FLOAT64.hold(wide_TF, np.array(expected))


def test_layer_norm_is_the_oracles(weights: Weights, truth: oracle.Oracle) -> None:
    x_TD = 3 + 2 * random(2, 3, 40)
    found_TD = model.layer_norm(x_TD, widened(weights.embedding_norm), EPS)
    FLOAT64.hold(found_TD, np.array(truth.layer_norm(x_TD.tolist(), "embeddings.LayerNorm")))


def test_layer_norm_of_equal_numbers_is_the_shift() -> None:
    norm = Norm(np.full(8, 2, np.float32), np.arange(8, dtype=np.float32))
    assert model.layer_norm(np.full((1, 8), 5, np.float32), norm, EPS).tolist() == [[*range(8)]]


def test_eps_is_added_to_the_variance() -> None:
    x_TD = np.array([[-1.0, 1.0]])
    norm = Norm(np.ones(2), np.zeros(2))
    FLOAT64.hold(model.layer_norm(x_TD, norm, 0.44), np.array([[-1, 1]]) / 1.2)


def test_a_variance_that_overflows_makes_its_row_nan_and_no_other() -> None:
    norm = Norm(np.ones(2, np.float32), np.ones(2, np.float32))
    with np.errstate(over="ignore"):
        rows = model.layer_norm(np.array([[-1e30, 1e30], [-1, 1]], np.float32), norm, EPS)
    assert np.isnan(rows[0]).all()
    FLOAT64.hold(rows[1], np.array([0.0, 2.0]))


def test_softmax_is_the_oracles() -> None:
    scores = 5 * random(3, 2, 3, 4)
    expected = [[oracle.softmax(row) for row in head] for head in scores.tolist()]
    FLOAT64.hold(model.softmax(scores), np.array(expected))


def test_softmax_of_huge_scores_neither_overflows_nor_vanishes() -> None:
    scores = np.array([[[3e38, 3e38, -3e38]], [[-3e38, -3e38, -3e38]]], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        shares = model.softmax(scores / 2)
    FLOAT64.hold(shares, np.array([[[0.5, 0.5, 0]], [[1 / 3] * 3]], np.float32))


def test_gelu_is_the_erf_form() -> None:
    """Abramowitz and Stegun's erf is good to 1.5e-7; x Φ(x) takes |x| / 2 of that."""
    x = np.linspace(-12, 12, 200_001)
    error = np.abs(model.gelu(x.reshape(-1, 1).copy())[:, 0] - [oracle.gelu(v) for v in x])
    assert (error <= 0.5 * 1.5e-7 * np.abs(x) + 1e-15).all()


def test_gelu_in_float32_is_as_good() -> None:
    x = np.linspace(-12, 12, 200_001).astype(np.float32)
    error = np.abs(model.gelu(x.reshape(-1, 1).copy())[:, 0] - [oracle.gelu(float(v)) for v in x])
    assert (error <= 2e-7 * np.maximum(1, np.abs(x))).all()


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_gelu_treats_each_number_by_itself(rows: int) -> None:
    """However the rows are cut into blocks for the cache."""
    x_TF = random(4, rows, 193).astype(np.float32)
    one_by_one = np.concatenate([model.gelu(x_TF[i : i + 1].copy()) for i in range(rows)])
    assert np.array_equal(model.gelu(x_TF.copy()), one_by_one)


def test_attention_is_the_oracles(weights: Weights, truth: oracle.Oracle) -> None:
    x_TD = random(5, 9, 40)
    layer = wide_layer(weights)
    found_TD = model.attention(x_TD, layer, np.array([0, 4, 5, 9]), 5)
    for start, end in ((0, 4), (4, 5), (5, 9)):
        gathered = truth.attention(x_TD[start:end].tolist(), "encoder.layer.0.")
        expected = truth.linear(gathered, "encoder.layer.0.attention.output.dense")
        FLOAT64.hold(found_TD[start:end], np.array(expected))


def wide_layer(weights: Weights) -> Any:
    layer = weights.layers[0]
    return replace(layer, **{name: widened(value) for name, value in vars(layer).items()})


def test_a_layer_is_the_oracles(
    weights: Weights, truth: oracle.Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an exact GELU in the place of its approximation, to float64's last digits."""
    monkeypatch.setattr(model, "gelu", np.vectorize(oracle.gelu))
    x_TD = random(6, 7, 40)
    found_TD = model.encoder_layer(x_TD, wide_layer(weights), np.array([0, 7]), 5, EPS)
    FLOAT64.hold(found_TD, np.array(truth.encoder_layer(x_TD.tolist(), "encoder.layer.0.")))


def test_embeddings_are_the_oracles(weights: Weights, truth: oracle.Oracle) -> None:
    batch = packed(3, 61)
    found_TD = model.embed(batch, weights, EPS)
    for start, end in ((0, 3), (3, 64)):
        expected = truth.embeddings(batch.ids_T[start:end].tolist())
        bars.Largest(2e-6).hold(found_TD[start:end], np.array(expected))


@pytest.mark.slow
@pytest.mark.parametrize("precision", bars.FLOATS)
def test_the_whole_model_is_the_oracles(precision: str, load: Load, truth: oracle.Oracle) -> None:
    """Hidden states, pooled by mean and cls, and made unit vectors: twenty texts of all lengths."""
    embedder, texts = load("tiny", precision), golden("tiny").texts[::10]
    tokens = embedder.tokenize(texts)
    hidden = [truth.hidden(one.ids.tolist()) for one in tokens]
    for found, expected in zip(embedder.token_embeddings(tokens), hidden, strict=True):
        bars.FLOAT_HIDDEN["tiny"].hold(found, np.array(expected))
    for pooling, pool in (("mean", oracle.mean_pool), ("cls", oracle.cls_pool)):
        expected = np.array([oracle.unit(pool(x)) for x in hidden])
        bars.FLOAT_UNIT["tiny"].hold(embedder.encode_tokens(tokens, pooling=pooling), expected)


@pytest.mark.slow
def test_the_oracle_is_the_reference_library(truth: oracle.Oracle) -> None:
    """So that three independent programs agree: theirs, ours, and the loops of the oracle."""
    for index in range(3, 200, 20):
        hidden = truth.hidden(golden("tiny").ids[index].tolist())
        for pooling, pool in (("mean", oracle.mean_pool), ("cls", oracle.cls_pool)):
            found = np.array(oracle.unit(pool(hidden)))
            bars.Largest(5e-7).hold(found, golden("tiny").vectors[pooling][index])


def test_a_text_never_sees_its_neighbours(weights: Weights) -> None:
    """Packing: all other texts of the batch change, and the text in the middle keeps its bits."""
    middle = np.array([2, 70, 80, 90, 3], np.int32)
    around = [packed(4).ids_T, packed(6).ids_T]
    results = []
    for left, right in (around, [ids[::-1].copy() for ids in around]):
        batch = PackedBatch.of([left, middle, right])
        results.append(model.encode(batch, weights, 5, EPS)[len(left) : len(left) + 5])
    assert np.array_equal(*results)


@pytest.mark.parametrize(
    ("hidden", "heads", "ffn", "layers"),
    [(8, 1, 3, 1), (24, 6, 50, 3), (64, 2, 16, 2), (12, 12, 12, 1)],
)
def test_any_shape(hidden: int, heads: int, ffn: int, layers: int, tmp_path: Path) -> None:
    sizes = {"hidden": hidden, "heads": heads, "ffn": ffn, "layers": layers}
    write_checkpoint(tmp_path, seed=hidden, vocab=242, positions=20, **sizes)
    weights, batch = load_weights(tmp_path, read_config(tmp_path)), packed(1, 20, 5)
    found_TD = model.encode(batch, weights, heads, EPS)
    truth = oracle.Oracle(tmp_path, heads)
    for start, end in ((0, 1), (1, 21), (21, 26)):
        expected = truth.hidden(batch.ids_T[start:end].tolist())
        bars.Largest(1e-5).hold(found_TD[start:end], np.array(expected))


STEPS = [
    "linear", "layer_norm", "softmax", "gelu", "split_heads", "attention", "feed_forward",
    "encoder_layer", "embed", "encode", "mean_pool", "cls_pool", "pool", "normalize",
]  # fmt: skip


def test_every_step_stays_in_float32(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy 2 makes float64 of a float32 array and a numpy scalar, at twice the cost, silently."""
    widths: dict[str, set[Any]] = {}

    def spy(name: str, step: Callable[..., Array]) -> Callable[..., Array]:
        def spied(*args: Any) -> Array:
            out = step(*args)
            widths.setdefault(name, set()).add(out.dtype)
            return out

        return spied

    for name in STEPS:
        monkeypatch.setattr(model, name, spy(name, getattr(model, name)))
    poolings = {name: getattr(model, f"{name}_pool") for name in model.POOLINGS}
    monkeypatch.setattr(model, "POOLINGS", poolings)
    batch = packed(4, 1, 61)
    x_TD = model.encode(batch, weights, 5, EPS)
    model.normalize(model.pool(x_TD, batch.cu_seqlens, ["mean", "cls", "mean"]))
    assert widths == {name: {np.dtype(np.float32)} for name in STEPS}


def test_no_step_changes_the_weights(weights: Weights, tiny: Path) -> None:
    """Several steps work in place; never in the checkpoint's own arrays."""
    model.encode(packed(4, 1, 61), weights, 5, EPS)
    fresh = load_weights(tiny, read_config(tiny))
    assert np.array_equal(weights.word_VD, fresh.word_VD)
    for layer, other in zip(weights.layers, fresh.layers, strict=True):
        for name, part in vars(layer).items():
            for field, array in vars(part).items():
                assert np.array_equal(array, getattr(getattr(other, name), field))


def test_pooling_by_text() -> None:
    x_TD = np.arange(12, dtype=np.float32).reshape(6, 2)
    pooled = model.pool(x_TD, np.array([0, 3, 4, 6]), ["mean", "mean", "cls"])
    assert pooled.tolist() == [[2, 3], [6, 7], [8, 9]]


def test_normalize_makes_unit_length_and_leaves_zeros() -> None:
    rows = model.normalize(np.array([[3, 4], [0, 0], [1e-9, 0]], np.float32))
    bars.Largest(1e-7).hold(rows, np.array([[0.6, 0.8], [0, 0], [1, 0]]))


def test_split_heads_gives_neighbouring_columns_to_a_head() -> None:
    x_LD = np.arange(12).reshape(2, 6)
    assert model.split_heads(x_LD, 3).tolist() == [
        [[0, 1], [6, 7]],
        [[2, 3], [8, 9]],
        [[4, 5], [10, 11]],
    ]


def test_linear_adds_the_bias_to_every_row() -> None:
    weights = Linear(np.array([[1, 2, 3], [4, 5, 6]], np.float32), np.array([10, 20], np.float32))
    assert model.linear(np.eye(3, dtype=np.float32), weights).tolist() == [
        [11, 24],
        [12, 25],
        [13, 26],
    ]
