"""The checkpoints that the engines are measured with."""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.machine import version


@dataclass(frozen=True)
class Checkpoint:
    """A sentence-transformers folder: the settings that the other engines need."""

    folder: Path

    @cached_property
    def bert(self) -> dict[str, int]:
        return dict(json.loads((self.folder / "config.json").read_text("utf-8")))

    @cached_property
    def max_tokens(self) -> int:
        file = self.folder / "sentence_bert_config.json"
        return int(json.loads(file.read_text("utf-8"))["max_seq_length"])

    @cached_property
    def pooling(self) -> str:
        modes = json.loads((self.folder / "1_Pooling" / "config.json").read_text("utf-8"))
        return "cls" if modes["pooling_mode_cls_token"] else "mean"

    @cached_property
    def products_per_token(self) -> int:
        """Multiply-adds of the encoder's linear layers for one token, without attention."""
        hidden, ffn = self.bert["hidden_size"], self.bert["intermediate_size"]
        return self.bert["num_hidden_layers"] * hidden * (4 * hidden + 2 * ffn)

    @cached_property
    def weights_hash(self) -> str:
        with (self.folder / "model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_checkpoint(model: str) -> Checkpoint:
    """The checkpoint for --model.

    "minilm" is all-MiniLM-L6-v2. "bge-shape" has the sizes of bge-base and random weights from a
    fixed seed. Any other value is a model's name or a folder.
    """
    if model == "bge-shape":
        from tests.support.checkpoints import bge_shape

        return Checkpoint(bge_shape().resolve())
    from engine.catalog import registry

    name = "all-MiniLM-L6-v2" if model == "minilm" else model
    return Checkpoint(registry.locate(name).resolve())


def cache_folder() -> Path:
    from engine.system.folders import user_cache

    folder = user_cache() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A lock: only one process at a time creates the file at `path`. The others wait."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(
    checkpoint: Checkpoint, kind: str, packages: Sequence[str], command: Sequence[str]
) -> Path:
    """The folder that `command FOLDER TARGET` fills, a script of bench/; kept in the user's cache.

    It is made again for other weights, other versions of the packages, or another script. The
    script is a process of its own, so that nothing of it stays in the memory of this one.
    """
    recipe = hashlib.sha256(Path(command[0]).read_bytes()).hexdigest()[:8]
    edition = "-".join((checkpoint.weights_hash[:12], *map(version, packages), recipe))
    folder = cache_folder() / f"{kind}-{edition}"
    with locked(folder):
        if not folder.exists():
            print(f"{kind}: converting {checkpoint.folder.name}, once", file=sys.stderr)
            part = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            words = [sys.executable, *command, str(checkpoint.folder), str(part)]
            subprocess.run(words, check=True, stdout=sys.stderr)
            part.rename(folder)
    return folder
