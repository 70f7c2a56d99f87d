"""Shapes, parameters and operations, as transformers and PyTorch count them."""

from typing import Any

import pytest

from engine.explain import explain, steps
from tests.conftest import Load
from tests.support import checkpoints

pytestmark = pytest.mark.reference
TOKENS = 11


@pytest.fixture(scope="module", params=["tiny", "minilm"])
def both(request: pytest.FixtureRequest, load: Load) -> tuple[Any, Any]:
    """Our embedder, and the model of transformers without its pooler."""
    from transformers import BertModel

    options = {"attn_implementation": "eager", "add_pooling_layer": False}
    folder = checkpoints.FOLDERS[request.param]()
    return load(request.param, "reference"), BertModel.from_pretrained(folder, **options).eval()


def test_parameters(both: tuple[Any, Any]) -> None:
    embedder, bert = both
    found = steps(embedder.config, TOKENS)
    assert sum(step.parameters * step.repeats for step in found) == bert.num_parameters()
    layer = sum(step.parameters for step in found if step.repeats > 1)
    assert layer == sum(each.numel() for each in bert.encoder.layer[0].parameters())


def test_operations(both: tuple[Any, Any]) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    embedder, bert = both
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        bert(input_ids=torch.ones((1, TOKENS), dtype=torch.long))
    found = steps(embedder.config, TOKENS)
    assert sum(step.operations * step.repeats for step in found) == counter.get_total_flops()


def test_shapes(both: tuple[Any, Any]) -> None:
    embedder, _ = both
    found = explain(embedder, "a red fox")
    shapes = {step.name: step.shape for step in steps(embedder.config, len(found.tokens))}
    assert shapes["word embeddings"] == shapes["down"] == found.hidden_ELD.shape[1:]
    assert shapes["attention weights"] == found.attention_NHLL.shape[1:]
    assert shapes["pooling"] == found.pooled_ED().shape[1:]
    heads, length, width = shapes["gathered values"]
    assert (length, heads * width) == found.hidden_ELD.shape[1:]
    for step in steps(embedder.config, TOKENS):
        assert len(step.axes) == len(step.shape)
