"""What is derived from an explanation, and the file that keeps it."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.explain import Explanation, explain
from tests.conftest import Load
from tests.support.texts import SENTENCES

pytestmark = pytest.mark.slow  # real weights


@pytest.fixture(scope="module")
def found(load: Load) -> Explanation:
    return explain(load("minilm", "reference"), SENTENCES[0])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_pooled_vector_of_the_last_depth_is_that_of_encode(
    pooling: engine.literals.Pooling, found: Explanation, load: Load
) -> None:
    expected = load("minilm", "reference").encode(SENTENCES[0], pooling=pooling, normalize=False)
    pooled_ED = found.pooled_ED(pooling)
    assert pooled_ED.shape == (7, 384) and pooled_ED.dtype == np.float32
    np.testing.assert_allclose(
        pooled_ED[-1] / np.linalg.norm(pooled_ED[-1]), unit(expected), atol=1e-6
    )


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def test_without_a_pooling_it_is_the_checkpoints(found: Explanation) -> None:
    assert np.array_equal(found.pooled_ED(), found.pooled_ED("mean"))
    with pytest.raises(engine.InputError, match="pooling is 'max'; it must be one of mean, cls"):
        found.pooled_ED("max")  # type: ignore[arg-type]


def test_norms(found: Explanation) -> None:
    norms_EL = found.norms_EL()
    assert norms_EL.shape == found.hidden_ELD.shape[:2]
    assert norms_EL[3, 1] == pytest.approx(sum(x * x for x in found.hidden_ELD[3, 1]) ** 0.5)


def test_shares_are_the_parts_of_the_means_length(found: Explanation) -> None:
    shares_EL = found.shares_EL()
    np.testing.assert_allclose(shares_EL.sum(axis=1), 1, atol=1e-12)
    for depth in (0, 6):
        x_LD = found.hidden_ELD[depth].astype(float)
        length = np.linalg.norm(x_LD.mean(axis=0))
        for i, x_D in enumerate(x_LD):
            without = x_LD.mean(axis=0) - x_D / len(x_LD)  # the mean less this token's part of it
            lost = length - without @ unit(x_LD.mean(axis=0))
            assert shares_EL[depth, i] == pytest.approx(lost / length)


def test_shares_of_a_prompt_that_is_not_pooled_are_0(found: Explanation) -> None:
    without = replace(found, prompt=3)
    shares_EL = without.shares_EL()
    assert not shares_EL[:, :3].any()
    np.testing.assert_allclose(shares_EL.sum(axis=1), 1, atol=1e-12)
    rest = replace(found, prompt=0, hidden_ELD=found.hidden_ELD[:, 3:])
    np.testing.assert_allclose(shares_EL[:, 3:], rest.shares_EL())
    assert np.array_equal(without.pooled_ED("cls")[-1], found.hidden_ELD[-1, 3])


def test_shares_of_states_that_cancel_are_numbers(found: Explanation) -> None:
    x_ELD = np.ones((1, 2, 3), np.float32) * np.array([[1], [-1]], np.float32)
    assert np.isfinite(replace(found, hidden_ELD=x_ELD).shares_EL()).all()


def test_a_file_brings_back_every_field(load: Load, tmp_path: Path) -> None:
    saved = explain(load("tiny", "reference"), "nul\x00, 東京 and half \ud83d", prompt="p: ")
    saved.save(tmp_path / "kept.explanation")
    back = Explanation.load(tmp_path / "kept.explanation")
    for field in fields(Explanation):
        one, other = getattr(saved, field.name), getattr(back, field.name)
        assert type(one) is type(other)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
        assert not isinstance(one, np.ndarray) or one.dtype == other.dtype


def test_other_files_are_refused(found: Explanation, tmp_path: Path) -> None:
    found.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("a text")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "array.npz.npy", np.ones(3))
    np.savez(tmp_path / "other.npz", vectors=np.ones(3))
    np.savez(tmp_path / "near.npz", others='{"tokens": [], "model": "m"}', ids_L=np.ones(3))
    names = ["cut.npz", "text.npz", "empty.npz", "array.npz.npy", "other.npz", "near.npz"]
    for name in names:
        with pytest.raises(engine.InputError, match=f"{name} is not a saved explanation"):
            Explanation.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Explanation.load(tmp_path / "nowhere.npz")
