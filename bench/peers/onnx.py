"""Engines that run the ONNX graphs of bench/export.py: onnxruntime, and fastembed on top of it."""

from collections.abc import Sequence

import numpy as np

from bench.export import exported
from bench.peers.batching import Batched, Ids, Setup, Vectors, named_inputs


class OnnxRuntime(Batched):
    """All graph optimisations on. The variant is the graph's file.

    A session of one thread may be run by many threads at once: side by side, the streams share
    the weights.
    """

    def __init__(self, setup: Setup) -> None:
        import onnxruntime

        super().__init__(setup)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = setup.threads_a_stream, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        file = exported(setup.checkpoint) / f"{setup.variant}.onnx"
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def states(self, ids: Ids, mask: Ids) -> Vectors:
        states: Vectors = self.session.run(None, named_inputs(ids, mask))[0]
        return states


class FastEmbed:
    """fastembed over the fused float32 graph, as a custom model. It does not sort by length."""

    NAME = "bench/checkpoint"

    def __init__(self, setup: Setup) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        folder = exported(setup.checkpoint)
        TextEmbedding.add_custom_model(
            self.NAME,
            pooling=PoolingType.CLS if setup.checkpoint.pooling == "cls" else PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf=self.NAME),
            dim=setup.checkpoint.bert["hidden_size"],
            model_file="fused.onnx",
        )
        self.model = TextEmbedding(
            self.NAME, threads=setup.threads, specific_model_path=str(folder)
        )

    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        return np.stack(list(self.model.embed(list(texts), batch_size=batch)))
