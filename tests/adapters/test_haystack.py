"""Haystack's components: alone, in a pipeline, and saved."""

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from engine.adapters.haystack import EngineDocumentEmbedder, EngineTextEmbedder
from tests.conftest import Load
from tests.support.paths import WEIGHTS

TEXTS = ["the red fox", "a blue green one", "it is small"]


def test_vectors_and_prompts(load: Load) -> None:
    embedder = load("tiny", "float32")
    found = EngineTextEmbedder(embedder).run("red")
    assert found == {"embedding": embedder.encode_query("red").tolist()}
    given = [Document(content=text, meta={"n": i}) for i, text in enumerate(TEXTS)]
    found = EngineDocumentEmbedder(embedder).run(given)["documents"]
    assert [one.embedding for one in found] == embedder.encode_document(TEXTS).tolist()
    assert [(one.content, one.meta) for one in found] == [(one.content, one.meta) for one in given]
    assert given[0].embedding is None
    assert EngineDocumentEmbedder(embedder).run([]) == {"documents": []}


def test_fields_are_put_before_the_content(load: Load) -> None:
    embedder = load("tiny", "float32")
    component = EngineDocumentEmbedder(embedder, meta_fields_to_embed=["title", "absent", "year"])
    documents = [
        Document(content="red", meta={"title": "fox", "year": 7}),
        Document(content=None, meta={"title": "blue", "year": None}),
    ]
    found = [one.embedding for one in component.run(documents)["documents"]]
    assert found == embedder.encode_document(["fox\n7\nred", "blue\n"]).tolist()


def test_a_pipeline_that_was_saved(load: Load) -> None:
    embedder = load("tiny", "int16")
    store = InMemoryDocumentStore()
    indexing = Pipeline()
    indexing.add_component(
        "embedder",
        EngineDocumentEmbedder(WEIGHTS / "tiny", "int16", meta_fields_to_embed=["title"]),
    )
    allowed = ["engine.adapters.haystack"]
    again = Pipeline.loads(indexing.dumps(), allowed_modules=allowed)
    documents = [Document(content=text) for text in TEXTS]
    found = again.run({"embedder": {"documents": documents}})["embedder"]["documents"]
    assert [one.embedding for one in found] == embedder.encode_document(TEXTS).tolist()
    store.write_documents(found)

    asking = Pipeline()
    asking.add_component("embedder", EngineTextEmbedder(embedder))
    asking.add_component("retriever", InMemoryEmbeddingRetriever(store))
    asking.connect("embedder.embedding", "retriever.query_embedding")
    hits = asking.run({"embedder": {"text": "red"}})["retriever"]["documents"]
    assert sorted(one.content for one in hits) == sorted(TEXTS)
    saved = EngineTextEmbedder(embedder).to_dict()["init_parameters"]
    assert saved == {"model": str(embedder.folder), "precision": "int16"}
