"""KeyBERT finds the keywords that it finds with the same vectors computed beforehand."""

import numpy as np
import pytest
from keybert import KeyBERT

from engine.adapters.keybert import EngineBackend
from tests.conftest import Load

TEXTS = ["the red fox is small", "a blue green one is in the red box"]


def test_keywords(load: Load) -> None:
    embedder = load("tiny", "float32")
    model = KeyBERT(model=EngineBackend(embedder))
    found = model.extract_keywords(TEXTS, stop_words=None, top_n=2)
    documents, words = model.extract_embeddings(TEXTS, stop_words=None)
    assert np.array_equal(documents, embedder.encode(TEXTS))
    # its own order: the cosine of a document to each word of the document
    names = sorted({word for text in TEXTS for word in text.split() if len(word) > 1})
    for text, vector, keywords in zip(TEXTS, documents, found, strict=True):
        cosines = {
            name: float(vector @ word)
            for name, word in zip(names, words, strict=True)
            if name in text.split()
        }
        best = sorted(cosines, key=cosines.__getitem__)[-2:]
        # it rounds to four places
        assert dict(keywords) == pytest.approx({name: cosines[name] for name in best}, abs=1e-4)
