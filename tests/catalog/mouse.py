"""A checkpoint of a few bytes, a user who has nothing yet, and a hub that has the checkpoint."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from engine.catalog import models as facts_room
from engine.catalog.models import OPTIONAL, Entry, FileFact, Package
from engine.catalog.record import RECORD, Record
from engine.catalog.verify import WEIGHTS, write_json
from tests.catalog.hub_server import Files, Hub

COMMIT, LATER = "a" * 40, "b" * 40
CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 2,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
MODULES = [
    {"path": path, "type": f"sentence_transformers.models.{kind}"}
    for path, kind in (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
]
FILES: Files = {
    "config.json": json.dumps(CONFIG).encode(),
    "modules.json": json.dumps(MODULES).encode(),
    "1_Pooling/config.json": b'{"embedding_dimension": 8, "pooling_mode": "cls"}',
    "sentence_bert_config.json": b'{"max_seq_length": 512}',
    "tokenizer.json": b'{"version": "1.0"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    WEIGHTS: Random(0).randbytes(300_000),
}


def facts(files: Files) -> dict[str, FileFact]:
    """As a record has them: all are needed."""
    return {
        path: FileFact(len(content), hashlib.sha256(content).hexdigest())
        for path, content in files.items()
    }


def pins(files: Files) -> dict[str, FileFact]:
    """As the registry has them."""
    return {path: replace(fact, optional=path in OPTIONAL) for path, fact in facts(files).items()}


def entry_of(files: Files = FILES) -> Entry:
    """A checkpoint of which every file is pinned."""
    return Entry("mouse", "tiny/mouse", "cls", 8, 2, 2, 16, revision=COMMIT, files=pins(files))


def packaged(files: Files = FILES) -> Entry:
    """A checkpoint that a Python package carries, too."""
    return replace(entry_of(files), pypi=Package("mouse-model==1.0", "mouse_model/model"))


UNPINNED = replace(entry_of(), revision=None, files={})


def lay_out(folder: Path, files: Files = FILES) -> Path:
    """Writes the files below the folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def note(folder: Path, hub_id: str = "tiny/mouse", revision: str = COMMIT) -> Path:
    """Writes the record that a pull of all files of the folder would leave."""
    record = Record(hub_id, revision, "hub", facts(contents(folder)), "2026-01-02T03:04:05+00:00")
    write_json(folder / RECORD, record.as_json())
    return folder


def register(monkeypatch: pytest.MonkeyPatch, *known: Entry) -> None:
    """Puts these into the registry, and nothing else."""
    monkeypatch.setattr(facts_room, "_registry", lambda: ({each.name: each for each in known}, {}))


def contents(folder: Path) -> Files:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != RECORD and ".pull" not in file.parts
    }


def cached(tmp_path: Path, commit: str, files: Files = FILES) -> Path:
    """A snapshot as the hub's own library lays it out: links to blobs."""
    repository = tmp_path / "hf" / "hub" / "models--tiny--mouse"
    snapshot = repository / "snapshots" / commit
    for path, content in files.items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    return snapshot


def call_main(snapshot: Path) -> None:
    """Makes this commit the one that the hub's cache knows as "main"."""
    reference = snapshot.parent.parent / "refs" / "main"
    reference.parent.mkdir(exist_ok=True)
    reference.write_text(snapshot.name)


def parts(folder: Path) -> list[Path]:
    return [file for file in folder.glob(".pull/*/parts/**/*") if file.is_file()]


def dead_port() -> int:
    """Nobody listens there."""
    with Hub({}) as gone:
        return int(gone.url.rpartition(":")[2])


def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("offline, and yet a connection was tried")


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has nothing yet: no cache, no token, no settings."""
    for name in [name for name in os.environ if name.startswith(("HF_", "BGE_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({"tiny/mouse": {COMMIT: dict(FILES)}}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are written as they come, and no pause is made between attempts."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "common"
        folder.mkdir(mode=0o755)
        yield folder
        folder.chmod(0o755)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count, also where root runs the tests."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
