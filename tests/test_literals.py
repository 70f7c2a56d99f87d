"""Every allowed value is implemented."""

from typing import get_args

from engine import literals, model
from engine.vectors.similarity import FUNCTIONS


def test_each_tuple_is_its_type() -> None:
    for words, kind in (
        (literals.PRECISIONS, literals.Precision),
        (literals.POOLINGS, literals.Pooling),
        (literals.ON_TRUNCATE, literals.OnTruncate),
        (literals.SIDES, literals.Side),
        (literals.SIMILARITIES, literals.Similarity),
        (literals.VECTOR_TYPES, literals.VectorType),
    ):
        assert words == get_args(kind)


def test_the_values_are_the_public_ones() -> None:
    assert literals.PRECISIONS == ("float32", "int16", "int8", "reference")
    assert literals.ON_TRUNCATE == ("warn", "error", "ignore")
    assert literals.SIDES == ("right", "left")


def test_each_value_is_implemented() -> None:
    assert set(literals.POOLINGS) == set(model.POOLINGS)
    assert set(literals.SIMILARITIES) == set(FUNCTIONS)
