"""A folder of safetensors -> the weights of `engine.model`: names, shapes and values checked.

Shape letters as in `engine.model`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.checkpoint.config import Config
from engine.checkpoint.tensor_files import read_tensors
from engine.errors import CheckpointError

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """x_TI -> x Wᵀ + b, with b of length O."""

    w_OI: Array
    b: Array


@dataclass(frozen=True)
class Norm:
    """Scale and shift of a layer norm, each of length D."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Layer:
    """query, key, value, attention_output are D to D; up is D to F, down F to D."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    output_norm: Norm


@dataclass(frozen=True)
class Weights:
    word_VD: Array
    position_PD: Array
    token_type_D: Array  # of type 0: texts are never embedded as pairs
    embedding_norm: Norm
    layers: tuple[Layer, ...]


# Hugging Face's names, here and nowhere else. Each may have a prefix. Old checkpoints call the
# layer norm's weight and bias gamma and beta.
PREFIXES = ("", "bert.", "model.", "0.auto_model.", "0.model.")
SPELLINGS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
UNUSED = ("embeddings.position_ids", "embeddings.token_type_ids")
EMBEDDINGS = {
    "word_VD": "embeddings.word_embeddings.weight",
    "position_PD": "embeddings.position_embeddings.weight",
    "token_type": "embeddings.token_type_embeddings.weight",
    "embedding_norm": "embeddings.LayerNorm",
}
LAYER = "encoder.layer.{}."
LAYER_LINEARS = {  # our name -> (Hugging Face's, outputs, inputs)
    "query": ("attention.self.query", "D", "D"),
    "key": ("attention.self.key", "D", "D"),
    "value": ("attention.self.value", "D", "D"),
    "attention_output": ("attention.output.dense", "D", "D"),
    "up": ("intermediate.dense", "F", "D"),
    "down": ("output.dense", "D", "F"),
}
LAYER_NORMS = {"attention_norm": "attention.output.LayerNorm", "output_norm": "output.LayerNorm"}


def load_weights(folder: Path, config: Config) -> Weights:
    """The weights in `folder`; CheckpointError names a missing or misshapen tensor."""
    reader = TensorReader(folder, _bert_tensors(folder))
    sizes = {"D": config.hidden, "F": config.feed_forward, "V": config.vocabulary}
    reader.sizes = {**sizes, "P": config.positions, "types": config.token_types}
    weights = Weights(
        word_VD=reader.take(EMBEDDINGS["word_VD"], "V", "D"),
        # Encoders give a text's first token position 0. An architecture whose positions begin at
        # a later row of the table (RoBERTa) drops the rows before it here; P counts the others.
        position_PD=reader.take(EMBEDDINGS["position_PD"], "P", "D"),
        token_type_D=reader.take(EMBEDDINGS["token_type"], "types", "D")[0],
        embedding_norm=reader.norm(EMBEDDINGS["embedding_norm"]),
        layers=tuple(_layer(reader, LAYER.format(n)) for n in range(config.layers)),
    )
    reader.refuse_unused("config.json says num_hidden_layers is " + str(config.layers))
    return weights


def _layer(reader: "TensorReader", prefix: str) -> Layer:
    linears = {k: reader.linear(prefix + n, o, i) for k, (n, o, i) in LAYER_LINEARS.items()}
    norms = {k: reader.norm(prefix + n) for k, n in LAYER_NORMS.items()}
    return Layer(**linears, **norms)  # type: ignore[arg-type]


class TensorReader:
    """Returns tensors by name, after checking their shapes and values.

    `sizes` gives the length of each axis by its letter. NaN and infinity are refused.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, Array]) -> None:
        self.folder, self.tensors = folder, tensors
        self.sizes: Mapping[str, int] = {}
        self._left = set(tensors)

    def take(self, name: str, *axes: str) -> Array:
        """The tensor of that name, whose shape must be that of `axes`."""
        if name not in self.tensors:
            raise CheckpointError(
                f"{self.folder}: tensor {name} is missing; the file has {len(self.tensors)} "
                f"others, such as {', '.join(sorted(self.tensors)[:3])}. Is it a BERT?"
            )
        self._left.discard(name)
        tensor, shape = self.tensors[name], tuple(self.sizes[axis] for axis in axes)
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self.folder}: tensor {name} has shape {tensor.shape}, but config.json implies "
                f"{shape} ({', '.join(axes)}). Weights and configuration do not match."
            )
        if not _all_finite(tensor):
            raise CheckpointError(
                f"{self.folder}: tensor {name} holds NaN or infinity; weights must be finite "
                "float32 numbers. The file is damaged, or training failed: download it again."
            )
        return tensor

    def linear(self, name: str, outputs: str, inputs: str) -> Linear:
        return Linear(
            self.take(f"{name}.weight", outputs, inputs), self.take(f"{name}.bias", outputs)
        )

    def norm(self, name: str, width: str = "D") -> Norm:
        return Norm(self.take(f"{name}.weight", width), self.take(f"{name}.bias", width))

    def refuse_unused(self, why: str) -> None:
        """CheckpointError if a tensor was not taken: the checkpoint's model computes more."""
        if self._left:
            names = ", ".join(sorted(self._left)[:3])
            raise CheckpointError(
                f"{self.folder} holds {len(self._left)} tensors that would not be used, such as "
                f"{names}; {why}. Weights and configuration do not match."
            )


def _all_finite(tensor: Array) -> bool:
    """Whether all numbers are finite; one pass, unless the sum overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(tensor.sum()) or np.isfinite(tensor).all())


def _bert_tensors(folder: Path) -> dict[str, Array]:
    """Embeddings and encoder by their current names, without pooler and task heads."""
    tensors = read_tensors(folder)
    word = EMBEDDINGS["word_VD"]
    prefixes = [prefix for prefix in PREFIXES if prefix + word in tensors]
    if len(prefixes) != 1:
        raise CheckpointError(
            f"{folder}: {len(prefixes)} of its {len(tensors)} tensors are named {word} (with or "
            f"without a prefix); exactly one is needed. Some: {', '.join(sorted(tensors)[:3])}. "
            "Is it a BERT?"
        )
    found: dict[str, Array] = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(prefixes[0])
        for old, new in SPELLINGS.items():
            bare = bare.replace(old, new)
        used = name.startswith(prefixes[0]) and bare.startswith(("embeddings.", "encoder."))
        if used and bare not in UNUSED and found.setdefault(bare, tensor) is not tensor:
            raise CheckpointError(f"{folder}: tensor {bare} occurs under two names.")
    return found
