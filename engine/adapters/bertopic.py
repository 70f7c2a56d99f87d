"""BERTopic: for `BERTopic(embedding_model=EngineBackend("bge-small-en-v1.5"))`."""

from bertopic.backend import BaseEmbedder

from engine.adapters.backend import Backend


class EngineBackend(Backend, BaseEmbedder):
    """`Backend` as the class that BERTopic looks for."""
