"""Each tensor in its place, under all its names; anything else refused."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.checkpoint.config import Config
from engine.checkpoint.weights import TensorReader, Weights, load_weights
from engine.errors import CheckpointError
from tests.support.folders import tiny_tensors, write_tensors

Tensors = dict[str, NDArray[Any]]

CONFIG = Config(
    hidden=40,
    layers=2,
    heads=5,
    feed_forward=37,
    vocabulary=242,
    positions=61,
    token_types=2,
    eps=1e-12,
    pooling="mean",
    max_tokens=59,
)
WORD = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.1.attention.self.query."
PARTS = {  # of a layer: name in engine.model -> name in the file
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}
SHAPES = {
    WORD: (242, 40),
    "embeddings.position_embeddings.weight": (61, 40),
    "embeddings.token_type_embeddings.weight": (2, 40),
    "embeddings.LayerNorm.weight": (40,),
    "embeddings.LayerNorm.bias": (40,),
}
for n in range(2):
    for part in PARTS.values():
        outputs = 37 if part == "intermediate.dense" else 40
        inputs = 37 if part == "output.dense" else 40
        weight = (outputs,) if "LayerNorm" in part else (outputs, inputs)
        SHAPES[f"encoder.layer.{n}.{part}.weight"] = weight
        SHAPES[f"encoder.layer.{n}.{part}.bias"] = (outputs,)


def load(folder: Path, tensors: Tensors, config: Config = CONFIG) -> Weights:
    write_tensors(folder / "model.safetensors", tensors)
    return load_weights(folder, config)


def refused(folder: Path, tensors: Tensors, config: Config = CONFIG) -> str:
    """The message, without the folder that it begins with."""
    with pytest.raises(CheckpointError) as caught:
        load(folder, tensors, config)
    message = str(caught.value)
    assert message.startswith(str(folder))
    return message.removeprefix(str(folder))


def hold_weights(weights: Weights, tensors: Tensors) -> None:
    def same(found: NDArray[Any], name: str) -> None:
        assert np.array_equal(found, tensors[name])

    same(weights.word_VD, WORD)
    same(weights.position_PD, "embeddings.position_embeddings.weight")
    types = tensors["embeddings.token_type_embeddings.weight"]
    assert np.array_equal(weights.token_type_D, types[0])
    same(weights.embedding_norm.scale, "embeddings.LayerNorm.weight")
    same(weights.embedding_norm.shift, "embeddings.LayerNorm.bias")
    assert len(weights.layers) == 2
    for n, layer in enumerate(weights.layers):
        for ours, theirs in PARTS.items():
            first, second = vars(getattr(layer, ours)).values()
            same(first, f"encoder.layer.{n}.{theirs}.weight")
            same(second, f"encoder.layer.{n}.{theirs}.bias")


def renamed(tensors: Tensors, change: Callable[[str], str]) -> Tensors:
    return {change(name): tensor for name, tensor in tensors.items()}


def test_every_tensor_in_its_place(tmp_path: Path) -> None:
    hold_weights(load(tmp_path, tiny_tensors()), tiny_tensors())


def test_the_fields_of_a_step_are_weight_and_bias(tmp_path: Path) -> None:
    layer = load(tmp_path, tiny_tensors()).layers[0]
    assert list(vars(layer.up)) == ["w_OI", "b"]
    assert list(vars(layer.output_norm)) == ["scale", "shift"]


@pytest.mark.parametrize("prefix", ["bert.", "model.", "0.auto_model.", "0.model."])
def test_a_prefix_before_every_name(prefix: str, tmp_path: Path) -> None:
    tensors = renamed(tiny_tensors(), lambda name: prefix + name)
    tensors["cls.predictions.bias"] = np.ones(242, np.float32)
    tensors["classifier.weight"] = np.ones((2, 40), np.float32)
    tensors["encoder.layer.0.other"] = np.ones(3, np.float32)  # of another part of the model
    hold_weights(load(tmp_path, tensors), tiny_tensors())


def test_an_unknown_prefix_is_refused(tmp_path: Path) -> None:
    tensors = renamed(tiny_tensors(), lambda name: "roberta." + name)
    count, some = len(tensors), "roberta.embeddings.LayerNorm.bias"
    assert refused(tmp_path, tensors).startswith(
        f": 0 of its {count - 1} tensors are named {WORD} (with or without a prefix); exactly one "
        f"is needed. Some: {some}, "
    )


def test_two_prefixes_are_refused(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors["bert." + WORD] = tensors[WORD]
    assert refused(tmp_path, tensors).startswith(f": 2 of its {len(tensors) - 1} tensors are named")


def test_tensors_of_another_architecture(tmp_path: Path) -> None:
    ones = np.ones(3, np.float32)
    assert refused(tmp_path, {"d": ones, "b": ones, "c": ones, "a": ones}) == (
        f": 0 of its 4 tensors are named {WORD} (with or without a prefix); exactly one is needed. "
        "Some: a, b, c. Is it a BERT?"
    )


def test_old_names_of_layer_norms(tmp_path: Path) -> None:
    def old(name: str) -> str:
        new = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        return "bert." + new.replace("LayerNorm.bias", "LayerNorm.beta")

    hold_weights(load(tmp_path, renamed(tiny_tensors(), old)), tiny_tensors())


@pytest.mark.parametrize(("old", "new"), [("gamma", "weight"), ("beta", "bias")])
def test_one_tensor_under_two_names_is_refused(old: str, new: str, tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors[f"encoder.layer.0.output.LayerNorm.{old}"] = np.ones(40, np.float32)
    name = f"encoder.layer.0.output.LayerNorm.{new}"
    assert refused(tmp_path, tensors) == f": tensor {name} occurs under two names."


def test_what_an_embedding_does_not_use_is_left_out(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors["embeddings.position_ids"] = np.arange(61, dtype=np.float32)
    tensors["embeddings.token_type_ids"] = np.zeros(61, np.float32)
    tensors["pooler.dense.weight"] = np.full((3, 3), np.nan, np.float32)
    tensors["embeddings_project.weight"] = np.ones(3, np.float32)
    hold_weights(load(tmp_path, tensors), tiny_tensors())


@pytest.mark.parametrize("name", SHAPES)
def test_each_tensor_must_be_there(name: str, tmp_path: Path) -> None:
    tensors = tiny_tensors()
    del tensors[name]
    message = refused(tmp_path, tensors)
    if name == WORD:
        assert message.startswith(": 0 of its")
    else:
        assert message == (
            f": tensor {name} is missing; the file has {len(SHAPES) - 1} others, such as "
            + ", ".join(sorted(set(SHAPES) - {name})[:3])
            + ". Is it a BERT?"
        )


AXES = {(242, 40): "V, D", (61, 40): "P, D", (2, 40): "types, D", (40,): "D", (37,): "F"}
AXES |= {(40, 40): "D, D", (37, 40): "F, D", (40, 37): "D, F"}


@pytest.mark.parametrize("name", SHAPES)
def test_each_tensor_must_have_its_shape(name: str, tmp_path: Path) -> None:
    whole, shape = tiny_tensors()[name], SHAPES[name]
    assert whole.shape == shape
    for changed in (whole[:-1], whole[..., :-1], whole[None], whole.reshape(-1, 1)):
        assert refused(tmp_path, {**tiny_tensors(), name: changed}) == (
            f": tensor {name} has shape {changed.shape}, but config.json implies {shape} "
            f"({AXES[shape]}). Weights and configuration do not match."
        )


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": 41},
        {"feed_forward": 38},
        {"vocabulary": 241},
        {"positions": 62},
        {"token_types": 1},
        {"layers": 3},
        {"hidden": 10**30},
        {"layers": 10**30},
    ],
)
def test_the_configuration_must_be_that_of_the_weights(
    sizes: dict[str, Any], tmp_path: Path
) -> None:
    message = refused(tmp_path, tiny_tensors(), replace(CONFIG, **sizes))
    assert "is missing" in message if "layers" in sizes else "config.json implies" in message


def test_layers_that_would_not_be_used_are_refused(tmp_path: Path) -> None:
    one = replace(CONFIG, layers=1)
    assert refused(tmp_path, tiny_tensors(), one) == (
        " holds 16 tensors that would not be used, such as "
        "encoder.layer.1.attention.output.LayerNorm.bias, "
        "encoder.layer.1.attention.output.LayerNorm.weight, "
        "encoder.layer.1.attention.output.dense.bias; config.json says num_hidden_layers is 1. "
        "Weights and configuration do not match."
    )


@pytest.mark.parametrize(
    "name",
    ["encoder.layer.2.output.dense.bias", "encoder.rotary.weight", "embeddings.extra.weight"],
)
def test_an_unknown_tensor_of_the_encoder_is_refused(name: str, tmp_path: Path) -> None:
    tensors = {**tiny_tensors(), name: np.ones(3, np.float32)}
    message = refused(tmp_path, tensors)
    assert message.startswith(f" holds 1 tensors that would not be used, such as {name}; ")


@pytest.mark.parametrize("name", [WORD, QUERY + "weight", "encoder.layer.0.output.LayerNorm.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float, tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors[name][-1] = value
    assert refused(tmp_path, tensors) == (
        f": tensor {name} holds NaN or infinity; weights must be finite float32 numbers. The file "
        "is damaged, or training failed: download it again."
    )


def test_infinities_that_cancel_are_refused(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    tensors = tiny_tensors()
    tensors[QUERY + "bias"][:2] = np.inf, -np.inf
    assert "holds NaN or infinity" in refused(tmp_path, tensors)
    assert not recwarn.list


def test_float64_beyond_float32_is_refused(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    tensors[QUERY + "bias"] = np.full(40, 1e39)
    assert "holds NaN or infinity" in refused(tmp_path, tensors)


def test_finite_numbers_whose_sum_overflows_are_accepted(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    tensors = tiny_tensors()
    tensors[QUERY + "bias"][:] = 3e38
    tensors[QUERY + "weight"][:2, :2] = [[3e38, -3e38], [3e38, 3e38]]
    hold_weights(load(tmp_path, tensors), tensors)
    assert not recwarn.list


def test_a_reader_of_other_modules(tmp_path: Path) -> None:
    tensors = {"norm.weight": np.ones(3, np.float32), "norm.bias": np.zeros(3, np.float32)}
    reader = TensorReader(tmp_path, tensors)
    reader.sizes = {"W": 3}
    with pytest.raises(
        CheckpointError, match=r"2 tensors .* such as norm\.bias, norm\.weight; why"
    ):
        reader.refuse_unused("why")
    norm = reader.norm("norm", "W")
    assert norm.scale is tensors["norm.weight"] and norm.shift is tensors["norm.bias"]
    reader.refuse_unused("why")


def test_weights_cannot_be_replaced(tmp_path: Path) -> None:
    """Threads share them."""
    weights = load(tmp_path, tiny_tensors())
    layer = weights.layers[0]
    for part in (weights, layer, layer.query, layer.output_norm):
        with pytest.raises(FrozenInstanceError):
            setattr(part, next(iter(vars(part))), None)
