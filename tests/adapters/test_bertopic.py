"""BERTopic finds the topics that its steps find in our vectors, one by one."""

from bertopic import BERTopic
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from engine.adapters.bertopic import EngineBackend
from tests.conftest import Load

FOXES = [f"the red fox is {word}" for word in ("small", "big", "quick", "old")] * 5
BOXES = [f"a {word} box of blue glass" for word in ("green", "round", "heavy", "new")] * 5
TEXTS = FOXES + BOXES


def test_topics(load: Load) -> None:
    embedder = load("tiny", "float32")
    reduce, cluster = PCA(5, random_state=0), KMeans(3, n_init=1, random_state=0)
    model = BERTopic(
        embedding_model=EngineBackend(embedder), umap_model=reduce, hdbscan_model=cluster
    )
    topics, _ = model.fit_transform(TEXTS)
    vectors = PCA(5, random_state=0).fit_transform(embedder.encode(TEXTS))
    expected = KMeans(3, n_init=1, random_state=0).fit_predict(vectors)
    pairs = set(zip(topics, expected.tolist(), strict=True))
    assert len(pairs) == len(set(topics)) == 3  # the same, by other numbers
    for topic in set(topics):
        texts = [text for text, its in zip(TEXTS, topics, strict=True) if its == topic]
        words = [word for word, _ in model.get_topic(topic) if word]
        assert words and all(word in " ".join(texts).split() for word in words)
