"""Our vectors against those of sentence-transformers and transformers, both computed now.

The golden files have the vectors of one version for our own texts. These tests use the installed
version, other texts (docstrings of the standard library), and checkpoints of other shapes.
"""

import importlib
import inspect
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import engine
from tests.conftest import Load
from tests.support import bars, checkpoints
from tests.support.golden import golden
from tests.support.synthetic import write_checkpoint
from weights.make_golden import Reference

pytestmark = pytest.mark.reference

MODULES = (
    "argparse", "ast", "asyncio", "collections", "concurrent.futures", "csv", "datetime",
    "decimal", "difflib", "email.message", "fractions", "functools", "heapq", "inspect", "io",
    "ipaddress", "itertools", "json", "logging", "mailbox", "math", "os", "pathlib", "random", "re",
    "sched", "shutil", "socket", "statistics", "string", "subprocess", "tarfile", "textwrap",
    "threading", "unittest", "urllib.parse", "zipfile",
)  # fmt: skip


@cache
def reference(checkpoint: str) -> Reference:
    return Reference(checkpoints.FOLDERS[checkpoint]())


@cache
def docstrings(count: int) -> list[str]:
    """That many docstrings of the running Python, shortest first, half from the longest quarter."""
    found: set[str] = set()
    for name in MODULES:
        found.update(documents_of(importlib.import_module(name)))
    ordered = sorted(found, key=lambda text: (len(text), text))
    places = (1 - (1 - i / (count - 1)) ** 2 for i in range(count))
    return [ordered[round(place * (len(ordered) - 1))] for place in places]


def documents_of(owner: types.ModuleType | type) -> Iterator[str]:
    for value in vars(owner).values():
        if inspect.isroutine(value) or inspect.isclass(value):
            yield inspect.getdoc(value) or ""
        if inspect.isclass(value) and not isinstance(owner, type):
            yield from documents_of(value)


def test_the_docstrings_are_of_mixed_lengths(load: Load) -> None:
    lengths = load("bge_shape", "reference").count_tokens(docstrings(200))
    assert len(lengths) == 200
    assert lengths[20] < 20 and 30 < lengths[100] < 100 and lengths[-1] > 512


@pytest.mark.parametrize("checkpoint", checkpoints.FOLDERS)
def test_token_ids(checkpoint: str, load: Load) -> None:
    texts = [*docstrings(200), *golden("minilm").texts]
    ours = [tokens.ids.tolist() for tokens in load(checkpoint, "reference").tokenize(texts)]
    assert ours == reference(checkpoint).ids(texts)


def sample(checkpoint: str, pooling: str) -> list[str]:
    """All 200 for MiniLM's mean, which is what its users compute; fewer for slow ones."""
    if checkpoint == "bge_shape":
        return docstrings(200)[10:190:20]
    return docstrings(200)[:: 4 if (checkpoint, pooling) == ("minilm", "cls") else 1]


@cache
def expected(checkpoint: str, pooling: str) -> bars.Array:
    return reference(checkpoint).vectors(sample(checkpoint, pooling), pooling)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(("checkpoint", "precision"), bars.cases(bars.UNIT))
def test_unit_vectors(checkpoint: str, precision: str, pooling: str, load: Load) -> None:
    texts, embedder = sample(checkpoint, pooling), load(checkpoint, precision)
    vectors = embedder.encode(texts, pooling=pooling, on_truncate="ignore")
    bars.UNIT[precision][checkpoint].hold(vectors, expected(checkpoint, pooling))


@pytest.mark.parametrize(("checkpoint", "precision"), bars.cases(bars.HIDDEN))
def test_last_hidden_state(checkpoint: str, precision: str, load: Load) -> None:
    embedder, texts = load(checkpoint, precision), docstrings(200)[5:125:30]
    found = embedder.token_embeddings(embedder.tokenize(texts))
    for text, x_LD in zip(texts, found, strict=True):
        bars.HIDDEN[precision][checkpoint].hold(x_LD, reference(checkpoint).hidden(text))


SHAPES = [
    {"hidden": 64, "layers": 1, "heads": 1, "ffn": 256, "positions": 512},
    {"hidden": 96, "layers": 5, "heads": 12, "ffn": 31, "positions": 40},
    {"hidden": 136, "layers": 3, "heads": 4, "ffn": 200, "positions": 128},
    {"hidden": 256, "layers": 2, "heads": 2, "ffn": 1000, "positions": 77},
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"hidden{shape['hidden']}")
def test_any_shape(shape: dict[str, int], tmp_path: Path) -> None:
    """Heads of 8 to 128 numbers, widths that no vector register divides, and other limits."""
    folder = write_checkpoint(tmp_path / "some", seed=shape["hidden"], vocab=242, **shape)
    theirs, texts = Reference(folder), docstrings(40)[:36]
    for pooling in ("mean", "cls"):
        expected = theirs.vectors(texts, pooling)
        for precision in bars.FLOATS:
            with engine.load(folder, precision=precision, threads=2) as embedder:
                found = embedder.encode(texts, pooling=pooling, on_truncate="ignore")
            bars.FLOAT_UNIT["tiny"].hold(found, expected)
