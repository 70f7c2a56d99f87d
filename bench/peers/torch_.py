"""Engines on torch: sentence-transformers, transformers (which tells the truth), and int8."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.peers.batching import Batch, Batched, Ids, Setup, Vectors, padded, pool, unit


class SentenceTransformers:
    """torch, float32. It sorts by length itself."""

    def __init__(self, setup: Setup) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(setup.threads)
        self.model = SentenceTransformer(str(setup.checkpoint.folder), device="cpu")

    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        vectors: Vectors = self.model.encode(
            list(texts), batch_size=batch, normalize_embeddings=True, show_progress_bar=False
        )
        return vectors


class Transformers(Batched):
    """The truth: transformers' BertModel in float32, one text at a time, nothing padded."""

    def __init__(self, setup: Setup) -> None:
        import torch
        from transformers import BertModel

        super().__init__(setup)
        torch.set_num_threads(1)  # how sums are split depends on the threads
        self.inference_mode = torch.inference_mode
        self.tensor = torch.from_numpy
        self.model = BertModel.from_pretrained(self.checkpoint.folder, add_pooling_layer=False)
        self.model.eval()

    def states(self, ids: Ids, mask: Ids) -> Vectors:
        with self.inference_mode():
            states = self.model(self.tensor(ids), self.tensor(mask)).last_hidden_state
        vectors: Vectors = states.numpy()
        return vectors

    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        encodings = self.tokenizer.encode_batch(list(texts))
        return unit(np.concatenate([self.pooled(padded([text.ids])) for text in encodings]))


class TorchInt8(Batched):
    """BertModel with its linear maps in int8, as `quantize_dynamic` makes them: a scale for each
    output channel, and activations get their range as they come.

    The texts of a batch lie end to end, as one long row of tokens: only attention looks at where
    each begins, and nothing is padded.
    """

    def __init__(self, setup: Setup) -> None:
        import torch
        from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
        from transformers import BertModel

        super().__init__(setup)
        self.torch = torch
        model = BertModel.from_pretrained(self.checkpoint.folder, add_pooling_layer=False).eval()
        # Each time: torch keeps a quantised module as a pickle alone, and none is read here.
        self.model = quantize_dynamic(model, {torch.nn.Linear: per_channel_dynamic_qconfig})
        self.heads = self.checkpoint.bert["num_attention_heads"]

    def enter_thread(self) -> None:
        import torch

        torch.set_num_threads(self.setup.threads_a_stream)

    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        self.enter_thread()  # another form in this process may have set other threads
        return super().encode(texts, batch)

    def pooled(self, batch: Batch) -> Vectors:
        ids, mask = batch
        lengths = mask.sum(axis=1).tolist()
        packed = ids[mask.astype(bool)]
        positions = np.concatenate([np.arange(length) for length in lengths])
        with self.torch.inference_mode():
            states = self.packed(packed, positions, lengths)
        texts = np.split(states.numpy(), np.cumsum(lengths)[:-1])
        seen = [np.ones((1, len(text)), np.int64) for text in texts]
        pooling = self.checkpoint.pooling
        return np.concatenate(
            [pool(text[None], ones, pooling) for text, ones in zip(texts, seen, strict=True)]
        )

    def packed(self, ids: Ids, positions: Ids, lengths: list[int]) -> Any:
        """Last hidden states, (T, D), of texts of these lengths that lie end to end."""
        tensor = self.torch.from_numpy
        x = self.model.embeddings(tensor(ids)[None], position_ids=tensor(positions)[None])[0]
        for layer in self.model.encoder.layer:
            maps = layer.attention.self
            parts = (self.split(part(x), lengths) for part in (maps.query, maps.key, maps.value))
            attend = self.torch.nn.functional.scaled_dot_product_attention
            texts = [attend(q, k, v) for q, k, v in zip(*parts, strict=True)]
            gathered = self.torch.cat([text.transpose(0, 1).flatten(1) for text in texts])
            x = layer.attention.output(gathered, x)
            x = layer.output(layer.intermediate(x), x)
        return x

    def split(self, x: Any, lengths: list[int]) -> list[Any]:
        """(T, D) -> (heads, L, K) for each text."""
        return [text.unflatten(1, (self.heads, -1)).transpose(0, 1) for text in x.split(lengths)]
