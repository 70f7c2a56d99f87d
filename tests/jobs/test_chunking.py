"""`--chunk-tokens`: a row for each part of a text, the same in every run."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import engine
from engine import jobs, search
from engine.errors import InputError
from engine.jobs import embedding
from engine.jobs.chunking import divide
from engine.jobs.embedding import How, all_new, embed, tokenize
from engine.jobs.writing.shards import Key, Reject, Shard
from tests.conftest import Load
from tests.jobs.support import job, results, table, texts, vectors, write_parquet
from tests.serve.fake_embedder import FakeEmbedder

HOW = How(None, "mean", None, None, chunk_tokens=4)  # the fake model: two words a chunk
WORDS = ("--chunk-tokens", 24, "--chunk-overlap", 0.25, "--id", "id", "--shard-rows", 10, "--quiet")


def shard_of(*whole: str) -> Shard:
    columns = pa.table({"row": pa.array(range(len(whole)), pa.int64())})
    places = [(0, row) for row in range(len(whole))]
    return Shard(Key(0, 0), True, list(whole), ["in"], places, columns, [], "digest", 100)


def test_each_chunk_has_the_columns_of_its_text() -> None:
    shard = shard_of("one two three", "", " four  five six seven")
    found = divide(FakeEmbedder(), HOW, shard)
    assert found.texts == ["one two", "three", "", "four  five", "six seven"]
    assert found.places == [(0, 0), (0, 0), (0, 1), (0, 2), (0, 2)]
    assert found.columns.to_pydict() == {
        "row": [0, 0, 1, 2, 2],
        "chunk": [0, 1, 0, 0, 1],
        "start": [0, 8, 0, 1, 12],
        "end": [7, 13, 0, 11, 21],
        "text": found.texts,
    }
    assert (found.digest, found.size) == (shard.digest, shard.size)
    assert divide(FakeEmbedder(), How(None, "mean", None, None), shard) is shard
    assert divide(FakeEmbedder(), HOW, shard_of()).columns.num_rows == 0


def test_a_row_is_rejected_with_all_its_chunks() -> None:
    bad = "w" * 777  # the fake model has no finite vector of it
    embedder, shard = FakeEmbedder(), shard_of("a b c", f"d e {bad} f {bad} g", "h")
    work = all_new(divide(embedder, HOW, shard))
    done = embed(embedder, HOW, tokenize(embedder, HOW, work), lambda *_: None)
    assert done.shard.texts == ["a b", "c", "h"]
    assert done.shard.rejects == [Reject("in", 1, embedding.NOT_FINITE)]
    assert len(done.vectors.values) == len(done.rows) == 3


def test_rows_are_the_chunks_of_the_library(tmp_path: Path, load: Load) -> None:
    whole, out = texts(30), tmp_path / "out"
    assert job(write_parquet(tmp_path / "in.parquet", whole), "-o", out, *WORDS) == 0
    embedder = load("tiny", "float32")
    prompt = embedder.prompt_for("document")
    chunks = embedder.encode_chunks(whole, chunk_tokens=24, overlap=0.25, prompt=prompt)
    made = table(out).drop_columns("embedding").to_pylist()
    assert made == [
        {"id": id, "chunk": n, "start": start, "end": end, "text": whole[id][start:end]}
        for id, of in enumerate(chunks)
        for n, (start, end) in enumerate(of.spans.tolist())
    ]
    assert len(made) > 60
    assert np.array_equal(vectors(out), np.concatenate([of.vectors for of in chunks]))
    assert json.loads((tmp_path / "out.job" / "summary.json").read_text())["cut"] == 0


def test_an_update_makes_the_bytes_of_a_fresh_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = texts(40), tmp_path / "out"
    words = WORDS[:-1]  # not quiet
    path = write_parquet(tmp_path / "in.parquet", whole)
    assert job(path, "-o", out, *words) == 0
    before = {(row["id"], row["text"]) for row in table(out).to_pylist()}
    longer = [*whole[:5], whole[5] + " One sentence more.", *whole[6:39], "another text"]
    write_parquet(path, longer)
    capsys.readouterr()
    assert job(path, "-o", out, *words, "--update") == 0
    new = sum((row["id"], row["text"]) not in before for row in table(out).to_pylist())
    assert f"0 new, {new} changed, " in capsys.readouterr().err and new >= 2
    assert jobs.main(["--verify", str(out)]) == 0
    assert job(path, "-o", tmp_path / "fresh", *words) == 0
    assert results(out) == results(tmp_path / "fresh")


def test_only_new_chunks_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = FakeEmbedder()
    monkeypatch.setattr(engine, "load", lambda *_, **__: embedder, raising=False)
    path, words = tmp_path / "in.txt", ["--chunk-tokens", "4", "--quiet", "--update"]
    for text, computed in (
        ("a b c d\ne f\n", ["a b", "c d", "e f"]),
        ("a b c d new\ne f\nc d\n", ["new"]),
    ):
        path.write_text(text)
        embedder.tokenised.clear()
        assert jobs.main([str(path), "-o", str(tmp_path / "out"), *words]) == 0
        assert embedder.tokenised == [computed]


def test_rows_that_are_kept_are_whole_texts(tmp_path: Path) -> None:
    whole, out = texts(30), tmp_path / "out"
    words = ("-o", out, *WORDS, "--update", "--keep-removed")
    path = write_parquet(tmp_path / "in.parquet", whole)
    job(path, *words)
    before = [row for row in table(out).to_pylist() if row["id"] >= 20]
    write_parquet(path, ["short now", *whole[1:20]])
    job(path, *words)
    rows = table(out).to_pylist()
    assert [row for row in rows if row["id"] >= 20] == before
    assert [row["text"] for row in rows if row["id"] == 0] == ["short now"]


def test_another_size_is_another_job(tmp_path: Path) -> None:
    path, out = write_parquet(tmp_path / "in.parquet", texts(5)), tmp_path / "out"
    job(path, "-o", out, *WORDS)
    with pytest.raises(InputError, match=r"chunk_overlap: was 0\.25, is None"):
        job(path, "-o", out, "--id", "id", "--shard-rows", 10, "--quiet")
    assert job(path, "-o", out, *WORDS, "--chunk-tokens", 12, "--update") == 0
    job(path, "-o", tmp_path / "fresh", *WORDS, "--chunk-tokens", 12)
    assert results(out) == results(tmp_path / "fresh")


def test_a_search_shows_the_chunk(tmp_path: Path, load: Load) -> None:
    out = tmp_path / "out"
    job(write_parquet(tmp_path / "in.parquet", texts(30)), "-o", out, *WORDS)
    wanted = table(out).to_pylist()[7]
    index, embedder = search.open(out), load("tiny", "float32")
    hit = index.search(embedder.encode_document(wanted["text"]), k=1)[0]
    assert hit.columns["text"] == wanted["text"] and hit.columns.keys() == wanted.keys() - {
        "embedding"
    }


@pytest.mark.parametrize("tokens", [2, 60])
def test_sizes_that_the_model_does_not_have(tmp_path: Path, tokens: int) -> None:
    path = write_parquet(tmp_path / "in.parquet", texts(5))
    with pytest.raises(InputError, match=f"chunk_tokens is {tokens}"):
        job(path, "-o", tmp_path / "out", "--chunk-tokens", tokens)
    assert not (tmp_path / "out").exists()
