"""Each function against its definition in float64, and invalid arguments."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import InputError
from engine.vectors.similarity import similarity

Array = NDArray[Any]

RNG = np.random.default_rng(8)
A = RNG.standard_normal((5, 33)).astype(np.float32)
B = RNG.standard_normal((4, 33)).astype(np.float32)


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


EXACT: dict[Any, Callable[[Array, Array], float]] = {
    "cosine": cosine,
    "dot": lambda a, b: float((a * b).sum()),
    "euclidean": lambda a, b: -float(np.sqrt(((a - b) ** 2).sum())),
    "manhattan": lambda a, b: -float(np.abs(a - b).sum()),
}
each = pytest.mark.parametrize("name", EXACT)


def exact(name: str, a: Any, b: Any) -> Array:
    rows = [np.atleast_2d(np.asarray(x, np.float64)) for x in (a, b)]
    return np.array([[EXACT[name](x, y) for y in rows[1]] for x in rows[0]])


def hold(name: Any, a: Any, b: Any) -> None:
    found = similarity(name, a, b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact(name, a, b), rtol=2e-6, atol=5e-6)


@each
def test_each_row_with_each_row(name: str) -> None:
    hold(name, A, B)
    hold(name, B, A)
    hold(name, A[:1], B)


@each
def test_one_vector_is_one_row(name: str) -> None:
    hold(name, A[0], B)
    hold(name, A, B[0])
    hold(name, A[0], B[0])
    assert similarity(name, A[0], B[0]).shape == (1, 1)  # type: ignore[arg-type]


@each
def test_numbers_of_other_types(name: str) -> None:
    hold(name, [[1.5, 2], [3, -4]], [0.5, 0.25])
    hold(name, np.array([[1, 2], [3, 4]]), np.array([[5, 6]], np.uint8))
    hold(name, A.astype(np.float64), B.astype(np.float16))
    hold(name, A.tolist(), tuple(B))


def test_by_hand() -> None:
    a, b = [[3, 4], [0, 0]], [[0, 2], [3, 4]]
    assert similarity("dot", a, b).tolist() == [[8, 25], [0, 0]]
    assert similarity("manhattan", a, b).tolist() == [[-5, 0], [-2, -7]]
    euclidean = similarity("euclidean", a, b)
    np.testing.assert_allclose(euclidean, [[-(13**0.5), 0], [-2, -5]], rtol=1e-7)
    np.testing.assert_allclose(similarity("cosine", a, b), [[0.8, 1], [0, 0]], rtol=1e-7)


@pytest.mark.parametrize("name", ["euclidean", "manhattan"])
def test_distances_of_near_vectors_keep_their_digits(name: Any) -> None:
    """The shortcut a² + b² - 2ab would give 0 or 0.0005 here."""
    a = np.ones((1, 33), np.float32)
    b = a + np.float32(2**-20)
    np.testing.assert_allclose(similarity(name, a, b), exact(name, a, b), rtol=1e-6)
    assert similarity(name, a, a)[0, 0] == 0


@each
def test_no_rows(name: Any) -> None:
    assert similarity(name, np.empty((0, 3)), np.ones((2, 3))).shape == (0, 2)
    assert similarity(name, np.ones((2, 3)), np.empty((0, 3))).shape == (2, 0)


@each
def test_the_arguments_stay_as_they_are(name: Any) -> None:
    a, b = A.copy(), B.copy()
    similarity(name, a, b)
    assert np.array_equal(a, A) and np.array_equal(b, B)


@each
@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (2, 4)), ((3,), (1, 4)), ((2, 3), (3, 2)), ((0,), (3,))]
)
def test_vectors_of_different_lengths(name: Any, a: Any, b: Any) -> None:
    with pytest.raises(InputError) as caught:
        similarity(name, np.ones(a), np.ones(b))
    assert str(caught.value) == (
        f"similarity of vectors of length {a[-1]} with vectors of length {b[-1]}: both must come "
        "from one model."
    )


WRONG: dict[str, tuple[Any, str]] = {
    "no axis": (np.float32(3), r"float32 of shape \(\) and type float32"),
    "a number": (3.5, r"float of shape \(\) and type float64"),
    "three axes": (np.ones((1, 2, 3)), r"ndarray of shape \(1, 2, 3\) and type float64"),
    "a string": ("red fox", r"str of shape \(\) and type <U7"),
    "strings": (["red", "fox"], r"list of shape \(2,\) and type <U3"),
    "None": (None, r"NoneType of shape \(\) and type object"),
    "booleans": ([[True, False]], r"list of shape \(1, 2\) and type bool"),
    "complex numbers": ([1j, 2, 3], r"list of shape \(3,\) and type complex128"),
    "a dictionary": ({"a": [1.0]}, r"dict of shape \(\) and type object"),
    "a generator": ((x for x in [1.0]), r"generator of shape \(\) and type object"),
    "times": (np.array(["2026-01-01"], "M8[D]"), r"ndarray of shape \(1,\) and type datetime64"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_array_of_vectors(kind: str) -> None:
    wrong, shown = WRONG[kind]
    end = r".*; give vectors \(D,\) or \(n, D\) of numbers, as encode returns\.$"
    with pytest.raises(InputError, match=f"^the first argument of similarity is {shown}{end}"):
        similarity("cosine", wrong, np.ones(3))
    with pytest.raises(InputError, match=f"^the second argument of similarity is {shown}{end}"):
        similarity("cosine", np.ones(3), wrong)


def test_ragged_lists() -> None:
    with pytest.raises(InputError, match=r"^the first argument of similarity is ragged: setting"):
        similarity("dot", [[1.0, 2.0], [3.0]], [1.0, 2.0])
    with pytest.raises(InputError, match=r"^the second argument of similarity is ragged: setting"):
        similarity("dot", [1.0, 2.0], [[1.0, 2.0], [3.0]])


def test_nothing_is_printed_or_warned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in EXACT:
            similarity(name, np.zeros((2, 3)), A[:, :3])
