"""numpy's products on one thread each, so that the readable path can have many batches at once."""

import os
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


def test_the_smallest_wish_counts_until_the_last_has_left() -> None:
    before = products_threads()
    assert before >= 2, "these tests need two cores"
    with blas.at_most(10 * before) as outer:
        assert outer and products_threads() == before
        first = blas.at_most(1)
        assert first.__enter__() and products_threads() == 1
        with blas.at_most(2):
            assert products_threads() == 1
    assert products_threads() == 1  # `first` is still there
    with pytest.raises(MemoryError), blas.at_most(2):
        raise MemoryError
    first.__exit__(None, None, None)
    assert products_threads() == before


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_openblas", lambda: None)
    with blas.at_most(1) as had:
        assert had is False
    assert vectors(3).shape == (70, 40)


def test_a_fork_has_no_wishes() -> None:
    with blas.at_most(1):
        child = os.fork()
        if child == 0:
            before = blas._before
            os._exit(0 if not blas._wishes and products_threads() == before > 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert products_threads() == 1


def test_one_batch_takes_no_more_threads_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    encode = engine.reference.model.encode
    monkeypatch.setattr(
        "engine.reference.model.encode",
        lambda *a: (seen.append(products_threads()), encode(*a))[1],
    )
    with engine.load(checkpoints.tiny(), precision="reference", threads=1) as one:
        one.encode(SENTENCES[:3])
    with engine.load(checkpoints.tiny(), precision="reference", threads=2) as two:
        two.encode(SENTENCES[:3])
    assert seen == [1, 2]


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
