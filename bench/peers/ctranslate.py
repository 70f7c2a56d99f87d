"""CTranslate2, over the int8 model that bench/convert.py made."""

import numpy as np

from bench.convert import converted
from bench.peers.batching import Batched, Ids, Setup, Vectors


class CTranslate2(Batched):
    """The variant is the type that it computes in."""

    def __init__(self, setup: Setup) -> None:
        import ctranslate2

        super().__init__(setup)
        self.encoder = ctranslate2.Encoder(
            str(converted(setup.checkpoint, "ctranslate2")),
            device="cpu",
            compute_type=setup.variant,
            inter_threads=setup.streams,
            intra_threads=setup.threads_a_stream,
        )
        self.view = ctranslate2.StorageView.from_array

    def states(self, ids: Ids, mask: Ids) -> Vectors:
        lengths = mask.sum(axis=1, dtype=np.int32)
        output = self.encoder.forward_batch(self.view(ids.astype(np.int32)), self.view(lengths))
        states: Vectors = np.asarray(output.last_hidden_state)
        return states
