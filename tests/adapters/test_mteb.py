"""MTEB's own small tasks, which bring their texts with them."""

from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from mteb.cache import ResultCache
from mteb.mocks.mock_tasks import MockClassificationTask, MockRetrievalTask, MockSTSTask
from sentence_transformers import SentenceTransformer

from engine import InputError
from engine.adapters.mteb import EngineEncoder
from tests.conftest import Load
from tests.support.paths import WEIGHTS
from tests.support.toy_embedder import toy_embedder

TINY = WEIGHTS / "tiny"


@pytest.mark.reference
@pytest.mark.parametrize("task", [MockSTSTask, MockRetrievalTask, MockClassificationTask])
def test_scores_are_those_of_sentence_transformers(task: Any, load: Load, tmp_path: Path) -> None:
    encoder = EngineEncoder(load("tiny", "float32"))
    assert isinstance(encoder, mteb.EncoderProtocol)
    original = SentenceTransformer(str(TINY), device="cpu", local_files_only=True)
    scores = [
        mteb.evaluate(model, task(), cache=ResultCache(tmp_path / name)).task_results[0].scores
        for name, model in {"ours": encoder, "theirs": original}.items()
    ]
    (ours,), (theirs,) = (each["test"] for each in scores)
    numbers = {name for name, value in theirs.items() if isinstance(value, float)}
    assert len(numbers) > 2
    for name in numbers:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("kind", ["query", "document", None])
def test_prompts(kind: str | None, load: Load) -> None:
    embedder = load("tiny", "float32")
    batches = [{"text": ["red", "fox"]}, {"text": ["blue"]}]
    found = EngineEncoder(embedder).encode(
        batches,
        task_metadata=None,
        hf_split="test",
        hf_subset="default",
        prompt_type=kind and mteb.types.PromptType(kind),
        batch_size=7,
    )
    encode = getattr(embedder, f"encode_{kind}" if kind else "encode")
    assert np.array_equal(found, encode(["red", "fox", "blue"]))


def test_results_of_another_precision_are_kept_apart(load: Load) -> None:
    metas = [EngineEncoder(load("tiny", how)).mteb_model_meta for how in ("float32", "reference")]
    assert metas[0] != metas[1]
    assert metas[0].name == "local/tiny" and metas[0].embed_dim == 40


def test_other_devices_are_refused() -> None:
    with pytest.raises(InputError, match="device is 'cuda'"):
        EngineEncoder(toy_embedder(), device="cuda")
