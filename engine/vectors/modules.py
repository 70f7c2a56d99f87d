"""The modules of sentence-transformers after the pooling: Dense, LayerNorm and Normalize.

Each maps pooled vectors x_SI to x_SO, float32, row by row, so that a text's bits do not depend on
the batch. Formulas and shape letters as in `engine.model`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.checkpoint.json_files import JsonObject
from engine.checkpoint.module_list import Module
from engine.checkpoint.tensor_files import read_tensors
from engine.checkpoint.weights import Linear, Norm, TensorReader

Array = NDArray[np.float32]
Step = Callable[[Array], Array]

LAYER_NORM_EPS = 1e-5  # PyTorch's default; the module has no such setting


def sigmoid(x_SO: Array) -> Array:
    """1 / (1 + e^-x), written so that e^ never overflows."""
    small = np.exp(-np.abs(x_SO))
    return np.where(x_SO >= 0, 1 / (1 + small), small / (1 + small))


# By the names of PyTorch's classes.
ACTIVATIONS: dict[str, Step] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": model.gelu,
    "Sigmoid": sigmoid,
}
PATHS = ("torch.nn.modules.activation.", "torch.nn.modules.linear.", "torch.nn.")


@dataclass(frozen=True)
class Dense:
    """f(x Wᵀ + b), plus x or a second linear map of x if the module has a residual."""

    weights: Linear
    activation: Step
    residual: Array | None = None  # (O, I); the identity matrix is not stored
    keeps_input: bool = False

    def __call__(self, x_SI: Array) -> Array:
        y_SO = self.activation(by_rows(x_SI, self.weights.w_OI) + self.weights.b)
        if self.residual is not None:
            y_SO += by_rows(x_SI, self.residual)
        return y_SO + x_SI if self.keeps_input else y_SO


@dataclass(frozen=True)
class LayerNorm:
    """As in the model, over the pooled vector."""

    weights: Norm

    def __call__(self, x_SI: Array) -> Array:
        y_SI: Array = model.layer_norm(x_SI, self.weights, LAYER_NORM_EPS)
        return y_SI


def by_rows(x_SI: Array, w_OI: Array) -> Array:
    """x Wᵀ, summed in the same order for any number of rows, which BLAS does not guarantee."""
    y_SO: Array = np.einsum("si,oi->so", x_SI, w_OI)
    return y_SO


@dataclass(frozen=True)
class Modules:
    """The steps after pooling, the width of the result, and whether it is normalised.

    A Normalize at the end is not among the steps, so that callers can skip it.
    """

    steps: Sequence[Step]
    width: int
    normalize: bool

    def __call__(self, x_SD: Array) -> Array:
        for step in self.steps:
            x_SD = step(x_SD)
        return x_SD


def load_modules(modules: Sequence[Module], width: int) -> Modules:
    """Reads the modules after a pooling of `width` components; CheckpointError if one is damaged
    or unsupported."""
    steps: list[Step] = []
    for module in modules:
        config = JsonObject.read_or_empty(module.folder / "config.json")
        config.choice("module_input_name", ["sentence_embedding"], "sentence_embedding")
        config.choice("module_output_name", ["sentence_embedding"], "sentence_embedding")
        if module.kind == "Normalize":
            steps.append(model.normalize)
        elif module.kind == "LayerNorm":
            steps.append(_layer_norm(module.folder, config, width))
        else:
            steps.append(dense := _dense(module.folder, config, width))
            width = len(dense.weights.b)
    normalize = bool(steps) and steps[-1] is model.normalize
    return Modules(steps[:-1] if normalize else steps, width, normalize)


def _layer_norm(folder: Path, config: JsonObject, width: int) -> LayerNorm:
    config.allow_only({"dimension", "module_input_name", "module_output_name"})
    config.choice("dimension", [width])
    reader = TensorReader(folder, read_tensors(folder))
    reader.sizes = {"D": width}
    norm = reader.norm("norm")
    reader.refuse_unused("a LayerNorm has norm.weight and norm.bias")
    return LayerNorm(norm)


def _dense(folder: Path, config: JsonObject, width: int) -> Dense:
    config.choice("in_features", [width])
    config.refuse("init_weight", "init_bias")
    has_bias, has_residual = config.boolean("bias", True), config.boolean("use_residual", False)
    outputs = config.integer("out_features")
    reader = TensorReader(folder, read_tensors(folder))
    reader.sizes = {"I": width, "O": outputs}
    weight = reader.take("linear.weight", "O", "I")
    bias = reader.take("linear.bias", "O") if has_bias else np.zeros(outputs, np.float32)
    square = width == outputs
    residual = reader.take("residual.weight", "O", "I") if has_residual and not square else None
    reader.refuse_unused("a Dense has linear.weight, and linear.bias and residual.weight if set")
    keeps_input = has_residual and square
    return Dense(Linear(weight, bias), _activation(config), residual, keeps_input)


def _activation(config: JsonObject) -> Step:
    """The function, by its PyTorch name; Tanh by default, as in sentence-transformers."""
    path = config.text("activation_function", "torch.nn.Tanh")
    names = {prefix + name: step for name, step in ACTIVATIONS.items() for prefix in PATHS}
    if path not in names:
        raise config.invalid("activation_function", f"one of {', '.join(ACTIVATIONS)} of torch.nn")
    return names[path]


def weight_folders(modules: Sequence[Module]) -> list[Path]:
    """The folders of the modules that have weights."""
    return [module.folder for module in modules if module.kind in ("Dense", "LayerNorm")]
