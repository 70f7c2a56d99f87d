"""Records: every field of a structure where numpy has it, read and written in place."""

from typing import Any

import numpy as np
import pytest

from engine.fast.codegen.records import view
from engine.fast.kernels import jit
from tests.fast.compiled import address

INNER = np.dtype([("small", np.float32), ("large", np.int64)], align=True)
OUTER = np.dtype(
    [("a", np.float32), ("b", np.int64), ("inner", INNER), ("c", np.int32)], align=True
)
outer_at = view(OUTER)


@jit  # type: ignore[untyped-decorator]
def read(place):  # type: ignore[no-untyped-def]
    one = outer_at(place)
    return one.a, one.b, one.inner.small, one.inner.large, one.c


@jit  # type: ignore[untyped-decorator]
def write(place, number):  # type: ignore[no-untyped-def]
    one = outer_at(place)
    one.b = number
    add(one.inner, number)


@jit  # type: ignore[untyped-decorator]
def add(inner, number):  # type: ignore[no-untyped-def]
    inner.large += number


@pytest.fixture
def array() -> Any:
    array = np.zeros(3, OUTER)
    array["a"], array["b"], array["c"] = [0.5, 1.5, 2.5], [-1, 2**62, -3], [7, 8, 9]
    array["inner"]["small"], array["inner"]["large"] = [10, 11, 12], [-(2**40), 5, 6]
    return array


def test_every_field_is_read(array: Any) -> None:
    for i in range(3):
        a, b, inner, c = array[i].item()
        assert read(address(array) + i * OUTER.itemsize) == (a, b, *inner, c)


def test_what_is_written_is_in_the_array_and_nothing_else(array: Any) -> None:
    expected = array.copy()
    expected["b"][1], expected["inner"]["large"][1] = 100, 105
    write(address(array) + OUTER.itemsize, 100)
    assert array.tolist() == expected.tolist()
