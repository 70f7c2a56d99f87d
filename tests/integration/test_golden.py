"""Our vectors against stored ones of sentence-transformers and transformers."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Load
from tests.support import bars, checkpoints
from tests.support.golden import golden
from tests.support.texts import POLYGLOT, fingerprint
from weights import make_tiny
from weights.make_golden import weights_fingerprint

each_checkpoint = pytest.mark.parametrize("checkpoint", checkpoints.FOLDERS)
each_pooling = pytest.mark.parametrize("pooling", ["mean", "cls"])


@each_checkpoint
def test_texts_and_weights_are_those_of_the_golden_file(checkpoint: str) -> None:
    about = golden(checkpoint).about
    assert fingerprint(golden(checkpoint).texts) == about["texts"]["sha256"]
    assert weights_fingerprint(checkpoints.FOLDERS[checkpoint]()) == about["weights_sha256"]


def test_the_texts_are_of_mixed_lengths() -> None:
    lengths = sorted(map(len, golden("minilm").ids))
    assert len(lengths) == 200
    assert lengths[0] == 2 and lengths[50] < 20 and lengths[150] > 100 and lengths[-1] == 256
    assert max(map(len, golden("bge_shape").ids)) == 512


def test_the_tiny_checkpoint_is_what_its_script_writes(tmp_path: Path) -> None:
    written, committed = make_tiny.write(tmp_path), checkpoints.tiny()
    assert weights_fingerprint(written) == weights_fingerprint(committed)
    files = [path.relative_to(written) for path in written.rglob("*.*") if path.is_file()]
    assert len(files) == 10
    for file in files:
        if file.name not in (
            "model.safetensors",
            "tokenizer.json",
        ):  # library-dependent
            assert (written / file).read_bytes() == (committed / file).read_bytes(), file


@each_checkpoint
def test_token_ids(checkpoint: str, load: Load) -> None:
    tokens = load(checkpoint, "reference").tokenize(golden(checkpoint).texts)
    for text, found, ids in zip(
        golden(checkpoint).texts, tokens, golden(checkpoint).ids, strict=True
    ):
        assert found.ids.tolist() == ids.tolist(), repr(text[:80])


@each_pooling
@pytest.mark.parametrize(("checkpoint", "precision"), bars.cases(bars.UNIT))
def test_unit_vectors(checkpoint: str, precision: str, pooling: str, load: Load) -> None:
    rows = slice(0, None, 4 if (checkpoint, pooling) == ("minilm", "cls") else 1)  # to save time
    texts, expected = golden(checkpoint).texts[rows], golden(checkpoint).vectors[pooling][rows]
    vectors = load(checkpoint, precision).encode(texts, pooling=pooling, on_truncate="ignore")
    assert vectors.dtype == np.float32
    bars.UNIT[precision][checkpoint].hold(vectors, expected)


@pytest.mark.parametrize(("checkpoint", "precision"), bars.cases(bars.HIDDEN))
def test_last_hidden_state(checkpoint: str, precision: str, load: Load) -> None:
    embedder = load(checkpoint, precision)
    for text, want in golden(checkpoint).hidden:
        (found,) = embedder.token_embeddings(embedder.tokenize([text]))
        assert found.dtype == np.float32
        bars.HIDDEN[precision][checkpoint].hold(found, want)


PUBLISHED_IDS = {
    "hello world": "101 7592 2088 102",
    "flag embedding": "101 5210 7861 8270 4667 102",
    "What is machine learning?": "101 2054 2003 3698 4083 1029 102",
    "  What\tis   machine\n\nlearning?  ": "101 2054 2003 3698 4083 1029 102",
    "Hello, World!": "101 7592 1010 2088 999 102",
    "This is a story about a hugging emoji": (
        "101 2023 2003 1037 2466 2055 1037 17662 7861 29147 2072 102"
    ),
    POLYGLOT: (
        "101 11199 12304 15743 2135 6406 1996 7668 13746 1999 7509 9094 1025 1879 1755 1998 1155 "
        "29725 24824 16177 14608 2020 3264 1010 3465 1574 12521 1012 2753 100 1012 102"
    ),
}


@pytest.mark.parametrize("text", PUBLISHED_IDS)
def test_published_token_ids(text: str, load: Load) -> None:
    (tokens,) = load("minilm", "reference").tokenize([text])
    assert tokens.ids.tolist() == [int(id) for id in PUBLISHED_IDS[text].split()]


@pytest.mark.parametrize(("words", "tokens"), [(30, 32), (126, 128), (510, 512), (600, 602)])
def test_published_token_counts(words: int, tokens: int, load: Load) -> None:
    assert load("bge_shape", "reference").count_tokens("red " * words) == tokens


# The first five numbers that fastembed's own tests expect of "hello world", and the cosines on the
# model's page, printed to four decimals.
PUBLISHED_VECTORS = {
    "mean": (-0.034478, 0.03102, 0.00673, 0.02611, -0.039362),
    "cls": (0.02591, 0.00573, 0.01147, 0.03796, -0.0232),
}
PUBLISHED_COSINES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}


@each_pooling
@pytest.mark.parametrize("precision", bars.FLOATS)
def test_published_vectors_of_minilm(pooling: str, precision: str, load: Load) -> None:
    vector = load("minilm", precision).encode("hello world", pooling=pooling)
    bars.PUBLISHED[pooling].hold(vector[:5], np.array(PUBLISHED_VECTORS[pooling]))


@pytest.mark.parametrize("precision", bars.FLOATS)
def test_published_cosines_of_minilm(precision: str, load: Load) -> None:
    embedder = load("minilm", precision)
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    vectors = embedder.encode(texts)
    cosines = embedder.similarity(vectors, vectors)
    for pair, cosine in PUBLISHED_COSINES.items():
        assert cosines[pair] == pytest.approx(cosine, rel=0, abs=6e-5)
