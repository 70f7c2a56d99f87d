"""One request's texts, rows and times."""

import asyncio

import numpy as np
import pytest

from engine.serve.batching.request import Work, WorkOptions
from tests.serve.fake_embedder import FakeTokens


def made(*texts: str) -> Work:
    return Work(texts, WorkOptions("mean"), asyncio.Future(loop=asyncio.new_event_loop()))


def test_rows_are_in_the_order_of_the_texts_and_the_last_one_completes_the_work() -> None:
    work = made("a", "bb", "ccc")
    assert [item.cost for item in work.items] == [2, 3, 4]
    first, second, third = work.items
    work.put(third, np.array([3.0, 0.0], np.float32), 10.0, 11.0)
    work.put(first, np.array([0.0, 1.0], np.float32), 12.0, 13.0)
    assert not work.done.done() and work.began == 10.0
    work.put(second, np.array([3.0, 4.0], np.float32), 14.0, 15.0)
    assert work.done.done() and (work.began, work.ended) == (10.0, 15.0)
    assert np.allclose(work.vectors(), [[0, 1], [0.6, 0.8], [1, 0]])
    assert work.vectors(normalize=False).tolist() == [[0, 1], [3, 4], [3, 0]]
    assert work.vectors(truncate_dim=1).tolist() == [[0], [1], [1]]
    assert not hasattr(first, "work")  # no cycle keeps the texts


def test_one_text_has_one_row() -> None:
    work = made("a")
    work.put(work.items[0], np.array([0.0, 2.0], np.float32), 1.0, 2.0)
    assert work.vectors().tolist() == [[0, 1]]


def test_counts() -> None:
    work = made("a", "b")
    for item, cut in zip(work.items, (0, 3), strict=True):
        item.tokens, item.cost = FakeTokens(np.arange(4), cut), 4
    assert (work.tokens, work.truncated) == (8, 1)
    work.accepted, work.tokenised, work.began, work.ended = 1.0, 2.0, 4.0, 8.0
    assert work.times == (1.0, 2.0, 4.0, 8.0)


def test_work_fails_once_and_not_after_its_end() -> None:
    work = made("a")
    work.fail(ValueError("first"))
    work.fail(KeyError("second"))
    with pytest.raises(ValueError, match="first"):
        work.done.result()
    work.put(work.items[0], np.zeros(1, np.float32), 1.0, 2.0)  # a late row changes nothing
    assert isinstance(work.done.exception(), ValueError)
