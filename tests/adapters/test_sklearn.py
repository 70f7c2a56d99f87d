"""scikit-learn's pipelines, grid searches, copies and tables."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from engine.adapters.sklearn import EngineTransformer
from tests.conftest import Load
from tests.support.paths import WEIGHTS

TEXTS = ["the red fox", "a blue green one", "it is small", "red fox"] * 5
TINY = WEIGHTS / "tiny"


def test_the_checks_of_scikit_learn() -> None:
    """Most of them are for tables of numbers; for texts they leave those out, and say so."""
    with pytest.warns(SkipTestWarning, match="requires input"):
        check_estimator(EngineTransformer(TINY))


def test_vectors_and_options(load: Load) -> None:
    embedder = load("tiny", "float32")
    assert np.array_equal(EngineTransformer(embedder).fit_transform(TEXTS), embedder.encode(TEXTS))
    options = {"prompt": "red ", "pooling": "cls", "normalize": False, "truncate_dim": 7}
    found = EngineTransformer(embedder, **options).transform(pd.Series(TEXTS))
    assert np.array_equal(found, embedder.encode(TEXTS, **options))


@pytest.mark.parametrize("truncate_dim", [None, 7])
def test_tables(truncate_dim: int | None, load: Load) -> None:
    transformer = EngineTransformer(load("tiny", "float32"), truncate_dim=truncate_dim)
    table = transformer.set_output(transform="pandas").fit_transform(TEXTS)
    names = [f"enginetransformer{i}" for i in range(truncate_dim or 40)]
    assert [*table.columns] == names == [*transformer.get_feature_names_out()]


def test_a_grid_search_sets_its_parameters() -> None:
    pipeline = make_pipeline(EngineTransformer(TINY), LogisticRegression())
    search = GridSearchCV(pipeline, {"enginetransformer__truncate_dim": [2, 40]}, cv=2)
    search.fit(TEXTS, ["fox", "other", "other", "fox"] * 5)
    assert search.best_score_ == 1
    assert [*search.predict(["the red fox", "it is small"])] == ["fox", "other"]


def test_copies(load: Load) -> None:
    embedder = load("tiny", "float32")
    fitted = EngineTransformer(TINY, truncate_dim=3).fit(TEXTS)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "embedder_")
    loaded = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(loaded.transform(TEXTS), embedder.encode(TEXTS, truncate_dim=3))
