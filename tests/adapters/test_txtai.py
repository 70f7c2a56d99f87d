"""txtai needs no adapter: it takes a function, as README shows."""

import numpy as np
from txtai import Embeddings

from tests.conftest import Load

TEXTS = ["the red fox is small", "a blue green one is in the box", "an old fox"]


def test_a_search_finds_what_the_cosines_say(load: Load) -> None:
    embedder = load("tiny", "float32")
    index = Embeddings(
        method="external", transform=lambda texts: embedder.encode(texts), backend="numpy"
    )
    index.index(TEXTS)
    found = dict(index.search("one red fox", 3))
    cosines = embedder.encode(TEXTS) @ embedder.encode("one red fox")
    assert sorted(found) == [0, 1, 2]
    for row, cosine in enumerate(cosines):
        # two sums of 40 products of at most 1, each rounded to 2⁻²⁴
        assert np.isclose(found[row], cosine, rtol=0, atol=40 * 2**-23), row
