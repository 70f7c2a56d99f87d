"""The three checkpoints that the model is tested on: where they are, or how they are made.

tiny       committed, two layers, odd sizes, random weights
minilm     all-MiniLM-L6-v2, real weights; downloaded if it is not on this machine
bge_shape  BGE-base's exact shape and vocabulary, random weights, 438 MB; generated when missing
"""

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

from engine.catalog import registry
from tests.support.synthetic import TINY, write_checkpoint
from tests.support.texts import mixed_texts

BGE_BASE = {"hidden": 768, "layers": 12, "heads": 12, "ffn": 3072, "vocab": 30522, "positions": 512}
SEED = 768


def tiny() -> Path:
    return TINY


@cache
def minilm() -> Path:
    return registry.locate("all-MiniLM-L6-v2")


@cache
def bge_shape() -> Path:
    """In the user's cache folder; rebuilt if its source code has changed. Tokenizer: MiniLM's."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    recipe = Path(__file__).with_name("synthetic.py").read_bytes() + f"{BGE_BASE}{SEED}".encode()
    made = hashlib.sha256(recipe).hexdigest()
    folder = user_cache / "bge-engine" / "tests" / "bge-shape"
    if not (folder / made).exists():
        fresh = folder.with_name(f"bge-shape-{os.getpid()}")
        write_checkpoint(fresh, seed=SEED, tokenizer=minilm(), pooling="cls", **BGE_BASE)
        (fresh / made).touch()
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder


FOLDERS = {"tiny": tiny, "minilm": minilm, "bge_shape": bge_shape}


def texts_of(checkpoint: str) -> list[str]:
    """The texts of a golden file: all 200, or every eighth for the large checkpoint."""
    return mixed_texts()[7::8] if checkpoint == "bge_shape" else mixed_texts()
