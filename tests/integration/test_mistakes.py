"""Typical mistakes, made one at a time: the golden test's own assertion must detect each.

Most mistakes are made in a copy of the checkpoint, which is the same as making them in the program:
leaving out a bias is a bias of zero. The others replace a step of the model, or handle its tokens
wrongly.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import engine
from engine import model
from engine.tokenizer.tokens import Tokens
from tests.conftest import Load
from tests.support import bars, checkpoints
from tests.support.golden import Golden, golden

Array = NDArray[Any]
Tensors = dict[str, Array]
Settings = dict[str, Any]

SAMPLE = (3, 4, 8, 10, 38, 42, 59)  # texts below the limit of either checkpoint, 82 tokens in all
EMBEDDINGS = "embeddings.{}_embeddings.weight"
LAYER = "encoder.layer.1."

each_checkpoint = pytest.mark.parametrize("checkpoint", ["tiny", "minilm"])


def hold(checkpoint: str, embedder: engine.Embedder) -> None:
    """What test_golden asserts of unit vectors, for a sample of the texts."""
    texts = [golden(checkpoint).texts[i] for i in SAMPLE]
    hold_vectors(checkpoint, embedder.encode(texts, on_truncate="ignore"))


def hold_vectors(checkpoint: str, vectors: Array) -> None:
    expected = golden(checkpoint).vectors["mean"][list(SAMPLE)]
    bars.UNIT["reference"][checkpoint].hold(vectors, expected)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """A folder that is deleted after the test: pytest would keep 90 MB of each."""
    yield tmp_path
    (tmp_path / "model.safetensors").unlink()


def damaged(
    folder: Path, to: Path, change: Callable[[Tensors], None] | None = None, **settings: Any
) -> engine.Embedder:
    """The checkpoint with changed tensors, or changed settings of config.json and other files."""
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text("utf-8"))
        if isinstance(content, dict):
            content.update({key: settings[key] for key in settings if key in content})
        target = to / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(content), "utf-8")
    tensors = load_file(folder / "model.safetensors")
    if change:
        change(tensors)
    save_file(tensors, to / "model.safetensors")
    return engine.load(to, precision="reference", threads=2)


def scaled_query(tensors: Tensors, factor: float) -> None:
    for name in tensors:
        if "attention.self.query" in name:
            tensors[name] *= np.float32(factor)


def swapped(tensors: Tensors, a: str, b: str) -> None:
    for kind in (".weight", ".bias"):
        tensors[a + kind], tensors[b + kind] = tensors[b + kind], tensors[a + kind]


def zeroed(tensors: Tensors, name: str) -> None:
    tensors[name][:] = 0


def shifted_positions(tensors: Tensors) -> None:
    name = EMBEDDINGS.format("position")
    tensors[name] = np.roll(tensors[name], -1, axis=0)


def other_token_type(tensors: Tensors) -> None:
    name = EMBEDDINGS.format("token_type")
    tensors[name] = np.ascontiguousarray(tensors[name][::-1])


def transposed(tensors: Tensors) -> None:
    name = LAYER + "attention.output.dense.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].T)


def heads_interleaved(tensors: Tensors, heads: int) -> None:
    """Head h takes the columns h, h + H, h + 2 H, ... in place of K neighbouring ones."""
    for name in ("query", "key", "value"):
        for kind in ("weight", "bias"):
            tensor = tensors[f"{LAYER}attention.self.{name}.{kind}"]
            split = tensor.reshape(len(tensor) // heads, heads, -1).swapaxes(0, 1)
            tensors[f"{LAYER}attention.self.{name}.{kind}"] = split.reshape(tensor.shape).copy()


def half_precision(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype == np.float32:
            tensors[name] = tensor.astype(np.float16).astype(np.float32)


HEADS = {"tiny": 5, "minilm": 12}
WIDTH = {"tiny": 40, "minilm": 384}

IN_THE_WEIGHTS: dict[str, Callable[[Tensors, str], None]] = {
    "token type 1": lambda t, _: other_token_type(t),
    "no token type": lambda t, _: zeroed(t, EMBEDDINGS.format("token_type")),
    "no positions": lambda t, _: zeroed(t, EMBEDDINGS.format("position")),
    "positions from 1": lambda t, _: shifted_positions(t),
    "no 1 / sqrt(K)": lambda t, c: scaled_query(t, math.sqrt(WIDTH[c] / HEADS[c])),
    "1 / sqrt(D)": lambda t, c: scaled_query(t, 1 / math.sqrt(HEADS[c])),
    "layer norms swapped": lambda t, _: swapped(
        t, LAYER + "attention.output.LayerNorm", LAYER + "output.LayerNorm"
    ),
    "query and key swapped": lambda t, _: swapped(
        t, LAYER + "attention.self.query", LAYER + "attention.self.key"
    ),
    "key and value swapped": lambda t, _: swapped(
        t, LAYER + "attention.self.key", LAYER + "attention.self.value"
    ),
    "no bias of the query": lambda t, _: zeroed(t, LAYER + "attention.self.query.bias"),
    "no bias of the value": lambda t, _: zeroed(t, LAYER + "attention.self.value.bias"),
    "no bias after attention": lambda t, _: zeroed(t, LAYER + "attention.output.dense.bias"),
    "no bias before GELU": lambda t, _: zeroed(t, LAYER + "intermediate.dense.bias"),
    "no bias after GELU": lambda t, _: zeroed(t, LAYER + "output.dense.bias"),
    "no shift in a layer norm": lambda t, _: zeroed(t, LAYER + "output.LayerNorm.bias"),
    "weights transposed": lambda t, _: transposed(t),
    "heads interleaved": lambda t, c: heads_interleaved(t, HEADS[c]),
    "half precision": lambda t, _: half_precision(t),
}

IN_THE_SETTINGS: dict[str, Settings] = {
    "eps 1e-5": {"layer_norm_eps": 1e-5},
    "eps 1e-6": {"layer_norm_eps": 1e-6},
    "one head": {"num_attention_heads": 1},
    "cls for mean": {
        "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "pooling_mode": "cls"
    },
    "cut too early": {"max_seq_length": 8},
}  # fmt: skip


@each_checkpoint
def test_no_mistake(checkpoint: str, copy: Path) -> None:
    """The control: the same copy without a mistake holds the bar."""
    hold(checkpoint, damaged(checkpoints.FOLDERS[checkpoint](), copy))


@each_checkpoint
@pytest.mark.parametrize("mistake", IN_THE_WEIGHTS)
def test_mistake_in_the_weights(mistake: str, checkpoint: str, copy: Path) -> None:
    def change(tensors: Tensors) -> None:
        IN_THE_WEIGHTS[mistake](tensors, checkpoint)

    embedder = damaged(checkpoints.FOLDERS[checkpoint](), copy, change)
    with pytest.raises(AssertionError, match="over the bar"):
        hold(checkpoint, embedder)


@each_checkpoint
@pytest.mark.parametrize("mistake", IN_THE_SETTINGS)
def test_mistake_in_the_settings(mistake: str, checkpoint: str, copy: Path) -> None:
    folder = checkpoints.FOLDERS[checkpoint]()
    embedder = damaged(folder, copy, **IN_THE_SETTINGS[mistake])
    with pytest.raises(AssertionError, match="over the bar"):
        hold(checkpoint, embedder)


def tanh_gelu(x: Array) -> Array:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + np.tanh(inner))


def sigmoid_gelu(x: Array) -> Array:
    return x / (1 + np.exp(-1.702 * x))


def variance_of_a_sample(x_TD: Array, weights: Any, eps: float) -> Array:
    """Divided by D - 1, as statistics packages do, and not by D."""
    centred = x_TD - x_TD.mean(axis=-1, keepdims=True)
    return centred / x_TD.std(axis=-1, ddof=1, keepdims=True) * weights.scale + weights.shift


def softmax_over_queries(scores_HLL: Array) -> Array:
    powers = np.exp(scores_HLL - scores_HLL.max())
    return powers / powers.sum(axis=-2, keepdims=True)


def without_special_tokens(x_LD: Array) -> Array:
    return x_LD[1:-1].mean(axis=0) if len(x_LD) > 2 else x_LD.mean(axis=0)


IN_A_STEP: dict[str, tuple[str, Callable[..., Array]]] = {
    "tanh GELU": ("gelu", tanh_gelu),
    "sigmoid GELU": ("gelu", sigmoid_gelu),
    "ReLU": ("gelu", lambda x: np.maximum(x, 0)),
    "variance of a sample": ("layer_norm", variance_of_a_sample),
    "softmax over the queries": ("softmax", softmax_over_queries),
    "no normalisation": ("normalize", lambda x: x),
}


@each_checkpoint
@pytest.mark.parametrize("mistake", IN_A_STEP)
def test_mistake_in_a_step(
    mistake: str, checkpoint: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = load(checkpoint, "reference")
    hold(checkpoint, embedder)
    monkeypatch.setattr(model, *IN_A_STEP[mistake])
    with pytest.raises(AssertionError, match="over the bar"):
        hold(checkpoint, embedder)


@each_checkpoint
def test_special_tokens_left_out_of_the_mean(
    checkpoint: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model.POOLINGS, "mean", without_special_tokens)
    with pytest.raises(AssertionError, match="over the bar"):
        hold(checkpoint, load(checkpoint, "reference"))


# Packing has no padding that could leak, so these programs pad on purpose, by one token.
PAD = np.zeros(1, np.int32)


def padded(stored: Golden) -> Iterator[Tokens]:
    for i in SAMPLE:
        yield Tokens(np.concatenate([stored.ids[i], PAD]))


@each_checkpoint
def test_padding_that_is_attended_and_pooled(checkpoint: str, load: Load) -> None:
    vectors = load(checkpoint, "reference").encode_tokens([*padded(golden(checkpoint))])
    with pytest.raises(AssertionError, match="over the bar"):
        hold_vectors(checkpoint, vectors)


@each_checkpoint
def test_padding_that_is_attended(checkpoint: str, load: Load) -> None:
    """The mask is missing in attention alone."""
    hidden = load(checkpoint, "reference").token_embeddings([*padded(golden(checkpoint))])
    pooled = np.stack([x_LD[:-1].mean(axis=0) for x_LD in hidden])
    with pytest.raises(AssertionError, match="over the bar"):
        hold_vectors(checkpoint, engine.Embedder.finish(pooled))


@each_checkpoint
def test_padding_that_is_pooled(checkpoint: str, load: Load) -> None:
    """The mask is missing in the mean alone: right hidden states, and one row too many."""
    embedder, stored = load(checkpoint, "reference"), golden(checkpoint)
    right = embedder.token_embeddings([Tokens(stored.ids[i]) for i in SAMPLE])
    wrong = embedder.token_embeddings([*padded(stored)])
    leaked = [np.vstack([x_LD, pad_LD[-1:]]) for x_LD, pad_LD in zip(right, wrong, strict=True)]
    exact = engine.Embedder.finish(np.stack([x_LD.mean(axis=0) for x_LD in right]))
    hold_vectors(checkpoint, exact)
    with pytest.raises(AssertionError, match="over the bar"):
        pooled = np.stack([x_LD.mean(axis=0) for x_LD in leaked])
        hold_vectors(checkpoint, engine.Embedder.finish(pooled))


@each_checkpoint
def test_a_prompt_that_was_not_asked_for(checkpoint: str, load: Load) -> None:
    texts = ["query: " + golden(checkpoint).texts[i] for i in SAMPLE]
    with pytest.raises(AssertionError, match="over the bar"):
        hold_vectors(checkpoint, load(checkpoint, "reference").encode(texts))


def test_texts_in_the_order_of_their_lengths(load: Load) -> None:
    """Batches are sorted by length; the mistake is not to restore the order."""
    texts = sorted((golden("tiny").texts[i] for i in SAMPLE), key=len, reverse=True)
    with pytest.raises(AssertionError, match="over the bar"):
        hold_vectors("tiny", load("tiny", "reference").encode(texts))
