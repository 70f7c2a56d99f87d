"""The errors of the precisions for one text."""

import numpy as np
import pytest

from engine.explain import precision_errors
from tests.conftest import Load

TEXT = "The red fox, and the blue one."


@pytest.mark.slow
def test_they_are_those_of_the_vectors_of_encode(load: Load) -> None:
    want = load("tiny", "reference").encode(TEXT, prompt="query: ").astype(float)
    errors = precision_errors(load("tiny", "reference"), TEXT, prompt="query: ")
    assert [error.precision for error in errors] == ["float32", "int16", "int8"]
    for name, cosine, largest in errors:
        got = load("tiny", name).encode(TEXT, prompt="query: ").astype(float)
        assert largest == pytest.approx(np.abs(got - want).max(), abs=1e-9)
        expected = got @ want / np.linalg.norm(got) / np.linalg.norm(want)
        assert cosine == pytest.approx(expected, abs=1e-12)
    float32, _, int8 = errors
    assert float32.largest < 1e-6 < int8.largest and int8.cosine < float32.cosine


def test_the_reference_has_none(load: Load) -> None:
    (error,) = precision_errors(load("tiny", "float32"), TEXT, ["reference"])
    assert error.largest == 0 and error.cosine == pytest.approx(1, abs=1e-12)
