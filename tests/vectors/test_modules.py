"""Dense, LayerNorm and Normalize against the same formulas in float64."""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.checkpoint.module_list import Module
from engine.checkpoint.weights import Linear
from engine.errors import CheckpointError
from engine.vectors import modules
from engine.vectors.modules import Dense, Modules, load_modules, weight_folders
from tests.support import bars
from tests.support.folders import REMOVED, edit_json, write_tensors
from tests.support.oracle import gelu

Array = NDArray[Any]

BAR = bars.Largest(1e-6)  # sums of 24 numbers of size 1, each rounded to 24 bits
CONFIG = {
    "in_features": 24,
    "out_features": 10,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.Tanh",
}
X = np.random.default_rng(5).standard_normal((7, 24)).astype(np.float32)

EXACT: dict[str, Callable[[Array], Array]] = {
    "activation.Tanh": np.tanh,
    "linear.Identity": lambda x: x,
    "activation.ReLU": lambda x: x * (x > 0),
    "activation.GELU": np.vectorize(gelu),
    "activation.Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def dense(
    folder: Path,
    inputs: int = 24,
    outputs: int = 10,
    left_out: str = "",
    changes: dict[str, Array] | None = None,
    **config: Any,
) -> Module:
    """The folder of a Dense, with random weights, its tensors and configuration edited."""
    rng = np.random.default_rng(inputs + outputs)
    tensors = {
        "linear.weight": rng.standard_normal((outputs, inputs)).astype(np.float32) / 5,
        "linear.bias": rng.standard_normal(outputs).astype(np.float32) / 5,
        "residual.weight": rng.standard_normal((outputs, inputs)).astype(np.float32) / 5,
    } | (changes or {})
    unwanted = {"linear.bias": config.get("bias") is False}
    unwanted["residual.weight"] = not config.get("use_residual") or inputs == outputs
    keep = {k: v for k, v in tensors.items() if k != left_out and not unwanted.get(k)}
    write_tensors(folder / "model.safetensors", {**keep, **(changes or {})})
    edit_json(
        folder / "config.json",
        **{**CONFIG, "in_features": inputs, "out_features": outputs, **config},
    )
    return Module("Dense", folder)


def layer_norm(folder: Path, width: int = 24, **config: Any) -> Module:
    rng = np.random.default_rng(width)
    tensors = {
        "norm.weight": 1 + rng.standard_normal(width).astype(np.float32) / 5,
        "norm.bias": rng.standard_normal(width).astype(np.float32) / 5,
    }
    write_tensors(folder / "model.safetensors", tensors)
    edit_json(folder / "config.json", **{"dimension": width, **config})
    return Module("LayerNorm", folder)


def exact(dense: Any, activation: str, x: Array = X) -> Array:
    """f(x Wᵀ + b) in float64."""
    w, b = dense.weights.w_OI.astype(np.float64), dense.weights.b.astype(np.float64)
    return EXACT[activation](x.astype(np.float64) @ w.T + b)


