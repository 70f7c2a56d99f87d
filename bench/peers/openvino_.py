"""OpenVINO, over the models that bench/convert.py made from torch."""

from collections.abc import Iterable, Sequence
from typing import Any

from bench.convert import converted
from bench.machine import has_bfloat16
from bench.peers.batching import Batch, Batched, Ids, Setup, Vectors, named_inputs, pool


class OpenVino(Batched):
    """The variant is the precision: float32, bf16 or int8.

    Where nothing is said, OpenVINO takes bfloat16 on a CPU that has it. So float32 is asked for by
    name, and what int8 leaves in floating point is bfloat16 where the CPU has it.
    """

    def __init__(self, setup: Setup) -> None:
        import openvino

        super().__init__(setup)
        folder = converted(setup.checkpoint, "openvino")
        file = folder / ("int8.xml" if setup.variant == "int8" else "float32.xml")
        self.model = openvino.Core().compile_model(str(file), "CPU", settings(setup))
        self.queue: Any = None
        if setup.streams > 1:
            self.queue = openvino.AsyncInferQueue(self.model, setup.streams)

    def states(self, ids: Ids, mask: Ids) -> Vectors:
        states: Vectors = self.model(named_inputs(ids, mask))[0]
        return states

    def run(self, batches: Sequence[Batch]) -> Iterable[Vectors]:
        if self.queue is None:
            return map(self.pooled, batches)
        # One batch alone goes through the queue too: OpenVINO 2026.4 corrupts its memory where a
        # model with streams is also called directly, with other shapes.
        found: dict[int, Vectors] = {}

        def keep(request: Any, at: int) -> None:
            states = request.get_output_tensor().data
            found[at] = pool(states, batches[at][1], self.checkpoint.pooling)

        self.queue.set_callback(keep)
        for at, batch in enumerate(batches):
            self.queue.start_async(named_inputs(*batch), at)
        self.queue.wait_all()
        return [found[at] for at in range(len(batches))]


def settings(setup: Setup) -> dict[str, Any]:
    """Of `compile_model`: one batch on all threads, or a stream a thread."""
    form = {"PERFORMANCE_HINT": "LATENCY"}
    if setup.streams > 1:
        form = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(setup.streams)}
    floats = setup.variant == "float32" or not has_bfloat16()
    return {
        **form,
        "INFERENCE_NUM_THREADS": setup.threads,
        "INFERENCE_PRECISION_HINT": "f32" if floats else "bf16",
        "CACHE_DIR": str(converted(setup.checkpoint, "openvino") / "compiled"),
    }
