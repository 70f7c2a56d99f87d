"""An update makes the bytes of a fresh run, and computes only the texts that are new."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine
from engine import jobs
from engine.errors import EngineError, InputError
from tests.jobs.support import job, results, table, texts
from tests.serve.fake_embedder import FakeEmbedder

SHARD = ("--shard-rows", 40, "--id", "id", "--quiet")
Row = tuple[Any, str]


def write(path: Path, rows: list[Row], **columns: Any) -> Path:
    ids, written = zip(*rows, strict=True)
    pq.write_table(pa.table({"id": ids, "text": written, **columns}), path)
    return path


@pytest.fixture
def rows() -> list[Row]:
    return list(enumerate(texts(200)))


def changed(rows: list[Row]) -> list[Row]:
    """Five rows inserted, three changed, seven removed, and two that trade places."""
    some = [*rows[:10], *((1000 + n, f"inserted {n}") for n in range(5)), *rows[10:]]
    some[50], some[60] = some[60], some[50]
    for place in (0, 99, 150):
        some[place] = (some[place][0], f"changed {place}")
    return [*some[:120], *some[127:]]


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    fake = FakeEmbedder()
    monkeypatch.setattr(engine, "load", lambda *_, **__: fake, raising=False)
    return fake


@pytest.mark.slow
@pytest.mark.parametrize("format", ["parquet", "npy"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_bytes_are_those_of_a_fresh_run(
    tmp_path: Path, rows: list[Row], format: str, dtype: str
) -> None:
    words = (*SHARD, "--format", format, "--dtype", dtype)
    path, out = tmp_path / "in.parquet", tmp_path / "out"
    assert job(write(path, rows), "-o", out, *words) == 0
    for now in (changed(rows), list(reversed(rows)), rows[:30], rows):
        write(path, now)
        assert job(path, "-o", out, *words, "--update") == 0
        assert job(path, "-o", tmp_path / "fresh", *words) == 0
        assert results(out) == results(tmp_path / "fresh")
        assert jobs.main(["--verify", str(out)]) == 0
        counts, fresh = (tmp_path / name / "summary.json" for name in ("out.job", "fresh.job"))
        assert counts.read_bytes() == fresh.read_bytes()
        for folder in (tmp_path / "fresh", tmp_path / "fresh.job"):
            for left in folder.iterdir():
                left.unlink()
    names = {path.name.split("-")[0] for path in (tmp_path / "out.job").iterdir()}
    assert names == {"lock", "manifest.json", "journal.jsonl", "summary.json", "rows"}


def test_only_new_texts_are_computed(
    tmp_path: Path, rows: list[Row], embedder: FakeEmbedder, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "in.parquet", tmp_path / "out"
    words = [str(path), "-o", str(out), "--shard-rows", "40", "--id", "id"]
    assert jobs.main([str(write(path, rows)), *words[1:]]) == 0
    embedder.tokenised.clear()
    write(path, changed(rows))
    assert jobs.main([*words, "--update"]) == 0
    computed = [text for piece in embedder.tokenised for text in piece]
    assert sorted(computed) == sorted(
        [f"inserted {n}" for n in range(5)] + [f"changed {n}" for n in (0, 99, 150)]
    )
    assert "5 new, 3 changed, 190 unchanged, 7 removed\n" in capsys.readouterr().err
    embedder.tokenised.clear()
    assert jobs.main([*words, "--update"]) == 0  # nothing has changed
    assert embedder.tokenised == []


def test_equal_texts_of_a_shard_are_computed_once(tmp_path: Path, embedder: FakeEmbedder) -> None:
    path = write(tmp_path / "in.parquet", [(n, f"text {n % 3}") for n in range(30)])
    assert jobs.main([str(path), "-o", str(tmp_path / "out"), *map(str, SHARD)]) == 0
    assert embedder.tokenised == [["text 0", "text 1", "text 2"]]
    stored = np.array(table(tmp_path / "out").column("embedding").to_pylist(), np.float32)
    assert np.array_equal(stored, embedder.encode([f"text {n % 3}" for n in range(30)]))
    summary = json.loads((tmp_path / "out.job" / "summary.json").read_text())
    assert summary["tokens"] == 30 * 4  # of all rows, as if each were computed


def test_unchanged_shards_are_not_written_again(tmp_path: Path, rows: list[Row]) -> None:
    path, out = tmp_path / "in.parquet", tmp_path / "out"
    job(write(path, rows), "-o", out, *SHARD)
    before = {part.name: part.stat().st_ino for part in out.iterdir()}
    write(path, [*rows[:190], (190, "changed"), *rows[191:], (999, "appended")])
    job(path, "-o", out, *SHARD, "--update")
    after = {part.name: part.stat().st_ino for part in out.iterdir()}
    assert [after[name] == before[name] for name in sorted(before)] == [True] * 4 + [False]
    assert all(part.stat().st_nlink == 1 for part in out.iterdir())


def test_another_kept_column_is_written_with_the_same_vectors(
    tmp_path: Path, rows: list[Row], embedder: FakeEmbedder
) -> None:
    path, out = tmp_path / "in.parquet", tmp_path / "out"
    words = [str(path), "-o", str(out), *map(str, SHARD)]
    write(path, rows, price=[1] * 200)
    assert jobs.main([*words, "--keep", "price"]) == 0
    embedder.tokenised.clear()
    write(path, rows, price=[1] * 199 + [2])
    assert jobs.main([*words, "--keep", "price", "--update"]) == 0
    assert table(out).column("price").to_pylist() == [1] * 199 + [2]
    assert jobs.main([*words, "--format", "npy", "--shard-rows", "70", "--update"]) == 0
    assert embedder.tokenised == []
    assert jobs.main([*words, "--format", "npy", "--shard-rows", "70"]) == 0


def test_vectors_of_other_settings_are_not_taken(
    tmp_path: Path, rows: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "in.parquet", rows), tmp_path / "out"
    job(path, "-o", out, *SHARD)
    words = ("--pooling", "cls", "--shard-rows", 40, "--id", "id")
    job(path, "-o", out, *words, "--update")
    said = capsys.readouterr().err
    assert "no earlier vector was used; what differs: pooling: was 'mean', is 'cls'" in said
    job(path, "-o", tmp_path / "fresh", *words)
    assert results(out) == results(tmp_path / "fresh")


def test_a_damaged_shard_is_not_taken(
    tmp_path: Path, rows: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "in.parquet", rows), tmp_path / "out"
    job(path, "-o", out, *SHARD)
    part = out / "part-000000-000001.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    write(path, rows[:-1])
    job(path, "-o", out, *SHARD[:-1], "--update")
    assert "damaged shards of the earlier table, not used: 1" in capsys.readouterr().err
    job(path, "-o", tmp_path / "fresh", *SHARD)
    assert results(out) == results(tmp_path / "fresh")


def test_an_unfinished_table_gives_what_it_has(tmp_path: Path, embedder: FakeEmbedder) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    lines = [json.dumps({"text": f"text {n}"}) for n in range(100)]
    path.write_text("\n".join([*lines[:90], "{", *lines[90:]]))
    words = [str(path), "-o", str(out), "--shard-rows", "40", "--quiet"]
    with pytest.raises(EngineError, match="more than --max-rejects 0"):
        jobs.main([*words, "--max-rejects", "0"])
    path.write_text("\n".join(lines))
    embedder.tokenised.clear()
    assert jobs.main([*words, "--update", "--max-rejects", "0"]) == 0
    assert sum(map(len, embedder.tokenised)) < 61
    assert table(out).num_rows == 100


def test_removed_rows_are_kept_at_the_end(tmp_path: Path, rows: list[Row]) -> None:
    path, out = write(tmp_path / "in.parquet", rows), tmp_path / "out"
    words = (path, "-o", out, *SHARD, "--update", "--keep-removed")
    job(*words)
    before = {row["id"]: row["embedding"] for row in table(out).to_pylist()}
    for left in (rows[100:], rows[150:], rows[120:], rows[120:]):
        write(path, left)
        job(*words)
        made = table(out).to_pylist()
        assert [row["id"] for row in made[: len(left)]] == [id for id, _ in left]
        assert sorted(row["id"] for row in made) == list(range(200))
        assert all(row["embedding"] == before[row["id"]] for row in made)
        assert jobs.main(["--verify", str(out)]) == 0
    with pytest.raises(InputError, match="keep_removed: was True, is False"):
        job(path, "-o", out, *SHARD)
    last = sorted(out.iterdir())[-1]
    last.write_bytes(b"damaged")
    with pytest.raises(EngineError, match="damaged or missing, and its rows are no longer in the"):
        job(*words)
    write(path, rows[130:])
    with pytest.raises(EngineError, match=r"1 shards of .* are damaged, so it is unknown which"):
        job(*words)
    job(path, "-o", out, *SHARD, "--update")
    job(path, "-o", tmp_path / "fresh", *SHARD)
    assert results(out) == results(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ((), ("--pooling", "cls"), "pooling: was 'mean', is 'cls'"),
        ((), ("--keep", "text"), "columns: was"),
        (("--format", "npy"), ("--format", "npy"), "needs --format parquet"),
    ],
)
def test_rows_that_cannot_be_kept(
    tmp_path: Path, rows: list[Row], first: tuple[str, ...], then: tuple[str, ...], told: str
) -> None:
    path, out = write(tmp_path / "in.parquet", rows), tmp_path / "out"
    job(path, "-o", out, *SHARD, *first)
    whole = results(out)
    with pytest.raises(InputError, match=told):
        job(path, "-o", out, *SHARD, *then, "--update", "--keep-removed")
    assert results(out) == whole


def test_keep_removed_needs_update(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        jobs.main(["in.txt", "-o", "out", "--keep-removed"])
    assert "--keep-removed needs --update" in capsys.readouterr().err


def test_rows_that_the_model_rejects_are_named_where_they_are_now(
    tmp_path: Path, embedder: FakeEmbedder
) -> None:
    bad = "w" * 777  # the fake model has no finite vector of it
    words = ["-o", str(tmp_path / "out"), "--shard-rows", "2", "--id", "id", "--quiet", "--update"]
    for first in ("a", "b"):
        path = write(tmp_path / f"{first}.parquet", [(1, "one"), (2, bad), (3, "three")])
        assert jobs.main([str(path), *words]) == 3
        rejects = (tmp_path / "out.job" / "rejects.jsonl").read_text()
        assert json.loads(rejects) == {**json.loads(rejects), "file": str(path), "row": 1}


def test_rejects_are_those_of_the_new_table(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    lines = [json.dumps({"text": text}) for text in texts(100)]
    words = (path, "-o", out, "--shard-rows", 30, "--quiet", "--update")
    path.write_text("\n".join([*lines[:50], "{", *lines[50:]]))
    assert job(*words) == 3
    path.write_text("\n".join(["{", *lines, "{"]))
    assert job(*words) == 3
    rejects = (tmp_path / "out.job" / "rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in rejects] == [0, 101]
    path.write_text("\n".join(lines))
    assert job(*words) == 0
    assert not list((tmp_path / "out.job").glob("rejects*"))
