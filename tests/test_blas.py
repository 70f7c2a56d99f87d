"""numpy's products on one thread each, so that the readable path can have many batches at once."""

import threading

import numpy as np
import pytest

import engine
from engine import blas
from tests import checkpoints
from tests.texts import SENTENCES


def products_threads() -> int:
    library = blas._openblas()
    assert library is not None, "numpy's wheel brings OpenBLAS; has it other names now?"
    return int(library[blas.GET]())


def test_one_thread_until_the_last_has_left() -> None:
    before = products_threads()
    with blas.one_thread() as outer:
        first = blas.one_thread()
        assert first.__enter__() and outer
        assert products_threads() == 1
    assert products_threads() == 1  # `first` is still there
    with pytest.raises(MemoryError), blas.one_thread():
        raise MemoryError
    first.__exit__(None, None, None)
    assert products_threads() == before


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_openblas", lambda: None)
    with blas.one_thread() as had:
        assert had is False
    assert vectors(3).shape == (70, 40)


def vectors(threads: int) -> np.ndarray:
    with engine.load(checkpoints.tiny(), precision="reference", threads=threads) as one:
        return one.encode(SENTENCES[:70])


def test_batches_at_once_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few texts each; sums of products in another order differ by some 1e-7."""
    monkeypatch.setattr("engine.reference.BUDGET", 64)
    before, alone = products_threads(), vectors(1)
    seen = set()
    encode = engine.reference.model.encode
    monkeypatch.setattr(
        "engine.reference.model.encode",
        lambda *a: (seen.add(threading.get_ident()), encode(*a))[1],
    )
    np.testing.assert_allclose(vectors(3), alone, rtol=0, atol=1e-6)
    assert len(seen) > 1
    assert products_threads() == before