def refused(call: Callable[[], Any], folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(str(folder))
    return message.removeprefix(str(folder))


@pytest.mark.parametrize("activation", EXACT)
def test_a_dense_and_its_activation(activation: str, tmp_path: Path) -> None:
    path = f"torch.nn.modules.{activation}"
    loaded = load_modules([dense(tmp_path, activation_function=path)], 24)
    assert (loaded.width, loaded.normalize) == (10, False)
    (step,) = loaded.steps
    found = loaded(X)
    assert found.dtype == np.float32
    BAR.hold(found, exact(step, activation))


@pytest.mark.parametrize("activation", EXACT)
@pytest.mark.parametrize(
    "prefix", ["torch.nn.", "torch.nn.modules.linear.", "torch.nn.modules.activation."]
)
def test_paths_of_pytorchs_activations(activation: str, prefix: str, tmp_path: Path) -> None:
    name = activation.partition(".")[2]
    loaded = load_modules([dense(tmp_path, activation_function=prefix + name)], 24)
    BAR.hold(loaded(X), exact(loaded.steps[0], activation))


def test_without_an_activation_it_is_tanh(tmp_path: Path) -> None:
    loaded = load_modules([dense(tmp_path, activation_function=REMOVED)], 24)
    BAR.hold(loaded(X), exact(loaded.steps[0], "activation.Tanh"))


@pytest.mark.parametrize(
    "name", ["torch.nn.modules.activation.SiLU", "Tanh", "torch.tanh", "", "my.Tanh"]
)
def test_another_activation_is_refused(name: str, tmp_path: Path) -> None:
    message = refused(
        lambda: load_modules([dense(tmp_path, activation_function=name)], 24), tmp_path
    )
    assert message.startswith(
        f'/config.json: activation_function is "{name}"; it must be one of Identity, Tanh, ReLU, '
        "GELU, Sigmoid of torch.nn."
    )


def test_an_activation_is_a_string(tmp_path: Path) -> None:
    message = refused(lambda: load_modules([dense(tmp_path, activation_function=1)], 24), tmp_path)
    assert "activation_function is 1; it must be a string" in message


def test_weights_are_what_the_file_holds(tmp_path: Path) -> None:
    """Otherwise the comparisons above could compare a wrong matrix with itself."""
    weight = np.arange(240, dtype=np.float32).reshape(10, 24)
    bias = np.arange(10, dtype=np.float32)
    changes = {"linear.weight": weight, "linear.bias": bias}
    (step,) = load_modules([dense(tmp_path, changes=changes)], 24).steps
    assert isinstance(step, Dense) and step.residual is None and not step.keeps_input
    assert np.array_equal(step.weights.w_OI, weight) and np.array_equal(step.weights.b, bias)


def test_without_a_bias(tmp_path: Path) -> None:
    loaded = load_modules([dense(tmp_path, bias=False)], 24)
    (step,) = loaded.steps
    assert isinstance(step, Dense) and step.weights.b.tolist() == [0] * 10
    assert step.weights.b.dtype == np.float32
    BAR.hold(loaded(X), np.tanh(X.astype(np.float64) @ step.weights.w_OI.astype(np.float64).T))


def test_a_residual_of_the_same_width_is_the_input(tmp_path: Path) -> None:
    loaded = load_modules([dense(tmp_path, outputs=24, use_residual=True)], 24)
    (step,) = loaded.steps
    assert isinstance(step, Dense) and step.keeps_input and step.residual is None
    BAR.hold(loaded(X), exact(step, "activation.Tanh") + X)


@pytest.mark.parametrize("activation", EXACT)
def test_a_residual_of_another_width_has_a_map(activation: str, tmp_path: Path) -> None:
    path = f"torch.nn.modules.{activation}"
    loaded = load_modules([dense(tmp_path, use_residual=True, activation_function=path)], 24)
    (step,) = loaded.steps
    assert isinstance(step, Dense) and step.residual is not None and not step.keeps_input
    residual = X.astype(np.float64) @ step.residual.astype(np.float64).T
    BAR.hold(loaded(X), exact(step, activation) + residual)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("outputs", [24, 10])
@pytest.mark.parametrize("activation", EXACT)
def test_no_step_changes_its_input(
    activation: str, outputs: int, residual: bool, tmp_path: Path
) -> None:
    path = f"torch.nn.modules.{activation}"
    module = dense(tmp_path, outputs=outputs, use_residual=residual, activation_function=path)
    x = X.copy()
    load_modules([module, layer_norm(tmp_path / "norm", outputs)], 24)(x)
    assert np.array_equal(x, X)


@pytest.mark.parametrize("name", ["linear.weight", "linear.bias", "residual.weight"])
def test_each_tensor_of_a_dense_must_be_there(name: str, tmp_path: Path) -> None:
    module = dense(tmp_path, left_out=name, use_residual=True)
    assert refused(lambda: load_modules([module], 24), tmp_path).startswith(
        f": tensor {name} is missing; the file has 2 others, such as"
    )


@pytest.mark.parametrize("name", ["linear.weight", "linear.bias", "residual.weight"])
def test_each_tensor_of_a_dense_must_have_its_shape(name: str, tmp_path: Path) -> None:
    shape = (24, 10) if name.endswith("weight") else (24,)
    wrong = {name: np.ones(shape, np.float32)}
    module = dense(tmp_path, changes=wrong, use_residual=True)
    assert f": tensor {name} has shape {shape}" in refused(
        lambda: load_modules([module], 24), tmp_path
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear.bias", {"bias": False}),
        ("residual.weight", {}),
        ("residual.weight", {"use_residual": True, "outputs": 24}),
        ("other.weight", {}),
    ],
)
def test_an_unused_tensor_is_refused(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    module = dense(tmp_path, changes={name: np.ones((10, 24), np.float32)}, **options)
    assert refused(lambda: load_modules([module], 24), tmp_path) == (
        f" holds 1 tensors that would not be used, such as {name}; a Dense has linear.weight, and "
        "linear.bias and residual.weight if set. Weights and configuration do not match."
    )


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    module = dense(tmp_path, changes={"linear.bias": np.full(10, np.nan, np.float32)})
    message = refused(lambda: load_modules([module], 24), tmp_path)
    assert "tensor linear.bias holds NaN or infinity" in message


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("in_features", 25, "24"),
        ("in_features", 24.0, "24"),
        ("in_features", REMOVED, "24"),
        ("out_features", 0, "an integer of at least 1"),
        ("out_features", True, "an integer of at least 1"),
        ("out_features", REMOVED, "an integer of at least 1"),
        ("bias", 1, "true or false"),
        ("use_residual", "true", "true or false"),
        ("init_weight", [1], "absent, because the engine does not support it"),
        ("init_bias", [1], "absent, because the engine does not support it"),
        ("module_input_name", "token_embeddings", '"sentence_embedding"'),
        ("module_output_name", "other", '"sentence_embedding"'),
    ],
)
def test_settings_of_a_dense(key: str, value: Any, allowed: str, tmp_path: Path) -> None:
    module = dense(tmp_path)
    edit_json(tmp_path / "config.json", **{key: value})
    message = refused(lambda: load_modules([module], 24), tmp_path)
    assert re.match(rf"/config\.json: {key} is .*; it must be {allowed}\. ", message)


