"""Vectors of long texts, chunk by chunk."""

from pathlib import Path

import numpy as np
import pytest

import engine
from engine.errors import InputError
from engine.vectors.chunks import Chunks
from tests.support.paths import ROOT
from tests.support.texts import SENTENCES

TEXT = " ".join(SENTENCES)


@pytest.fixture(scope="module")
def embedder() -> engine.Embedder:
    return engine.load(str(ROOT / "weights" / "tiny"))


@pytest.mark.parametrize(
    "options", [{}, {"chunk_tokens": 20}, {"chunk_tokens": 20, "overlap": 0.3}]
)
@pytest.mark.parametrize("prompt", [None, "", "query: "])
def test_a_vector_is_that_of_its_part(
    embedder: engine.Embedder, options: dict[str, float], prompt: str | None
) -> None:
    chunks = embedder.encode_chunks(TEXT, prompt=prompt, **options)
    assert isinstance(chunks, Chunks) and len(chunks) > 1
    parts = [TEXT[start:stop] for start, stop in chunks.spans.tolist()]
    alone = embedder.encode(parts, prompt=prompt, on_truncate="error")
    assert np.array_equal(chunks.vectors, alone)
    assert chunks.tokens.max() <= options.get("chunk_tokens", embedder.max_tokens)
    if not options.get("overlap"):
        assert "".join(parts).replace(" ", "") == TEXT.replace(" ", "")


def test_one_text_or_many(embedder: engine.Embedder) -> None:
    many = embedder.encode_chunks([TEXT, "short", "", TEXT], chunk_tokens=30, pooling="cls")
    assert isinstance(many, list)
    assert [len(each) > 1 for each in many] == [True, False, False, True]
    assert np.array_equal(many[0].vectors, many[3].vectors)
    assert np.array_equal(many[1].vectors[0], embedder.encode("short", pooling="cls"))
    assert many[2].spans.tolist() == [[0, 0]]
    assert embedder.encode_chunks([]) == []
    assert embedder.chunk_spans("short").tolist() == [[0, 5]]


def test_the_mean_is_weighted_by_tokens(embedder: engine.Embedder) -> None:
    chunks = Chunks(np.eye(2, dtype=np.float32), np.array([[0, 3], [3, 4]]), np.array([3, 1]))
    assert chunks.mean(normalize=False).tolist() == [0.75, 0.25]
    expected = np.array([3, 1]) / np.sqrt(10)
    assert np.allclose(chunks.mean(), expected, atol=2**-23)  # float32, one rounding each
    short = embedder.encode_chunks("short")
    assert np.allclose(short.mean(), embedder.encode("short"), atol=2**-22)


def test_a_word_longer_than_a_chunk_is_divided(embedder: engine.Embedder) -> None:
    word = "qzxj" * 20
    size = len(embedder.tokenize([""])[0]) + 4
    chunks = embedder.encode_chunks(f"a {word} b", prompt="", chunk_tokens=size)
    assert chunks.tokens.max() <= size
    parts = [f"a {word} b"[start:stop] for start, stop in chunks.spans.tolist()]
    assert "".join(parts).replace(" ", "") == f"a{word}b"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"chunk_tokens": 2}, "chunk_tokens is 2, and 2 are those of the prompt and the special"),
        ({"chunk_tokens": 10_000}, "it must be an integer from 1 to"),
        ({"overlap": 0.6}, "overlap is 0.6; it must be a number from 0 to 0.5"),
        ({"overlap": -1}, "overlap is -1"),
        ({"overlap": True}, "overlap is True"),
        ({"overlap": "1"}, "overlap is '1'"),
        ({"chunk_tokens": 5, "prompt": "a b c d e"}, "chunk_tokens is 5, and"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    embedder: engine.Embedder, options: dict[str, object], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        embedder.encode_chunks(TEXT, **{"prompt": "", **options})


@pytest.mark.slow
def test_a_text_of_megabytes_takes_little_memory(embedder: engine.Embedder, tmp_path: Path) -> None:
    import tracemalloc

    text = "word, " * 500_000
    tracemalloc.start()
    spans = embedder.chunk_spans(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(spans) > 1000
    assert peak < 100_000_000  # 1 M tokens: 17 bytes each in arrays, twice while joined
