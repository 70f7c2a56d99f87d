"""Properties that hold for any weights: one call is compared with another, not with numbers."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import engine
from tests.conftest import Load
from tests.support import bars, checkpoints
from tests.support.golden import golden
from tests.support.texts import SENTENCES

Vectors = NDArray[np.float32]

each_precision = pytest.mark.parametrize("precision", bars.PRECISIONS)
each_pair = pytest.mark.parametrize(
    ("checkpoint", "precision"),
    [(checkpoint, p) for checkpoint in ("tiny", "minilm") for p in bars.PRECISIONS],
)
TEXTS = [golden("minilm").texts[i] for i in (0, 1, 3, 4, 6, 8, 18, 20, 26, 38, 39, 41, 44, 50, 58)]


def encode(embedder: engine.Embedder, texts: Sequence[str]) -> Vectors:
    return embedder.encode(texts, on_truncate="ignore")


@each_pair
def test_alone_is_as_in_a_batch(checkpoint: str, precision: str, load: Load) -> None:
    embedder = load(checkpoint, precision)
    alone = np.stack([encode(embedder, [text])[0] for text in TEXTS])
    bars.SAME[precision].hold(encode(embedder, TEXTS), alone)


@each_pair
def test_one_string_is_as_a_list_of_one(checkpoint: str, precision: str, load: Load) -> None:
    embedder = load(checkpoint, precision)
    vector = embedder.encode(SENTENCES[0])
    assert vector.shape == (embedder.dim,)
    bars.SAME[precision].hold(vector, embedder.encode([SENTENCES[0]])[0])


@each_pair
def test_the_order_of_the_texts_is_kept(checkpoint: str, precision: str, load: Load) -> None:
    embedder = load(checkpoint, precision)
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    shuffled = encode(embedder, [TEXTS[i] for i in order])
    bars.SAME[precision].hold(shuffled, encode(embedder, TEXTS)[order])


@each_pair
def test_equal_texts_get_equal_vectors(checkpoint: str, precision: str, load: Load) -> None:
    """At any place among others, and as often as they come."""
    vectors = encode(load(checkpoint, precision), [TEXTS[3], *TEXTS[4:], TEXTS[3], TEXTS[3]])
    bars.SAME[precision].hold(vectors[-2:], np.stack([vectors[0]] * 2))


@each_precision
def test_threads_do_not_change_a_vector(precision: str) -> None:
    one, three = (engine.load(checkpoints.minilm(), precision=precision, threads=n) for n in (1, 3))
    with one, three:
        bars.SAME[precision].hold(encode(one, TEXTS[:10]), encode(three, TEXTS[:10]))


@each_precision
def test_white_space_does_not_matter(precision: str, load: Load) -> None:
    for text in SENTENCES[:8]:
        odd = "\n\t " + text.replace(" ", " \u00a0\r\n") + "  "
        vectors = load("minilm", precision).encode([text, odd])
        bars.SAME[precision].hold(vectors[:1], vectors[1:])


@each_precision
def test_case_and_accents_do_not_matter(precision: str, load: Load) -> None:
    vectors = load("minilm", precision).encode(
        ["Zoë's CAFÉ", "zoe's cafe", "ZOE\u0308'S Cafe\u0301"]
    )
    bars.SAME[precision].hold(vectors[1:], np.stack([vectors[0]] * 2))


@each_precision
def test_the_order_of_words_does_matter(precision: str, load: Load) -> None:
    """Positions are read: the same words in another order are another text."""
    vectors = load("minilm", precision).encode(["the dog bit the man", "the man bit the dog"])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


@each_precision
def test_any_iterable_is_as_a_list(precision: str, load: Load) -> None:
    embedder = load("tiny", precision)
    expected = encode(embedder, TEXTS)
    for texts in (tuple(TEXTS), iter(TEXTS), (t for t in TEXTS), dict.fromkeys(TEXTS).keys()):
        bars.SAME[precision].hold(encode(embedder, texts), expected)


@each_precision
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_stream_is_as_one_call(chunk: int, precision: str, load: Load) -> None:
    embedder = load("tiny", precision)
    parts = list(embedder.stream(iter(TEXTS), chunk=chunk, on_truncate="ignore"))
    assert {len(part) for part in parts[:-1]} <= {chunk}
    bars.SAME[precision].hold(np.concatenate(parts), encode(embedder, TEXTS))


@each_pair
def test_a_long_text_is_its_first_tokens(checkpoint: str, precision: str, load: Load) -> None:
    """Cut at the limit: [CLS], the first tokens, [SEP]; what follows makes no difference."""
    embedder, text = load(checkpoint, precision), " ".join(SENTENCES)
    (whole,) = embedder.tokenize([text], truncate=False)
    cut = np.concatenate([whole.ids[: embedder.max_tokens - 1], whole.ids[-1:]])
    (tokens,) = embedder.tokenize([text])
    assert tokens.ids.tolist() == cut.tolist()
    assert tokens.cut == len(whole) - embedder.max_tokens
    longer = encode(embedder, [text, text + " And nobody will read this."])
    bars.SAME[precision].hold(longer, np.stack([embedder.encode_tokens([tokens])[0]] * 2))


@each_precision
def test_a_text_at_the_limit_is_not_cut(precision: str, load: Load) -> None:
    """ "red" is one token: 57 of them and two special ones are the limit of the tiny checkpoint."""
    embedder = load("tiny", precision)
    at_limit, over, far_over = ("red " * n for n in (57, 58, 99))
    assert [tokens.cut for tokens in embedder.tokenize([at_limit, over, far_over])] == [0, 1, 42]
    vectors = encode(embedder, [at_limit, over, far_over])
    bars.SAME[precision].hold(vectors[1:], np.stack([vectors[0]] * 2))
    assert embedder.encode(at_limit, on_truncate="error").shape == (40,)


@each_precision
def test_a_prompt_is_text_put_before(precision: str, load: Load) -> None:
    embedder = load("tiny", precision)
    expected = encode(embedder, ["query: " + text for text in TEXTS])
    bars.SAME[precision].hold(
        embedder.encode(TEXTS, prompt="query: ", on_truncate="ignore"), expected
    )
    bars.SAME[precision].hold(embedder.encode_query(TEXTS, on_truncate="ignore"), expected)


@each_precision
def test_options_follow_from_the_pooled_numbers(precision: str, load: Load) -> None:
    """normalize and truncate_dim depend on the pooled row only."""
    embedder = load("tiny", precision)
    raw = embedder.encode(TEXTS, normalize=False, on_truncate="ignore")
    lengths = np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    bars.Largest(2e-7).hold(encode(embedder, TEXTS), raw / lengths)
    cut = embedder.encode(TEXTS, truncate_dim=13, on_truncate="ignore")
    bars.Largest(2e-7).hold(cut, (raw / lengths)[:, :13])
    short = embedder.encode(TEXTS, truncate_dim=13, normalize=True, on_truncate="ignore")
    lengths = np.linalg.norm(raw[:, :13].astype(np.float64), axis=1, keepdims=True)
    bars.Largest(2e-7).hold(short, raw[:, :13] / lengths)


@each_pair
def test_pooling_is_of_the_last_hidden_state(checkpoint: str, precision: str, load: Load) -> None:
    embedder = load(checkpoint, precision)
    tokens = embedder.tokenize(TEXTS[:12])
    hidden = embedder.token_embeddings(tokens)
    assert [x_LD.shape for x_LD in hidden] == [(len(one), embedder.dim) for one in tokens]
    means = np.stack([x_LD.astype(np.float64).mean(axis=0) for x_LD in hidden])
    firsts = np.stack([x_LD[0] for x_LD in hidden])
    mixed = np.where(np.arange(12)[:, None] % 2, means, firsts)
    for pooling, rows in (("mean", means), ("cls", firsts), (["cls", "mean"] * 6, mixed)):
        pooled = embedder.encode_tokens(tokens, pooling=pooling, normalize=False)
        bars.Largest(5e-6).hold(pooled, rows)


@each_pair
def test_vectors_are_float32_of_unit_length(checkpoint: str, precision: str, load: Load) -> None:
    vectors = encode(load(checkpoint, precision), TEXTS)
    assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bars.Largest(3e-7).hold(lengths, np.ones(len(TEXTS)))


@each_precision
def test_no_texts_give_no_vectors(precision: str, load: Load) -> None:
    for nothing in ([], (), iter(())):
        vectors = load("tiny", precision).encode(nothing)
        assert vectors.shape == (0, 40) and vectors.dtype == np.float32


@each_precision
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(st.characters(), max_size=90), min_size=1, max_size=12))
def test_any_unicode_in_any_batch(precision: str, load: Load, texts: list[str]) -> None:
    """Lone surrogates and NULs among them: finite unit vectors, the same alone and together."""
    embedder = load("tiny", precision)
    vectors = encode(embedder, texts)
    assert np.isfinite(vectors).all()
    alone = np.stack([encode(embedder, [text])[0] for text in texts])
    bars.SAME[precision].hold(vectors, alone)