def test_settings_of_a_dense_that_change_nothing(tmp_path: Path) -> None:
    usual = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    module = dense(tmp_path, **usual, init_weight=None, init_bias=None, bias=None)
    BAR.hold((loaded := load_modules([module], 24))(X), exact(loaded.steps[0], "activation.Tanh"))


@pytest.mark.parametrize("kind", ["Dense", "LayerNorm"])
def test_a_module_without_its_configuration_is_refused(kind: str, tmp_path: Path) -> None:
    message = refused(lambda: load_modules([Module(kind, tmp_path)], 24), tmp_path)
    key = "in_features" if kind == "Dense" else "dimension"
    assert message.startswith(f"/config.json: {key} is missing; it must be 24. ")


def test_a_layer_norm(tmp_path: Path) -> None:
    loaded = load_modules([layer_norm(tmp_path)], 24)
    assert (loaded.width, loaded.normalize) == (24, False)
    (step,) = loaded.steps
    x = (X * 1e-3 + 2).astype(np.float32)  # a variance of 1e-6: eps counts
    wide = x.astype(np.float64)
    mean = wide.mean(axis=1, keepdims=True)
    variance = ((wide - mean) ** 2).mean(axis=1, keepdims=True)
    unit = (wide - mean) / np.sqrt(variance + 1e-5)
    expected = unit * step.weights.scale + step.weights.shift  # type: ignore[attr-defined]
    found = loaded(x)
    assert found.dtype == np.float32
    bars.Largest(1e-4).hold(
        found, expected
    )  # 2 is rounded to 1e-7, and eps makes it 300 times that


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("dimension", 25, "24"),
        ("dimension", "24", "24"),
        ("eps", 1e-12, "absent; the known fields are dimension, module_input_name, module_output"),
        ("module_input_name", "x", '"sentence_embedding"'),
    ],
)
def test_settings_of_a_layer_norm(key: str, value: Any, allowed: str, tmp_path: Path) -> None:
    module = layer_norm(tmp_path, **{key: value})
    message = refused(lambda: load_modules([module], 24), tmp_path)
    assert re.match(rf"/config\.json: {key} is .*; it must be {allowed}", message)


def test_a_layer_norm_has_two_tensors_of_its_width(tmp_path: Path) -> None:
    module, ones = layer_norm(tmp_path), np.ones(24, np.float32)
    path = tmp_path / "model.safetensors"
    write_tensors(path, {"norm.weight": ones})
    load = lambda: load_modules([module], 24)  # noqa: E731
    assert "tensor norm.bias is missing" in refused(load, tmp_path)
    write_tensors(path, {"norm.weight": ones, "norm.bias": ones[1:]})
    assert "tensor norm.bias has shape (23,)" in refused(load, tmp_path)
    write_tensors(path, {"norm.weight": ones, "norm.bias": ones, "x": ones})
    assert "such as x; a LayerNorm has norm.weight and norm.bias. " in refused(load, tmp_path)


