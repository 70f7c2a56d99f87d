"""fastembed's calls, as its documentation shows them."""

import inspect
import itertools
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pytest

import engine
from engine.compat import TextEmbedding
from tests.conftest import Load
from tests.support.paths import WEIGHTS
from tests.support.toy_embedder import toy_embedder

TEXTS = ["red fox", "the blue one", "red fox"]


@pytest.fixture(scope="module")
def model(load: Load) -> TextEmbedding:
    return TextEmbedding(load("tiny", "float32"))


@pytest.mark.parametrize("method", ["embed", "query_embed", "passage_embed"])
@pytest.mark.parametrize("batch_size", [1, 2, 256])
def test_vectors_come_one_by_one_without_a_prompt(
    method: str, batch_size: int, model: TextEmbedding
) -> None:
    found = getattr(model, method)(iter(TEXTS), batch_size=batch_size)
    assert next(found).shape == (40,)
    expected = model.embedder.encode(TEXTS, prompt="")
    assert np.array_equal([*getattr(model, method)(TEXTS, batch_size=batch_size)], expected)
    (one,) = getattr(model, method)(TEXTS[1])
    assert np.array_equal(one, expected[1])


def test_the_texts_may_be_infinite(model: TextEmbedding) -> None:
    found = model.embed(itertools.repeat("red"), batch_size=2)
    assert len([*itertools.islice(found, 5)]) == 5


def test_nothing_is_put_before_a_query() -> None:
    embedder = toy_embedder(prompts={"query": "the ", "x": "dog "}, default_prompt="x")
    (found,) = TextEmbedding(embedder).query_embed("red")
    assert np.array_equal(found, embedder.encode("red", prompt=""))


def test_parallel_changes_nothing(model: TextEmbedding) -> None:
    for parallel in (None, 0, 4):
        found = [*model.embed(TEXTS, batch_size=2, parallel=parallel)]
        assert np.array_equal(found, model.embedder.encode(TEXTS, prompt=""))


def test_a_model_is_loaded_when_it_is_needed() -> None:
    model = TextEmbedding(WEIGHTS / "tiny", lazy_load=True, local_files_only=True)
    assert "embedder" not in vars(model)
    assert model.embedding_size == 40
    assert "embedder" in vars(model)
    model.embedder.close()
    with pytest.raises(engine.ModelNotFound):
        TextEmbedding("bge-smal-en", local_files_only=True)


class Source(NamedTuple):
    """fastembed's ModelSource: where a model is."""

    hf: str


class Pooling(StrEnum):
    """fastembed's PoolingType."""

    CLS = "CLS"
    DISABLED = "DISABLED"


def test_a_custom_model(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the pooling and the normalisation given, not the checkpoint's."""
    monkeypatch.setattr(TextEmbedding, "_custom", {})
    TextEmbedding.add_custom_model(
        "us/Model", Pooling.CLS, False, Source(str(WEIGHTS / "tiny")), 40, size_in_gb=0.1
    )
    assert TextEmbedding.get_embedding_size("US/model") == 40
    model = TextEmbedding("us/model", local_files_only=True)
    with model.embedder:
        found = [*model.query_embed(TEXTS)]
    expected = load("tiny", "float32").encode(TEXTS, prompt="", pooling="cls", normalize=False)
    assert np.array_equal(found, expected)
    with pytest.raises(engine.InputError, match="pooling is 'disabled'; it must be one of mean"):
        TextEmbedding.add_custom_model("x", Pooling.DISABLED, True, Source("a/b"), 40)


def test_what_the_model_says(model: TextEmbedding) -> None:
    assert model.embedding_size == 40 and "tiny" in model.model_name
    assert model.token_count(TEXTS) == sum(model.embedder.count_tokens(TEXTS))
    assert model.token_count("red " * 1000, batch_size=1) == model.embedder.max_tokens


def test_models_are_listed() -> None:
    models = {one["model"]: one for one in TextEmbedding.list_supported_models()}
    default = inspect.signature(TextEmbedding).parameters["model_name"].default
    assert models[default]["dim"] == TextEmbedding.get_embedding_size(default.upper()) == 384
    assert 0.13 < models[default]["size_in_GB"] < 0.14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"cuda": True}, "cuda is True.*computes on CPUs"),
    ],
)
def test_refused(options: dict[str, Any], message: str, model: TextEmbedding) -> None:
    with pytest.raises(engine.InputError, match=message):
        model.embed(TEXTS, **options)


def test_a_folder_is_loaded() -> None:
    model = TextEmbedding(WEIGHTS / "tiny", threads=1, local_files_only=True)
    with model.embedder as embedder:
        assert embedder.threads == 1
    with pytest.raises(engine.InputError, match="cache_dir is 'x'"):
        TextEmbedding(toy_embedder(), cache_dir="x")
    with pytest.raises(engine.InputError, match="size of a/b is known only after it is loaded"):
        TextEmbedding.get_embedding_size("a/b")
