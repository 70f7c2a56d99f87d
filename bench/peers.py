"""One adapter an engine: texts in, unit vectors out, from the same checkpoint folder.

Every peer runs as its own documentation tells a careful user to run it: two threads where we take
two, batches of 32, and where the peer leaves batching to its user, texts sorted by length, so that
little is padded. What a variant after a colon does differently shows why the peer itself is as it
is: `python bench/run.py --engines onnxruntime,onnxruntime:plain`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.checkpoints import Checkpoint
from bench.export import INPUTS, exported

BATCH = 32

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


class Engine(Protocol):
    def encode(self, texts: Sequence[str]) -> Vectors: ...


class Ours:
    """engine.load, as README shows it."""

    def __init__(self, checkpoint: Checkpoint, threads: int, precision: str) -> None:
        import engine

        self.embedder = engine.load(checkpoint.folder, precision=precision, threads=threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.encode(texts, on_truncate="ignore")


class SentenceTransformers:
    """torch, float32. It sorts by length itself."""

    def __init__(self, checkpoint: Checkpoint, threads: int, variant: str) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self.model = SentenceTransformer(str(checkpoint.folder), device="cpu")

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self.model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return vectors


class Padded:
    """What an engine needs whose users batch by hand: sort by length, pad, pool, normalise."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from tokenizers import Tokenizer

        self.checkpoint = checkpoint
        self.tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(checkpoint.max_tokens)

    def hidden(self, ids: Ids, mask: Ids) -> Vectors:
        """Last hidden states, (n, L, D), of ids and mask, (n, L)."""
        raise NotImplementedError

    def encode(self, texts: Sequence[str]) -> Vectors:
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        vectors = np.empty((len(ids), self.checkpoint.bert["hidden_size"]), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self.pooled(*padded([ids[at] for at in batch]))
        return unit(vectors)

    def pooled(self, ids: Ids, mask: Ids) -> Vectors:
        hidden = self.hidden(ids, mask)
        if self.checkpoint.pooling == "cls":
            return hidden[:, 0]
        weights = mask.astype(np.float32)[:, None, :]
        total: Vectors = (weights @ hidden)[:, 0]
        return total / mask.sum(axis=1, dtype=np.float32)[:, None]


def padded(ids: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    shape = len(ids), max(map(len, ids))
    rows, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, seen, text in zip(rows, mask, ids, strict=True):
        row[: len(text)], seen[: len(text)] = text, 1
    return rows, mask


def unit(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def named_inputs(ids: Ids, mask: Ids) -> dict[str, Ids]:
    return dict(zip(INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))


class OnnxRuntime(Padded):
    """All graph optimisations on; `variant` is the file of bench/export.py."""

    def __init__(self, checkpoint: Checkpoint, threads: int, variant: str) -> None:
        import onnxruntime

        super().__init__(checkpoint)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        file = exported(checkpoint) / f"{variant}.onnx"
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def hidden(self, ids: Ids, mask: Ids) -> Vectors:
        states: Vectors = self.session.run(None, named_inputs(ids, mask))[0]
        return states


class OpenVino(Padded):
    """Float32 asked for by name: on CPUs that have bfloat16 it would take that by itself."""

    def __init__(self, checkpoint: Checkpoint, threads: int, variant: str) -> None:
        import openvino

        super().__init__(checkpoint)
        folder = exported(checkpoint)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": variant.upper(),
            "INFERENCE_PRECISION_HINT": "f32",
            "CACHE_DIR": str(folder / "openvino"),
        }
        core = openvino.Core()
        self.model = core.compile_model(str(folder / "plain.onnx"), "CPU", settings)

    def hidden(self, ids: Ids, mask: Ids) -> Vectors:
        states: Vectors = self.model(named_inputs(ids, mask))[0]
        return states


class FastEmbed:
    """fastembed over the fused float32 graph, as a custom model. It does not sort by length."""

    NAME = "bench/checkpoint"

    def __init__(self, checkpoint: Checkpoint, threads: int, variant: str) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        folder = exported(checkpoint)
        TextEmbedding.add_custom_model(
            self.NAME,
            pooling=PoolingType.CLS if checkpoint.pooling == "cls" else PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf=self.NAME),
            dim=checkpoint.bert["hidden_size"],
            model_file="fused.onnx",
        )
        self.model = TextEmbedding(self.NAME, threads=threads, specific_model_path=str(folder))

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.stack(list(self.model.embed(list(texts), batch_size=BATCH)))


class Transformers(Padded):
    """The truth: transformers' BertModel in float32, one text at a time, nothing padded."""

    def __init__(self, checkpoint: Checkpoint, threads: int, variant: str) -> None:
        import torch
        from transformers import BertModel

        super().__init__(checkpoint)
        torch.set_num_threads(1)  # how sums are split depends on the threads
        self.no_grad = torch.no_grad
        self.tensor = torch.from_numpy
        self.model = BertModel.from_pretrained(checkpoint.folder, add_pooling_layer=False).eval()

    def hidden(self, ids: Ids, mask: Ids) -> Vectors:
        with self.no_grad():
            states = self.model(self.tensor(ids), self.tensor(mask)).last_hidden_state
        vectors: Vectors = states.numpy()
        return vectors

    def encode(self, texts: Sequence[str]) -> Vectors:
        encodings = self.tokenizer.encode_batch(list(texts))
        return unit(np.concatenate([self.pooled(*padded([text.ids])) for text in encodings]))


Build = Callable[[Checkpoint, int, str], Any]


@dataclass(frozen=True)
class Entry:
    """package: what has to be installed. exact: float32 throughout, so it must equal the truth.

    rounds: the most that it takes part in; a slow peer would take most of a run's time.
    """

    build: Build
    package: str
    variant: str
    exact: bool
    about: str
    rounds: int = 1000


ENGINES = {
    "ours-reference": Entry(Ours, "engine", "reference", True, "engine/model.py, numpy"),
    "ours-float32": Entry(Ours, "engine", "float32", True, "engine/fast/"),
    "ours-int16": Entry(Ours, "engine", "int16", False, "engine/fast/"),
    "ours-int8": Entry(Ours, "engine", "int8", False, "engine/fast/"),
    "onnxruntime": Entry(OnnxRuntime, "onnxruntime", "fused", True, "float32, fused graph"),
    "onnxruntime-int8": Entry(OnnxRuntime, "onnxruntime", "int8", False, "dynamic, per channel"),
    "openvino": Entry(OpenVino, "openvino", "latency", True, "float32", rounds=3),
    "fastembed": Entry(FastEmbed, "fastembed", "fused", True, "float32, onnxruntime inside", 3),
    "sentence-transformers": Entry(
        SentenceTransformers, "sentence_transformers", "torch", True, "torch float32", rounds=3
    ),
}
TRUTH = Entry(Transformers, "transformers", "float32", True, "transformers, text by text")


def find_engine(name: str) -> Entry:
    """ "onnxruntime", or with another variant "onnxruntime:plain"."""
    if name == "transformers":
        return TRUTH
    base, _, variant = name.partition(":")
    if base not in ENGINES:
        raise SystemExit(f"unknown engine {name!r}; there are: {', '.join(ENGINES)}")
    entry = ENGINES[base]
    if not variant:
        return entry
    return replace(entry, variant=variant, about=f"{entry.about}: {variant}")


def is_installed(entry: Entry) -> bool:
    return find_spec(entry.package) is not None
