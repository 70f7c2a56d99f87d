"""Checkpoints of any shape, from a seed: the same bits on every machine and numpy version.

Random weights are a harder test than they look, if they are drawn so that nothing hides:

- attention is sharp. With BERT's own initialisation (standard deviation 0.02) the scores of a query
  differ by a few tenths, every softmax is nearly uniform, and a wrong scale or a swapped head goes
  unseen. Here the scores of unlike tokens have the standard deviation `sharpness`, and more in each
  further layer, because mixing makes the tokens of a text more and more alike.
- a few channels are outliers, as in every trained BERT: each layer norm shifts them far from 0.
- every bias, scale and shift differs from 0 and 1, and the two token types differ, so none can be
  left out.
- what real checkpoints carry and an embedding does not use is there too: position ids, a pooler.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tests.support.paths import WEIGHTS

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")

Array = NDArray[np.float32]
Named = tuple[str, NDArray[Any]]


@dataclass(frozen=True)
class Sizes:
    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab: int
    positions: int


TINY = WEIGHTS / "tiny"


def write_checkpoint(
    folder: Path,
    *,
    seed: int,
    tokenizer: Path = TINY,
    pooling: str = "mean",
    max_tokens: int | None = None,
    prompts: Mapping[str, str] | None = None,
    sharpness: float = 3.0,
    **shape: int,
) -> Path:
    """Write a sentence-transformers folder, the tokenizer copied from another; `shape` is Sizes."""
    sizes = Sizes(**shape)
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER:
        if tokenizer != folder:
            shutil.copyfile(tokenizer / name, folder / name)
    for path, content in {
        "config.json": bert_config(sizes),
        "modules.json": MODULES,
        "1_Pooling/config.json": pooling_config(sizes, pooling),
        "sentence_bert_config.json": {"max_seq_length": max_tokens or sizes.positions},
        "config_sentence_transformers.json": {"prompts": dict(prompts or {})},
    }.items():
        write_json(folder / path, content)
    tensors = Drawing(sizes, seed, sharpness).tensors()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


MODULES = [
    {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for i, (path, kind) in enumerate(
        [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    )
]


def bert_config(sizes: Sizes) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.ffn,
        "vocab_size": sizes.vocab,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
    }


def pooling_config(sizes: Sizes, pooling: str) -> dict[str, Any]:
    return {
        "word_embedding_dimension": sizes.hidden,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }


class Drawing:
    """The tensors of a BERT, drawn in the order of a checkpoint and under its names."""

    def __init__(self, sizes: Sizes, seed: int, sharpness: float) -> None:
        self.sizes, self.sharpness = sizes, sharpness
        self.bits = np.random.PCG64(seed)

    def tensors(self) -> dict[str, NDArray[Any]]:
        tensors = dict(self.embeddings())
        for n in range(self.sizes.layers):
            sharpness = self.sharpness * (1 + 0.3 * n)
            for name, tensor in self.encoder_layer(sharpness):
                tensors[f"encoder.layer.{n}.{name}"] = tensor
        return tensors | dict(self.unused())

    def embeddings(self) -> Iterator[Named]:
        rows = {"word": self.sizes.vocab, "position": self.sizes.positions, "token_type": 2}
        for name, count in rows.items():
            table = self.normal(0.05, count, self.sizes.hidden)
            yield f"embeddings.{name}_embeddings.weight", table
        yield from self.norm("embeddings.LayerNorm")

    def encoder_layer(self, sharpness: float) -> Iterator[Named]:
        """Weights (O, I) of deviation g / √I multiply the deviation of what they map by g.

        A score sums K products of a query's and a key's number and is divided by √K, so its
        deviation is the product of theirs: each gets √sharpness.
        """
        square, sharp = (self.sizes.hidden, self.sizes.hidden), math.sqrt(sharpness)
        yield from self.linear("attention.self.query", sharp, *square)
        yield from self.linear("attention.self.key", sharp, *square)
        yield from self.linear("attention.self.value", 1.0, *square)
        yield from self.linear("attention.output.dense", 0.5, *square)
        yield from self.norm("attention.output.LayerNorm")
        yield from self.linear("intermediate.dense", 1.0, self.sizes.ffn, self.sizes.hidden)
        yield from self.linear("output.dense", 1.5, self.sizes.hidden, self.sizes.ffn)
        yield from self.norm("output.LayerNorm")

    def unused(self) -> Iterator[Named]:
        yield "embeddings.position_ids", np.arange(self.sizes.positions).reshape(1, -1)
        yield from self.linear("pooler.dense", 1.0, self.sizes.hidden, self.sizes.hidden)

    def linear(self, name: str, gain: float, outputs: int, inputs: int) -> Iterator[Named]:
        yield f"{name}.weight", self.normal(gain / math.sqrt(inputs), outputs, inputs)
        yield f"{name}.bias", self.normal(0.1, outputs)

    def norm(self, name: str) -> Iterator[Named]:
        width = self.sizes.hidden
        scale, shift = 1 + self.normal(0.1, width), self.normal(0.1, width)
        shift[width // 3 :: width // 3] -= 2
        yield f"{name}.weight", scale
        yield f"{name}.bias", shift

    def normal(self, deviation: float, *shape: int) -> Array:
        """Bell-shaped numbers: of each raw 64-bit draw, the four 16-bit quarters are summed.

        Raw draws are what numpy promises never to change, and a sum of four is exact in float32;
        its mean is 131070, its standard deviation 2¹⁶ / √3.
        """
        quarters = self.bits.random_raw(math.prod(shape)).view(np.uint16).reshape(-1, 4)
        numbers = quarters.sum(axis=1, dtype=np.int32).astype(np.float32)
        numbers -= 131070
        numbers *= np.float32(deviation * math.sqrt(3) / 2**16)
        return numbers.reshape(shape)
