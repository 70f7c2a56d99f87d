"""A folder of safetensors -> the weights of `engine.model`, every name and shape checked.

Tensors are memory-mapped: float32 is used where it lies in the file, shared by all processes that
read it; float16 and bfloat16 are widened to float32 copies. Shapes: the letters of `engine.model`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import Config
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
    token_type_D: Array  # that of type 0: texts are embedded one by one, never as pairs
    embedding_norm: Norm
    layers: tuple[Layer, ...]


# Hugging Face's names, here and nowhere else. Some checkpoints put "bert." before each, and old
# ones spell the layer norm's weight and bias as gamma and beta.
PREFIXES = ("", "bert.")
SPELLINGS = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
EMBEDDINGS = {
    "word_VD": "embeddings.word_embeddings.weight",
    "position_PD": "embeddings.position_embeddings.weight",
    "token_type": "embeddings.token_type_embeddings.weight",
    "embedding_norm": "embeddings.LayerNorm",
}
LAYER = "encoder.layer.{}."
LAYER_LINEARS = {  # name here -> (name there, outputs, inputs)
    "query": ("attention.self.query", "D", "D"),
    "key": ("attention.self.key", "D", "D"),
    "value": ("attention.self.value", "D", "D"),
    "attention_output": ("attention.output.dense", "D", "D"),
    "up": ("intermediate.dense", "F", "D"),
    "down": ("output.dense", "D", "F"),
}
LAYER_NORMS = {"attention_norm": "attention.output.LayerNorm", "output_norm": "output.LayerNorm"}


def load_weights(folder: Path, config: Config) -> Weights:
    """Weights of the checkpoint in `folder`; CheckpointError names what is missing or misshapen."""
    take = _Taker(folder, dict(_tensors(folder)), config)
    return Weights(
        word_VD=take(EMBEDDINGS["word_VD"], "V", "D"),
        position_PD=take(EMBEDDINGS["position_PD"], "P", "D"),
        token_type_D=take(EMBEDDINGS["token_type"], "types", "D")[0],
        embedding_norm=take.norm(EMBEDDINGS["embedding_norm"]),
        layers=tuple(_layer(take, LAYER.format(n)) for n in range(config.layers)),
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: one, or the shards that an index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise CheckpointError(
            f"{folder} has no model.safetensors (nor model.safetensors.index.json). Weights in "
            "other formats are not read: pickled ones can run code. Convert them to safetensors."
        )
    try:
        shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, OSError) as error:
        raise CheckpointError(f"{index} is no index of shards: {error!r}") from error
    for name in shards:
        if Path(name).name != name or not (folder / name).is_file():
            raise CheckpointError(f"{index} names the shard {name!r}, which is not in {folder}.")
    return [folder / name for name in shards]


def _layer(take: "_Taker", prefix: str) -> Layer:
    linears = {k: take.linear(prefix + n, o, i) for k, (n, o, i) in LAYER_LINEARS.items()}
    norms = {k: take.norm(prefix + n) for k, n in LAYER_NORMS.items()}
    return Layer(**linears, **norms)  # type: ignore[arg-type]


class _Taker:
    """Takes tensors by name, in any spelling, and checks their shapes against the configuration."""

    def __init__(self, folder: Path, tensors: Mapping[str, Array], config: Config) -> None:
        self.folder, self.tensors = folder, tensors
        self.sizes = {"D": config.hidden, "F": config.feed_forward, "V": config.vocabulary}
        self.sizes |= {"P": config.positions, "types": config.token_types}

    def __call__(self, name: str, *axes: str) -> Array:
        tensor, shape = self._find(name), tuple(self.sizes[axis] for axis in axes)
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self.folder}: tensor {name} has shape {tensor.shape}, but config.json makes it "
                f"{shape} ({', '.join(axes)}). Weights and configuration are not of one model."
            )
        return tensor

    def linear(self, name: str, outputs: str, inputs: str) -> Linear:
        return Linear(self(f"{name}.weight", outputs, inputs), self(f"{name}.bias", outputs))

    def norm(self, name: str) -> Norm:
        return Norm(self(f"{name}.weight", "D"), self(f"{name}.bias", "D"))

    def _find(self, name: str) -> Array:
        old = name
        for new_ending, old_ending in SPELLINGS.items():
            old = old.replace(new_ending, old_ending)
        for spelled in (prefix + n for n in (name, old) for prefix in PREFIXES):
            if spelled in self.tensors:
                return self.tensors[spelled]
        raise CheckpointError(
            f"{self.folder}: tensor {name} is missing; the file has {len(self.tensors)} others, "
            f"such as {', '.join(sorted(self.tensors)[:3])}. Is it a BERT?"
        )


def _tensors(folder: Path) -> Iterator[tuple[str, Array]]:
    for path in weight_files(folder):
        header = _checked_header(path)
        content = np.memmap(path, np.uint8, "r")
        data = content[8 + int(content[:8].view("<u8")[0]) :]
        for name, about in header.items():
            if about["dtype"] in DTYPES:  # the rest, position_ids in I64, is of no use
                begin, end = about["data_offsets"]
                yield name, DTYPES[about["dtype"]](data[begin:end]).reshape(about["shape"])


def _checked_header(path: Path) -> dict[str, Any]:
    """Names, types, shapes and offsets, after the safetensors library has checked the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
        with path.open("rb") as file:
            header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut short ({path.stat().st_size} bytes): {error}. "
            "Fetch it again; `bge pull` verifies what it fetches."
        ) from error
    header.pop("__metadata__", None)
    return {k: v for k, v in header.items() if math.prod(v["shape"])}


def _float32(raw: NDArray[np.uint8]) -> Array:
    aligned = raw if raw.ctypes.data % 4 == 0 else raw.copy()
    return aligned.view("<f4")


def _float16(raw: NDArray[np.uint8]) -> Array:
    return raw.copy().view("<f2").astype(np.float32)


def _bfloat16(raw: NDArray[np.uint8]) -> Array:
    """bfloat16 is the upper half of a float32."""
    return (raw.copy().view("<u2").astype(np.uint32) << 16).view(np.float32)


DTYPES = {"F32": _float32, "F16": _float16, "BF16": _bfloat16}
