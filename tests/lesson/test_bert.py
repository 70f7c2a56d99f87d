"""`Bert`: a checkpoint that is loaded when it is first needed."""

from pathlib import Path

import numpy as np
import pytest

import engine
from engine.lesson.bert import Bert


def test_nothing_is_loaded_before_it_is_needed() -> None:
    absent = Bert("no-such-model", offline=True)
    with pytest.raises(engine.ModelNotFound, match="no-such-model"):
        absent.embedder  # noqa: B018
    with pytest.raises(engine.ModelNotFound):
        absent.weights  # noqa: B018


def test_what_it_gives(tiny: Path) -> None:
    bert = Bert(str(tiny), threads=1, offline=True)
    assert bert.embedder is bert.embedder and bert.embedder.precision == "reference"
    assert bert.embedder.threads == 1
    assert bert.weights.word_VD.shape == (bert.config.vocabulary, bert.config.hidden)
    assert len(bert.vocabulary) == len(set(bert.vocabulary)) == bert.config.vocabulary
    batch = bert.batch("the red fox", "red")
    lengths = np.diff(batch.cu_seqlens)
    assert lengths.tolist() == bert.embedder.count_tokens(["the red fox", "red"])
    assert [bert.vocabulary[i] for i in batch.ids_T[: lengths[0]]][::lengths[0] - 1] == [
        "[CLS]", "[SEP]",
    ]  # fmt: skip


def test_other_precisions_are_of_the_same_checkpoint(tiny: Path) -> None:
    bert = Bert(str(tiny), threads=1, offline=True)
    with bert.load("float32") as fast:
        assert fast.precision == "float32" and fast.folder == bert.embedder.folder
        np.testing.assert_allclose(fast.encode("red"), bert.embedder.encode("red"), atol=1e-6)
