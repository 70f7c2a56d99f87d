"""A batch to its rows, and which requests of it fail."""

import asyncio

import numpy as np
import pytest

from engine.errors import NotFinite
from engine.serve.batching.compute import compute
from engine.serve.batching.request import Job, Wish
from engine.serve.http.errors import Kind
from tests.serve.fake_embedder import FakeEmbedder

BAD = "w" * 777  # the fake model has no finite vector of it


def batch_of(embedder, *requests):
    """A job for each (texts, wish), and all their entries, tokenised."""
    jobs = [Job(texts, wish, asyncio.Future(loop=LOOP)) for texts, wish in requests]
    for job in jobs:
        for entry in job.entries:
            (entry.tokens,) = embedder.tokenize([entry.text])
    return jobs, [entry for job in jobs for entry in job.entries]


LOOP = asyncio.new_event_loop()


def test_a_row_for_each_entry_pooled_as_its_request_wishes():
    embedder = FakeEmbedder()
    _, batch = batch_of(
        embedder,
        (["one two"], Wish(pooling="mean")),
        (["three"], Wish(per_token=True)),
        (["four"], Wish(pooling="cls")),
    )
    done, rows, failed = compute(embedder, batch)
    assert (done, failed) == (batch, {})
    mean, tokens, cls = rows
    assert np.array_equal(mean, embedder.encode("one two", pooling="mean", normalize=False))
    assert np.array_equal(cls, embedder.encode("four", pooling="cls", normalize=False))
    assert tokens[:, 0].tolist() == [1, 5, 2]


@pytest.mark.parametrize("per_token", [False, True])
def test_a_request_without_a_finite_vector_fails_and_its_neighbours_do_not(per_token):
    embedder = FakeEmbedder()
    jobs, batch = batch_of(
        embedder,
        (["one"], Wish(per_token=per_token)),
        (["two", f"a {BAD}", BAD], Wish(per_token=per_token)),
        (["three"], Wish()),
        ([BAD], Wish(per_token=not per_token)),
    )
    done, rows, failed = compute(embedder, batch)
    assert [entry.text for entry in done] == ["one", "three"] and len(list(rows)) == 2
    assert set(failed) == {jobs[1], jobs[3]}
    assert all(problem.kind is Kind.BACKEND for problem in failed.values())
    assert "text 1 of this request is not finite" in failed[jobs[1]].message
    assert "text 0 of this request is not finite" in failed[jobs[3]].message


def test_a_batch_of_nothing_else_has_no_rows():
    jobs, batch = batch_of(FakeEmbedder(), ([BAD], Wish()), ([BAD, "a"], Wish()))
    done, rows, failed = compute(FakeEmbedder(), batch)
    assert (done, list(rows), set(failed)) == ([], [], set(jobs))


def test_an_error_that_names_no_text_is_raised(monkeypatch):
    embedder = FakeEmbedder()

    def fail(*_, **__):
        raise NotFinite("no vector is finite")

    monkeypatch.setattr(embedder, "encode_tokens", fail)
    _, batch = batch_of(embedder, (["one"], Wish()))
    with pytest.raises(NotFinite, match="no vector is finite"):
        compute(embedder, batch)
