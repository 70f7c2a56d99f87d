"""Queries are embedded as the job embedded its texts, with the query prompt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine.errors import EngineError, InputError
from engine.search.queries import Queries
from tests.conftest import Load
from tests.search.outputs import manifest


def facts(embedder: engine.Embedder, **changes: Any) -> dict[str, Any]:
    made = {"model": embedder.name, "model_hash": embedder.model_hash, "pooling": "mean"}
    return {**manifest(embedder.dim), **made, **changes}


def queries(model: Any = None, prompt: str | None = None) -> Queries:
    return Queries(model, prompt=prompt, threads=1, offline=True)


@pytest.fixture
def embedder(load: Load) -> engine.Embedder:
    return load("tiny", "float32")


def test_the_settings_of_the_job(embedder: engine.Embedder) -> None:
    made = facts(embedder, dim=7, normalize=True)
    expected = embedder.encode_query(["a"], pooling="mean", normalize=True, truncate_dim=7)
    assert np.array_equal(queries(embedder).encode(["a"], made), expected)
    plain = embedder.encode(["a"], prompt="", pooling="mean")
    assert np.array_equal(queries(embedder, prompt="").encode(["a"], facts(embedder)), plain)
    assert not np.array_equal(queries(embedder).encode(["a"], facts(embedder)), plain)


def test_the_model_is_loaded_by_its_name_and_precision(
    embedder: engine.Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def load(*words: Any, **options: Any) -> engine.Embedder:
        asked.append((*words, options))
        return embedder

    monkeypatch.setattr(engine, "load", load, raising=False)
    made = facts(embedder, model="some-model", precision="int16")
    wanted = queries()
    assert wanted.embedder(made) is wanted.embedder(made) is embedder
    assert asked == [("some-model", {"precision": "int16", "threads": 1, "offline": True})]


def test_the_callers_model_stays_open(embedder: engine.Embedder) -> None:
    mine = queries(embedder)
    mine.encode(["a"], facts(embedder))
    mine.close()
    assert embedder.encode("a").shape == (embedder.dim,)


def test_a_model_that_cannot_be_found(embedder: engine.Embedder) -> None:
    with pytest.raises(EngineError, match="made the vectors, 'gone', cannot be loaded"):
        queries().embedder(facts(embedder, model="gone"))
    with pytest.raises(EngineError, match="nowhere"):
        queries("./nowhere").embedder(facts(embedder))


def test_another_model(tiny: Path, embedder: engine.Embedder) -> None:
    with pytest.raises(InputError, match="but the model of that name has other weights here"):
        queries().embedder(facts(embedder, model=str(tiny), model_hash="0" * 64))
    with pytest.raises(InputError, match="have 4000 components; those of 'tiny' have"):
        queries(tiny).embedder(facts(embedder, model_hash="0" * 64, dim=4000))
    with pytest.warns(UserWarning, match="'tiny' has other weights, so scores may mean nothing"):
        queries(embedder).embedder(facts(embedder, model_hash="0" * 64))
