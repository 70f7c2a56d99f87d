"""The parts of a cosine: their sum, and each of them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.explain import compare
from tests.conftest import Load
from tests.support import checkpoints
from tests.support.synthetic import write_checkpoint
from tests.support.texts import SENTENCES

A, B = "The kettle boiled over.", "Nobody was watching the kettle"
SIZES = {"hidden": 40, "layers": 2, "heads": 4, "ffn": 56, "vocab": 242, "positions": 64}


def cosine(embedder: engine.Embedder, a: str, b: str, **options: object) -> float:
    one, other = (embedder.encode(text, **options).astype(float) for text in (a, b))
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("checkpoint", ["tiny", "minilm"])
def test_the_parts_sum_to_the_cosine(checkpoint: str, load: Load) -> None:
    embedder = load(checkpoint, "reference")
    for a, b in [(A, B), ("", B), *zip(SENTENCES[:8], SENTENCES[8:16], strict=True)]:
        found = compare(embedder, a, b)
        assert found.contributions_AB.shape == (len(found.a.tokens), len(found.b.tokens))
        assert found.cosine == pytest.approx(cosine(embedder, a, b), abs=1e-6)
        assert found.cosine == pytest.approx(found.contributions_AB.sum(), abs=1e-12)


def test_each_part_by_its_formula(load: Load) -> None:
    found = compare(load("tiny", "reference"), A, B)
    x_AD, y_BD = (one.hidden_ELD[-1].astype(float) for one in (found.a, found.b))
    lengths = np.linalg.norm(x_AD.mean(axis=0)) * np.linalg.norm(y_BD.mean(axis=0))
    for i, x_D in enumerate(x_AD):
        for j, y_D in enumerate(y_BD):
            expected = x_D @ y_D / (len(x_AD) * len(y_BD) * lengths)
            assert found.contributions_AB[i, j] == pytest.approx(expected)


def test_texts_may_change_places(load: Load) -> None:
    one, other = (compare(load("tiny", "reference"), *texts) for texts in ((A, B), (B, A)))
    np.testing.assert_allclose(one.contributions_AB, other.contributions_AB.T, atol=1e-12)


@pytest.mark.slow
def test_the_same_word_gives_most(load: Load) -> None:
    found = compare(load("minilm", "reference"), A, B)
    best = found.top_pairs(1)[0]
    assert (found.a.tokens[best.i], found.b.tokens[best.j]) == ("kettle", "kettle")


def test_top_pairs_are_the_largest_in_order(load: Load) -> None:
    found = compare(load("tiny", "reference"), A, B)
    pairs, values = found.top_pairs(7), np.sort(found.contributions_AB, axis=None)[::-1]
    assert [pair.contribution for pair in pairs] == values[:7].tolist()
    assert all(found.contributions_AB[pair.i, pair.j] == pair.contribution for pair in pairs)
    assert len(found.top_pairs(10_000)) == found.contributions_AB.size
    assert found.top_pairs(0) == found.top_pairs(-1) == []


def test_prompts_of_both(load: Load) -> None:
    embedder = load("tiny", "reference")
    found = compare(embedder, A, B, prompts=("query: ", "passage: "))
    assert found.cosine == pytest.approx(cosine(embedder, "query: " + A, "passage: " + B), abs=1e-6)


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(checkpoints.tiny(), tmp_path / "edited")
    yield tmp_path / "edited"


def test_a_prompt_that_is_not_pooled_gives_nothing(edited: Path) -> None:
    path = edited / "1_Pooling" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "include_prompt": False}))
    with engine.load(edited, precision="reference") as embedder:
        found = compare(embedder, A, B, prompts=("query: ", ""))
        expected = embedder.similarity(embedder.encode(A, prompt="query: "), embedder.encode(B))
    assert found.cosine == pytest.approx(float(expected[0, 0]), abs=1e-6)
    assert found.a.prompt > 0 and not found.contributions_AB[: found.a.prompt].any()


def test_vectors_that_the_checkpoint_truncates(edited: Path) -> None:
    path = edited / "config_sentence_transformers.json"
    path.write_text(json.dumps({"truncate_dim": 7}))
    with engine.load(edited, precision="reference") as embedder:
        assert embedder.dim == 7
        assert compare(embedder, A, B).cosine == pytest.approx(cosine(embedder, A, B), abs=1e-6)


def test_cls_has_no_parts_but_the_mean_of_its_states_has(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "cls", seed=3, pooling="cls", **SIZES)
    with engine.load(folder, precision="reference") as embedder:
        with pytest.raises(engine.InputError, match="takes the state of one token"):
            compare(embedder, A, B)
        found = compare(embedder, A, B, pooling="mean")
        assert found.cosine == pytest.approx(cosine(embedder, A, B, pooling="mean"), abs=1e-6)


def test_a_dense_after_the_pooling_is_refused(edited: Path) -> None:
    from safetensors.numpy import save_file

    modules = json.loads((edited / "modules.json").read_text())
    modules[2] |= {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (edited / "modules.json").write_text(json.dumps(modules))
    (edited / "2_Dense").mkdir()
    config = {"in_features": 40, "out_features": 40, "bias": False}
    (edited / "2_Dense" / "config.json").write_text(json.dumps(config))
    tensors = {"linear.weight": np.eye(40, dtype=np.float32)}
    save_file(tensors, edited / "2_Dense" / "model.safetensors")
    with (
        engine.load(edited, precision="reference") as embedder,
        pytest.raises(engine.InputError, match="has Dense after its pooling"),
    ):
        compare(embedder, A, B)
