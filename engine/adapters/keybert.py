"""KeyBERT: for `KeyBERT(model=EngineBackend("bge-small-en-v1.5"))`."""

from keybert.backend import BaseEmbedder

from engine.adapters.backend import Backend


class EngineBackend(Backend, BaseEmbedder):
    """`Backend` as the class that KeyBERT looks for."""
