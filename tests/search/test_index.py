"""Searches of whole outputs, of `bge job` and of given vectors."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import engine
from engine import search
from engine.errors import EngineError, InputError
from tests.conftest import Load
from tests.jobs.support import job, texts, vectors, write_parquet
from tests.search.outputs import DTYPES, FORMATS, unit, write_output
from tests.support.toy_embedder import toy_embedder

VECTORS = unit(400)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_nearest_rows(tmp_path: Path, format: str, dtype: str) -> None:
    folder = write_output(tmp_path / "out", VECTORS, format=format, dtype=dtype)
    queries = unit(3, seed=5)
    with search.open(folder) as index:
        assert len(index) == 400 and index.manifest["dtype"] == dtype
        many = index.search_many(queries, 20)
        assert many[1] == index.search(queries[1], 20) == index.search(queries[1].tolist(), 20)
    for query, hits in zip(queries, many, strict=True):
        exact = VECTORS.astype(np.float64) @ query
        assert [hit.columns["id"] for hit in hits] == [hit.row for hit in hits]
        near = {"float32": 1e-6, "float16": 1e-3, "int8": 2e-2}[dtype]
        assert [hit.score for hit in hits] == pytest.approx(exact[[h.row for h in hits]], abs=near)
        if dtype == "float32":
            assert [hit.row for hit in hits] == np.argsort(-exact)[:20].tolist()


def test_the_length_of_a_query_is_not_its_business(tmp_path: Path) -> None:
    with search.open(write_output(tmp_path / "out", VECTORS)) as index:
        (hit,) = index.search(VECTORS[123] * 7, 1)
        assert hit.row == 123 and hit.score == pytest.approx(1)


def test_conditions(tmp_path: Path) -> None:
    langs = ["en", "de", "fr", "en"] * 100
    folder = write_output(tmp_path / "out", VECTORS, columns={"lang": langs})
    with search.open(folder) as index:
        hits = index.search(VECTORS[1], 30, where=["lang=en", "id<40"])
        assert sorted(hit.row for hit in hits) == [r for r in range(40) if langs[r] == "en"]
        assert hits == index.search(
            VECTORS[1], 30, where=(pc.field("lang") == "en") & (pc.field("id") < 40)
        )
        assert index.search(VECTORS[1], where="lang=xx") == []
        with pytest.raises(InputError, match="no column 'language'"):
            index.search(VECTORS[1], where="language=en")


@pytest.mark.parametrize(
    ("query", "k", "message"),
    [
        (VECTORS[0], 0, "k is 0; it must be a positive integer"),
        (VECTORS[0], True, "k is True"),
        (VECTORS[0][:5], 1, r"a query has shape \(5,\); .* have 24 components"),
        (VECTORS, 1, r"shape \(400, 24\)"),
        (VECTORS[0] * 0, 1, "zero, or holds NaN"),
        (VECTORS[0] * np.nan, 1, "zero, or holds NaN"),
        (None, 1, r"a query has shape \(\)"),
        ([object()], 1, "neither texts nor vectors"),
    ],
)
def test_what_is_no_query(tmp_path: Path, query: Any, k: int, message: str) -> None:
    with (
        search.open(write_output(tmp_path / "out", VECTORS)) as index,
        pytest.raises(InputError, match=message),
    ):
        index.search(query, k)


def test_no_threads(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads is 0; it must be a positive integer"):
        search.open(write_output(tmp_path / "out", VECTORS), threads=0)


def test_no_queries_and_no_rows(tmp_path: Path) -> None:
    with search.open(write_output(tmp_path / "out", VECTORS)) as index:
        assert index.search_many([]) == [] and len(index.search(VECTORS[0], 1000)) == 400
    with search.open(write_output(tmp_path / "empty", VECTORS[:0])) as index:
        assert len(index) == 0 and index.search(VECTORS[0]) == []


@pytest.mark.parametrize(("similarity", "winner"), [("cosine", 0), ("dot", 1)])
def test_vectors_of_other_lengths_are_compared_as_the_model_says(
    tmp_path: Path, similarity: Any, winner: int
) -> None:
    folder = write_output(tmp_path / "out", np.array([[1, 0, 0], [9, 9, 0]], np.float32))
    with toy_embedder(similarity=similarity) as model:
        (hit, _) = hits_of(folder, model)
    assert hit.row == winner and hit.score == pytest.approx({"cosine": 1, "dot": 18}[similarity])


def hits_of(folder: Path, model: engine.Embedder) -> list[Any]:
    with (
        search.open(folder, model=model) as index,
        pytest.warns(UserWarning, match="other weights"),
    ):
        return index.search([2.0, 0, 0])


def test_distances_need_vectors_of_length_1(tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", np.array([[1, 0, 0], [9, 9, 0]], np.float32))
    with (
        toy_embedder(similarity="euclidean") as model,
        pytest.raises(InputError, match="compares them by euclidean; search knows cosine and dot"),
    ):
        hits_of(folder, model)


@pytest.mark.parametrize("words", [[], ["--dtype", "int8"], ["--truncate-dim", 7]], ids=str)
def test_texts_find_the_rows_of_a_job(tmp_path: Path, load: Load, words: list[Any]) -> None:
    rows = [text[:80] for text in texts(300)]
    source = write_parquet(tmp_path / "in.parquet", rows)
    out = tmp_path / "out"
    job(source, "-o", out, "--keep", "text", "--prompt", "", "--shard-rows", 64, "--quiet", *words)
    embedder = load("tiny", "float32")
    with search.open(out, model=embedder, prompt="") as index:
        hits = index.search(rows[77], 5)
        query = embedder.encode(rows[77], prompt="", truncate_dim=index.manifest["dim"])
    assert hits[0].score == pytest.approx(1, abs=1e-2)
    for hit in hits:
        assert hit.columns == {"file": str(source), "row": hit.row, "text": rows[hit.row]}
    if not words:
        assert hits[0].row == rows.index(rows[77])
        expected = np.argsort(-(vectors(out).astype("f8") @ query), kind="stable")[:5]
        assert {hit.row for hit in hits} == set(expected.tolist())


def test_an_index_is_shared_between_threads(tmp_path: Path) -> None:
    with search.open(write_output(tmp_path / "out", VECTORS, dtype="int8")) as index:
        expected = [index.search(vector) for vector in VECTORS[:8]]
        found: dict[int, Any] = {}

        def ask(number: int) -> None:
            found[number] = index.search(VECTORS[number])

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[number] for number in range(8)] == expected


@pytest.mark.slow
def test_more_shards_than_a_process_may_open_files(tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", VECTORS, shard_rows=2)
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from engine import search
index = search.open(sys.argv[1])
print([hit.row for hit in index.search([1.0] * 24, 3)])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(np.argsort(-VECTORS.sum(axis=1))[:3].tolist())


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("engine.search.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "engine.jobs.writing.manifest", raising=False)
    with pytest.raises(EngineError, match=r"pip install 'bge-engine\[jobs\]'"):
        search.open(tmp_path)
