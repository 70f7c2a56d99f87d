"""A shard's texts to its vectors, in pieces, each text's own."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine import jobs
from engine.errors import NotFinite
from engine.jobs import embedding
from engine.jobs.embedding import How, all_new, chunks, embed, tokenize
from engine.jobs.writing.shards import Key, Reject, Shard
from tests.jobs.support import results, table
from tests.jobs.support import vectors as vectors_of
from tests.serve.fake_embedder import FakeEmbedder

HOW = How(prompt=None, pooling="mean", normalize=True, truncate_dim=None)
BAD = "w" * 777  # the fake model has no finite vector of it


def shard_of(*texts: str) -> Shard:
    rows = pa.table({"row": list(range(len(texts)))})
    places = [(0, row) for row in range(len(texts))]
    return Shard(Key(0, 0), True, list(texts), ["in"], places, rows, [], "digest", 100)


def test_each_row_has_the_vector_of_its_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK_TOKENS", 6)
    embedder, texts = FakeEmbedder(), ["a", "bb cc dd", "", "eee ff", "g " * 100]
    steps: list[tuple[int, int, int]] = []
    work = tokenize(embedder, HOW, all_new(shard_of(*texts)))
    done = embed(embedder, HOW, work, lambda *step: steps.append(step))
    assert np.array_equal(done.vectors.values, embedder.encode(texts, pooling="mean"))
    assert (done.tokens, done.cut) == (3 + 5 + 2 + 4 + 64, 1)
    assert [sum(column) for column in zip(*steps, strict=True)][:2] == [5, done.tokens]
    assert len(steps) > 1 and embedder.batches[0] == [64]  # the longest first


def test_options_decide_the_vectors() -> None:
    embedder = FakeEmbedder()
    how = How(prompt=None, pooling="cls", normalize=False, truncate_dim=3)
    done = embed(embedder, how, tokenize(embedder, how, all_new(shard_of("a bb"))), lambda *_: None)
    assert done.vectors.values.tolist() == [[1, 1, 2]]


def test_a_shard_is_tokenized_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "TOKENIZE_CHARACTERS", 4)
    embedder = FakeEmbedder()
    work = tokenize(embedder, HOW, all_new(shard_of("ab", "cd", "efgh", "i")))
    assert embedder.tokenised == [["ab", "cd"], ["efgh"], ["i"]]
    assert [tokens.ids.tolist() for tokens in work.tokens] == [[1, n, 2] for n in (2, 2, 4, 1)]


def test_a_text_without_a_finite_vector_is_rejected_and_its_neighbours_are_kept() -> None:
    embedder = FakeEmbedder()
    shard = shard_of("a b c", BAD, "d", f"{BAD} e", "f")
    done = embed(embedder, HOW, tokenize(embedder, HOW, all_new(shard)), lambda *_: None)
    assert done.shard.texts == ["a b c", "d", "f"]
    assert done.shard.columns.column("row").to_pylist() == [0, 2, 4]
    assert done.shard.rejects == [Reject("in", row, embedding.NOT_FINITE) for row in (1, 3)]
    assert done.shard.digest == shard.digest  # a resumed run reads the same rows
    assert np.array_equal(done.vectors.values, embedder.encode(["a b c", "d", "f"], pooling="mean"))


def test_texts_may_be_named_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = FakeEmbedder()
    encode = embedder.encode_tokens

    def one_at_a_time(tokens: object, **options: object) -> np.ndarray:
        try:
            return encode(tokens, **options)
        except NotFinite as error:
            raise NotFinite(str(error), error.texts[:1]) from error

    monkeypatch.setattr(embedder, "encode_tokens", one_at_a_time)
    shard = shard_of(BAD, "a", BAD, "b", BAD)
    done = embed(embedder, HOW, tokenize(embedder, HOW, all_new(shard)), lambda *_: None)
    assert done.shard.texts == ["a", "b"] and [reject.row for reject in done.shard.rejects] == [
        0, 2, 4,
    ]  # fmt: skip


def test_an_error_that_names_no_text_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = FakeEmbedder()

    def fail(*_: object, **__: object) -> None:
        raise NotFinite("no vector is finite")

    work = tokenize(embedder, HOW, all_new(shard_of("a")))
    monkeypatch.setattr(embedder, "encode_tokens", fail)
    with pytest.raises(NotFinite):
        embed(embedder, HOW, work, lambda *_: None)


def test_no_texts_make_no_chunks() -> None:
    assert list(chunks(np.array([], np.int64), 10)) == []
    assert [rows.tolist() for rows in chunks(np.array([3, 9, 3]), 10)] == [[1], [0, 2]]


def test_a_job_writes_such_rows_to_the_rejects_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "load", lambda *_, **__: FakeEmbedder(), raising=False)
    lines = [{"text": "a"}, {"text": BAD}, {"text": None}, {"text": "b c"}, {"text": f"d {BAD}"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out"), "--quiet"]
    assert jobs.main(words) == 3
    rejects = [json.loads(line) for line in (tmp_path / "out.job" / "rejects.jsonl").open()]
    assert [(reject["row"], reject["reason"]) for reject in rejects] == [
        (1, embedding.NOT_FINITE),
        (2, "'text' is null"),
        (4, embedding.NOT_FINITE),
    ]
    assert table(tmp_path / "out").column("row").to_pylist() == [0, 3]
    expected = FakeEmbedder().encode(["a", "b c"], pooling="cls")
    assert np.array_equal(vectors_of(tmp_path / "out"), expected)
    before = results(tmp_path / "out")
    assert jobs.main(words) == 3 and results(tmp_path / "out") == before


@given(st.lists(st.integers(1, 600), max_size=300))
def test_chunks_hold_each_row_once_longest_first_within_the_budget(lengths: list[int]) -> None:
    groups = [list(group) for group in embedding.chunks(np.array(lengths, np.int64), 2000)]
    rows = [int(row) for group in groups for row in group]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(groups)
    for group in groups:
        assert sum(lengths[row] for row in group) <= 2000 + 600