def test_each_module_takes_the_width_of_the_previous_one(tmp_path: Path) -> None:
    chain = [dense(tmp_path / "a", 24, 10), layer_norm(tmp_path / "b", 10)]
    chain += [dense(tmp_path / "c", 10, 5), layer_norm(tmp_path / "d", 5)]
    loaded = load_modules(chain, 24)
    assert loaded.width == 5 and len(loaded.steps) == 4
    assert loaded(X).shape == (7, 5)
    with pytest.raises(CheckpointError, match="in_features is 10; it must be 24"):
        load_modules(chain[2:], 24)
    with pytest.raises(CheckpointError, match="dimension is 10; it must be 24"):
        load_modules(chain[1:], 24)


def test_the_order_matters(tmp_path: Path) -> None:
    """A Normalize before a Dense, a Dense before a Normalize: other numbers."""
    unit, linear = Module("Normalize", tmp_path / "n"), dense(tmp_path / "d", bias=False)
    first, last = load_modules([unit, linear], 24), load_modules([linear, unit], 24)
    assert (len(first.steps), first.normalize) == (2, False)
    assert (len(last.steps), last.normalize) == (1, True)
    wide = X.astype(np.float64)
    rows = wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))
    BAR.hold(first(X), exact(first.steps[1], "activation.Tanh", rows))
    BAR.hold(last(X), exact(last.steps[0], "activation.Tanh"))  # the caller normalises


def test_normalize_twice_keeps_the_first_as_a_step(tmp_path: Path) -> None:
    unit = Module("Normalize", tmp_path)
    loaded = load_modules([unit, unit], 24)
    assert (len(loaded.steps), loaded.normalize, loaded.width) == (1, True, 24)
    lengths = (loaded(X).astype(np.float64) ** 2).sum(axis=1)
    BAR.hold(lengths, np.ones(7))


def test_no_modules_do_nothing() -> None:
    loaded = load_modules([], 24)
    assert loaded == Modules([], 24, False)
    assert loaded(X) is X


@pytest.mark.parametrize("name", ["module_input_name", "module_output_name"])
def test_settings_of_a_normalize(name: str, tmp_path: Path) -> None:
    edit_json(tmp_path / "config.json", **{name: "token_embeddings"})
    message = refused(lambda: load_modules([Module("Normalize", tmp_path)], 24), tmp_path)
    assert f'{name} is "token_embeddings"; it must be "sentence_embedding"' in message


def test_folders_of_weights(tmp_path: Path) -> None:
    kinds = ["Normalize", "Dense", "LayerNorm", "Normalize", "Dense"]
    chain = [Module(kind, tmp_path / f"{i}") for i, kind in enumerate(kinds)]
    assert weight_folders(chain) == [tmp_path / "1", tmp_path / "2", tmp_path / "4"]


def test_sigmoid_never_overflows() -> None:
    x = np.array([[-1e4, -100, -1, 0, 1, 100, 1e4]], np.float32)
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        found = modules.sigmoid(x)
    assert found.dtype == np.float32
    small = 1 / (1 + math.e)
    BAR.hold(found, np.array([[0, 0, small, 0.5, 1 - small, 1, 1]]))
    assert 0 < found[0, 1] < 1e-43


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1, 1), (3, 5), (24, 10), (40, 40), (129, 7), (768, 33)]
)
@pytest.mark.parametrize("activation", EXACT)
def test_the_same_bits_alone_and_in_any_batch(
    inputs: int, outputs: int, activation: str, tmp_path: Path
) -> None:
    """A BLAS library may sum a single row in another order; by_rows must not."""
    path = f"torch.nn.modules.{activation}"
    options = {"use_residual": True, "activation_function": path}
    chain = [dense(tmp_path / "d", inputs, outputs, **options), layer_norm(tmp_path / "n", outputs)]
    loaded = load_modules(chain, inputs)
    x = np.random.default_rng(inputs).standard_normal((67, inputs)).astype(np.float32)
    whole = loaded(x)
    for size in (1, 2, 3, 8, 17, 64):
        parts = [loaded(x[i : i + size]) for i in range(0, 67, size)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_no_rows() -> None:
    weights = Linear(np.ones((3, 2), np.float32), np.ones(3, np.float32))
    assert Dense(weights, np.tanh)(np.empty((0, 2), np.float32)).shape == (0, 3)


def test_modules_cannot_be_changed(tmp_path: Path) -> None:
    """Threads share them."""
    loaded = load_modules([dense(tmp_path / "d"), layer_norm(tmp_path / "n", 10)], 24)
    for part in (loaded, *loaded.steps):
        with pytest.raises(FrozenInstanceError):
            setattr(part, next(iter(vars(part))), None)
