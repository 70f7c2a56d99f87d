"""The rows of a batch, and the requests that fail."""

import asyncio

import numpy as np
import pytest

from engine.errors import NotFinite
from engine.serve.batching.compute import compute
from engine.serve.batching.request import Work, WorkOptions
from engine.serve.http.errors import ErrorKind
from tests.serve.fake_embedder import FakeEmbedder

MEAN = WorkOptions("mean")

BAD = "w" * 777  # the fake model has no finite vector of it


def batch_of(embedder, *requests):
    """A Work for each (texts, options), and all their items, tokenised."""
    jobs = [Work(texts, options, asyncio.Future(loop=LOOP)) for texts, options in requests]
    for work in jobs:
        for item in work.items:
            (item.tokens,) = embedder.tokenize([item.text])
    return jobs, [item for work in jobs for item in work.items]


LOOP = asyncio.new_event_loop()


def test_one_row_per_item_pooled_as_its_request_says():
    embedder = FakeEmbedder()
    _, batch = batch_of(
        embedder,
        (["one two"], WorkOptions(pooling="mean")),
        (["three"], WorkOptions("mean", per_token=True)),
        (["four"], WorkOptions(pooling="cls")),
    )
    done, rows, failed = compute(embedder, batch)
    assert (done, failed) == (batch, {})
    mean, tokens, cls = rows
    assert np.array_equal(mean, embedder.encode("one two", pooling="mean", normalize=False))
    assert np.array_equal(cls, embedder.encode("four", pooling="cls", normalize=False))
    assert tokens[:, 0].tolist() == [1, 5, 2]


@pytest.mark.parametrize("per_token", [False, True])
def test_a_request_without_a_finite_vector_fails_alone(per_token):
    embedder = FakeEmbedder()
    jobs, batch = batch_of(
        embedder,
        (["one"], WorkOptions("mean", per_token=per_token)),
        (["two", f"a {BAD}", BAD], WorkOptions("mean", per_token=per_token)),
        (["three"], MEAN),
        ([BAD], WorkOptions("mean", per_token=not per_token)),
    )
    done, rows, failed = compute(embedder, batch)
    assert [item.text for item in done] == ["one", "three"] and len(list(rows)) == 2
    assert set(failed) == {jobs[1], jobs[3]}
    assert all(error.kind is ErrorKind.BACKEND for error in failed.values())
    assert "text 1 of this request is not finite" in failed[jobs[1]].message
    assert "text 0 of this request is not finite" in failed[jobs[3]].message


def test_a_batch_without_finite_vectors_has_no_rows():
    jobs, batch = batch_of(FakeEmbedder(), ([BAD], MEAN), ([BAD, "a"], MEAN))
    done, rows, failed = compute(FakeEmbedder(), batch)
    assert (done, list(rows), set(failed)) == ([], [], set(jobs))


def test_an_error_without_text_numbers_is_raised(monkeypatch):
    embedder = FakeEmbedder()

    def fail(*_, **__):
        raise NotFinite("no vector is finite")

    monkeypatch.setattr(embedder, "encode_tokens", fail)
    _, batch = batch_of(embedder, (["one"], MEAN))
    with pytest.raises(NotFinite, match="no vector is finite"):
        compute(embedder, batch)
