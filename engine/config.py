"""What a checkpoint says of itself: sizes, eps, pooling, token limit, prompts.

The folder is laid out as sentence-transformers writes it: config.json of the BERT, and beside it
1_Pooling/config.json, sentence_bert_config.json and config_sentence_transformers.json, each of
which may be missing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import CheckpointError


@dataclass(frozen=True)
class Config:
    """Sizes are named as in `engine.model`; `max_tokens` counts the special tokens too."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    eps: float
    pooling: str
    max_tokens: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


def read_config(folder: Path) -> Config:
    """The configuration of the checkpoint in `folder`; CheckpointError unless a plain BERT."""
    bert = _read(folder / "config.json")
    if bert is None:
        raise CheckpointError(
            f"{folder} has no config.json. A checkpoint is a folder with config.json, "
            "model.safetensors and tokenizer.json; name that folder."
        )
    _refuse_other_architectures(bert, folder)
    transformer = _read(folder / "sentence_bert_config.json") or {}
    sentence = _read(folder / "config_sentence_transformers.json") or {}
    positions = _size(bert, "max_position_embeddings", folder)
    limit = transformer.get("max_seq_length") or positions
    hidden, heads = (_size(bert, key, folder) for key in ("hidden_size", "num_attention_heads"))
    if hidden % heads:
        raise CheckpointError(
            f"{folder}/config.json: hidden_size {hidden} is not a multiple of "
            f"num_attention_heads {heads}."
        )
    return Config(
        hidden=hidden,
        layers=_size(bert, "num_hidden_layers", folder),
        heads=heads,
        feed_forward=_size(bert, "intermediate_size", folder),
        vocabulary=_size(bert, "vocab_size", folder),
        positions=positions,
        token_types=_size(bert, "type_vocab_size", folder),
        eps=float(bert.get("layer_norm_eps", 1e-12)),
        pooling=_pooling(folder),
        max_tokens=min(int(limit), positions),
        prompts={k: v for k, v in (sentence.get("prompts") or {}).items() if v},
        default_prompt=sentence.get("default_prompt_name"),
    )


def _refuse_other_architectures(bert: Mapping[str, Any], folder: Path) -> None:
    """Only the computation of `engine.model` is offered; anything else would be silently wrong."""
    expected = {
        "model_type": ("bert",),
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
    }
    for key, allowed in expected.items():
        value = bert.get(key, allowed[0] if key != "model_type" else None)
        if value not in allowed:
            raise CheckpointError(
                f"{folder}/config.json: {key} is {value!r}, and this engine computes only "
                f"{allowed[0]!r} (plain BERT: absolute positions, erf GELU). "
                "`bge models` lists checkpoints that work."
            )


def _pooling(folder: Path) -> str:
    said = _read(folder / "1_Pooling" / "config.json")
    if said is None:
        return "mean"  # what sentence-transformers does with a bare BERT
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    chosen = [
        key for key, value in said.items() if key.startswith("pooling_mode_") and value is True
    ]
    if isinstance(said.get("pooling_mode"), str):  # sentence-transformers 5.2 and later
        chosen, names = [said["pooling_mode"]], {"cls": "cls", "mean": "mean"}
    if len(chosen) != 1 or chosen[0] not in names:
        raise CheckpointError(
            f"{folder}/1_Pooling/config.json asks for {', '.join(chosen) or 'no pooling'}; "
            "this engine pools by mean or by cls, one of them."
        )
    return names[chosen[0]]


def _size(bert: Mapping[str, Any], key: str, folder: Path) -> int:
    value = bert.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{folder}/config.json: {key} is {value!r}, not a positive integer.")
    return value


def _read(path: Path) -> Any:
    """The JSON in `path`, or None where there is no such file."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
