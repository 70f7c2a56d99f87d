"""Values to the types of their columns."""

import math

import pytest

from engine.jobs.reading.column_types import MISSING, common_type, convert, type_name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "bool"), (0, "int64"), (-(2**63), "int64"), (2**63, "string"), (1.5, "float64"),
        ("a", "string"), ([1], "string"), ({}, "string"),
    ],
)  # fmt: skip
def test_the_type_of_a_value(value: object, name: str) -> None:
    assert type_name(value) == name


def test_the_type_of_a_column_holds_all_its_values() -> None:
    assert common_type({"int64"}) == "int64"
    assert common_type({"int64", "float64"}) == "float64"
    assert common_type({"bool", "int64"}) == common_type({"string", "int64"}) == "string"
    assert common_type(set()) == "string"


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "int64", None), (MISSING, "string", None), ("", "int64", None), ("", "string", ""),
        (5, "string", "5"), ([1, "é"], "string", '[1, "é"]'), ("-12", "int64", -12),
        (3, "float64", 3.0), ("1e3", "float64", 1000.0), ("7", "float64", 7.0),
        ("True", "bool", True), ("-inf", "float64", -math.inf),
    ],
)  # fmt: skip
def test_what_fits(value: object, kind: str, expected: object) -> None:
    made = convert(value, kind)
    assert made == expected and type(made) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1.0, "int64"), (True, "int64"), (True, "float64"), (2**63, "int64"), ("1_0", "int64"),
        (" 1", "int64"), ("9" * 5000, "int64"), ("x", "float64"), (2**53 + 1, "float64"),
        (1, "bool"), ("yes", "bool"), ([], "float64"), ("٣", "int64"), ("1" * 25, "float64"),
    ],
)  # fmt: skip
def test_what_does_not(value: object, kind: str) -> None:
    with pytest.raises(ValueError):
        convert(value, kind)
