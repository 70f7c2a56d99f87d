"""Our engine, as README shows it. It packs texts by itself: there is nothing to choose."""

from collections.abc import Sequence

from bench.peers.batching import Setup, Vectors


class Ours:
    """The variant is the precision."""

    def __init__(self, setup: Setup) -> None:
        import engine
        from engine.literals import Precision

        precision: Precision = setup.variant  # type: ignore[assignment]  # load checks it
        self.embedder = engine.load(
            setup.checkpoint.folder, precision=precision, threads=setup.threads
        )

    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        return self.embedder.encode(texts, on_truncate="ignore")
