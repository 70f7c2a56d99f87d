"""BERTopic on our vectors: its topics and its words."""

import numpy as np
from bertopic import BERTopic
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from engine.adapters.bertopic import EngineBackend
from tests.conftest import Load
from tests.support.paths import WEIGHTS

FOXES = [f"the red fox is {word}" for word in ("small", "big", "quick", "old")] * 5
BOXES = [f"a {word} box of blue glass" for word in ("green", "round", "heavy", "new")] * 5


def test_topics(load: Load) -> None:
    embedder = load("minilm", "float32")
    model = BERTopic(
        embedding_model=EngineBackend(embedder),
        umap_model=PCA(n_components=5, random_state=0),
        hdbscan_model=KMeans(n_clusters=2, n_init=1, random_state=0),
    )
    topics, _ = model.fit_transform(FOXES + BOXES)
    foxes, boxes = set(topics[:20]), set(topics[20:])
    assert len(foxes) == len(boxes) == 1 and foxes != boxes
    assert "fox" in dict(model.get_topic(foxes.pop()))
    assert "box" in dict(model.get_topic(boxes.pop()))


def test_options_are_those_of_load(load: Load) -> None:
    embedder = load("tiny", "int8")
    backend = EngineBackend(WEIGHTS / "tiny", precision="int8")
    assert np.array_equal(backend.embed(FOXES), embedder.encode(FOXES))
