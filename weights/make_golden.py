"""Writes weights/reference/: what sentence-transformers and transformers compute, to the last bit.

    python -m weights.make_golden [CHECKPOINT ...]

Needs `pip install -e '.[reference]'`. For each checkpoint an .npz file has, with floats in float32
as the libraries returned them,

    ids, ends           token ids of all texts end to end, and where each text ends
    mean, cls           unit vectors (texts, D) of sentence-transformers, under both poolings
    hidden_0, hidden_1  last hidden states (L, D) of the texts HIDDEN, from transformers

and a .json file says what produced them: versions, hashes of the texts and the weights, and
`float32_error`, the largest difference of each array from the same model run in float64, which is
the rounding error of the reference itself.
"""

import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.support.checkpoints import FOLDERS, texts_of
from tests.support.texts import fingerprint

OUT = Path(__file__).parent / "reference"
HIDDEN = ("hello world", "The kettle boiled over while nobody was watching.")
LIBRARIES = ("sentence-transformers", "transformers", "tokenizers", "torch", "numpy")

Arrays = dict[str, NDArray[Any]]


class Reference:
    """A checkpoint loaded by sentence-transformers, in float32 or, if `exact`, in float64."""

    def __init__(self, folder: Path, *, exact: bool = False) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), device="cpu")
        if exact:
            self.model.double()
        self.bert = self.model[0].auto_model

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        limit = self.model.max_seq_length
        found: list[list[int]] = self.model.tokenizer(
            list(texts), truncation=True, max_length=limit
        )["input_ids"]
        return found

    def vectors(self, texts: Sequence[str], pooling: str) -> NDArray[Any]:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Normalize, Pooling

        pool = Pooling(self.bert.config.hidden_size, pooling)
        model = SentenceTransformer(modules=[self.model[0], pool, Normalize()], device="cpu")
        return np.asarray(model.encode(list(texts)))

    def hidden(self, text: str) -> NDArray[Any]:
        import torch

        with torch.no_grad():
            out = self.bert(input_ids=torch.tensor(self.ids([text])))
        return np.asarray(out.last_hidden_state[0])

    def floats(self, texts: Sequence[str]) -> Arrays:
        arrays = {pooling: self.vectors(texts, pooling) for pooling in ("mean", "cls")}
        return arrays | {f"hidden_{i}": self.hidden(text) for i, text in enumerate(HIDDEN)}


def weights_fingerprint(folder: Path) -> str:
    """SHA-256 over the names and values of all tensors, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(folder / "model.safetensors").items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def distances(arrays: Arrays, truth: Arrays) -> dict[str, float]:
    return {name: float(np.abs(arrays[name] - exact).max()) for name, exact in truth.items()}


def write(name: str) -> None:
    folder, texts = FOLDERS[name](), texts_of(name)
    reference = Reference(folder)
    ids = reference.ids(texts)
    arrays = reference.floats(texts)
    truth = Reference(folder, exact=True).floats(texts)
    about = {
        "made_by": {
            "python": platform.python_version(),
            **{lib: version(lib) for lib in LIBRARIES},
        },
        "texts": {"count": len(texts), "sha256": fingerprint(texts)},
        "weights_sha256": weights_fingerprint(folder),
        "hidden": HIDDEN,
        "float32_error": distances(arrays, truth),
    }
    arrays |= {"ids": np.concatenate(ids).astype(np.int32), "ends": np.cumsum([*map(len, ids)])}
    np.savez_compressed(OUT / f"{name}.npz", **arrays)
    (OUT / f"{name}.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    print(name, json.dumps(about["float32_error"]))


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for checkpoint in sys.argv[1:] or FOLDERS:
        write(checkpoint)
