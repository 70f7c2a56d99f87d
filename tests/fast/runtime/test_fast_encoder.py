"""The encoder object of the fast path: results in order, memory that is reused, its end."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pytest

import engine
from engine.errors import EngineError
from engine.fast.runtime.fast_encoder import FastEncoder
from tests.support import checkpoints
from tests.support.texts import SENTENCES


@pytest.fixture
def two() -> Iterator[engine.Embedder]:
    with engine.load(checkpoints.tiny(), threads=2) as one:
        yield one


def encoder(embedder: engine.Embedder) -> FastEncoder:
    return cast(FastEncoder, embedder._encoder)


def test_pooled_vectors_come_from_the_hidden_states(two: engine.Embedder) -> None:
    ids = [tokens.ids for tokens in two.tokenize(SENTENCES * 3)]
    states = encoder(two).hidden(ids)
    assert [len(x_LD) for x_LD in states] == [len(one) for one in ids]
    poolings = ["mean" if i % 2 else "cls" for i in range(len(ids))]
    expected = [x_LD.mean(axis=0) if i % 2 else x_LD[0] for i, x_LD in enumerate(states)]
    found = encoder(two).pooled(ids, poolings)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_nothing_gives_nothing(two: engine.Embedder) -> None:
    assert encoder(two).pooled([], []).shape == (0, 40)
    assert encoder(two).hidden([]) == []


def test_memory_is_reused(two: engine.Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches at once have one each; more are never made."""
    made = list[threading.Thread]()
    memory = engine.fast.runtime.fast_encoder.Memory  # type: ignore[attr-defined]

    def counted(model: object, phases: int) -> object:
        made.append(threading.current_thread())
        return memory(model, phases)

    monkeypatch.setattr("engine.fast.runtime.fast_encoder.Memory", counted)
    for _ in range(5):
        two.encode(SENTENCES * 20)
    assert 1 <= len(made) <= 4  # two under way, two whose last thread is on its way out


@pytest.mark.slow
def test_callers_that_want_memory_at_once(two: engine.Embedder) -> None:
    """One piece is free and many ask: each gets another, and nobody an error."""
    one, model = encoder(two), encoder(two)._model
    assert model is not None
    free = one._take_memory(model)
    with ThreadPoolExecutor(8) as callers:
        for _ in range(300):
            one._free[:] = [free]
            taken = list(callers.map(one._take_memory, [model] * 8))
            assert len(set(map(id, taken))) == 8


def test_a_closed_encoder_keeps_nothing(two: engine.Embedder) -> None:
    two.encode(SENTENCES)
    two.close()
    assert encoder(two)._model is None and not encoder(two)._free
    with pytest.raises(EngineError, match="closed"):
        two.encode("a")
