"""A whole job: what goes in, what comes out, and that the vectors are the library's."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine
from engine.errors import EngineError, InputError
from engine.jobs.options import Fields, parse_template
from engine.jobs.reading.inputs import Source
from engine.jobs.writing import shards as cutting
from tests.jobs.support import (
    ROOT,
    TINY,
    command,
    job,
    results,
    table,
    texts,
    vectors,
    write_parquet,
)


@pytest.fixture(scope="module")
def embedder() -> engine.Embedder:
    return engine.load(TINY)


def test_vectors_are_the_librarys_in_the_order_of_the_input(
    tmp_path: Path, embedder: engine.Embedder
) -> None:
    rows = texts(700)
    source = write_parquet(tmp_path / "in.parquet", rows)
    assert job(source, "-o", tmp_path / "out", "--id", "id", "--shard-rows", 150) == 0
    assert table(tmp_path / "out").column("id").to_pylist() == list(range(700))
    expected = embedder.encode_document(rows, on_truncate="ignore")
    np.testing.assert_array_equal(vectors(tmp_path / "out"), expected)
    assert len(results(tmp_path / "out")) == 5


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--pooling", "cls"], {"pooling": "cls"}),
        (["--prompt", "Q: "], {"prompt": "Q: "}),
        (["--query"], {"prompt": "query: "}),
        (["--normalize"], {"normalize": True}),
        (["--no-normalize"], {"normalize": False}),
        (["--normalize", "--truncate-dim", 7], {"normalize": True, "truncate_dim": 7}),
        (["--truncate-dim", 7], {"truncate_dim": 7}),
    ],
    ids=lambda words: str(words[0]) if isinstance(words, list) else "",
)
def test_options_mean_what_they_mean_in_the_library(
    tmp_path: Path, embedder: engine.Embedder, words: list[object], options: dict[str, object]
) -> None:
    rows = texts(40)
    (tmp_path / "in.txt").write_text("\n".join(rows))
    assert job(tmp_path / "in.txt", "-o", tmp_path / "out", *words) == 0
    options.setdefault("prompt", embedder.prompts["document"])
    expected = embedder.encode(rows, on_truncate="ignore", **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(vectors(tmp_path / "out"), expected)


def test_without_an_id_rows_are_named_by_file_and_number(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text("one\ntwo\n")
    job(tmp_path, "-o", tmp_path.parent / "out")
    rows = table(tmp_path.parent / "out").select(["file", "row"]).to_pylist()
    assert rows == [
        {"file": str(tmp_path / name), "row": row} for name in ("a.txt", "b.txt") for row in (0, 1)
    ]


def test_a_template_an_id_and_kept_columns(tmp_path: Path, embedder: engine.Embedder) -> None:
    rows = texts(30)
    keep = {"title": [f"t{n}" for n in range(30)], "price": [n / 4 for n in range(30)]}
    source = write_parquet(tmp_path / "in.parquet", rows, **keep)
    job(source, "-o", tmp_path / "out", "--text", "{title}\\n{text}", "--id", "id",
        "--keep", "price,title")  # fmt: skip
    made = table(tmp_path / "out")
    assert made.schema.names == ["id", "price", "title", "embedding"]
    assert made.schema.field("price").type == pa.float64()
    assert made.column("price").to_pylist() == keep["price"]
    joined = [f"{title}\n{row}" for title, row in zip(keep["title"], rows, strict=True)]
    expected = embedder.encode_document(joined, on_truncate="ignore")
    np.testing.assert_array_equal(vectors(tmp_path / "out"), expected)


@pytest.mark.parametrize(
    ("dtype", "kind", "error"),
    [("float32", pa.float32(), 0), ("float16", pa.float16(), 2**-11), ("int8", pa.int8(), None)],
)
def test_parquet_of_each_type(
    tmp_path: Path, dtype: str, kind: pa.DataType, error: float | None
) -> None:
    (tmp_path / "in.txt").write_text("\n".join(texts(60)))
    job(tmp_path / "in.txt", "-o", tmp_path / "full")
    job(tmp_path / "in.txt", "-o", tmp_path / "out", "--dtype", dtype)
    exact, made = vectors(tmp_path / "full"), table(tmp_path / "out")
    assert made.schema.field("embedding").type == pa.list_(pa.field("element", kind), 40)
    values = vectors(tmp_path / "out").astype(np.float32)
    if error is None:
        scale = np.asarray(made.column("scale").to_pylist(), np.float32)[:, None]
        values, error = values * scale, float(scale.max()) / 2 + 1e-7
    assert np.abs(values - exact).max() <= error


def test_npy_with_ids_beside_it(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", texts(50))
    out = tmp_path / "out"
    job(source, "-o", out, "--format", "npy", "--dtype", "int8", "--id", "id", "--shard-rows", 20)
    job(source, "-o", tmp_path / "full", "--shard-rows", 20)
    names = [path.name for path in sorted(out.glob("part-000000-000001*"))]
    assert [name.partition(".")[2] for name in names] == ["ids.jsonl", "npy", "scale.npy"]
    loaded = np.concatenate([np.load(path) for path in sorted(out.glob("*[0-9].npy"))])
    scales = np.concatenate([np.load(path) for path in sorted(out.glob("*.scale.npy"))])
    ids = [json.loads(line)["id"] for path in sorted(out.glob("*.ids.jsonl"))
           for line in path.open()]  # fmt: skip
    assert loaded.dtype == np.int8
    assert ids == list(range(50))
    exact = vectors(tmp_path / "full")
    assert np.abs(loaded * scales[:, None] - exact).max() <= scales.max() / 2 + 1e-7


def test_rejects_are_written_in_order_and_the_exit_status_says_so(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) if n % 7 else "{" for n, text in enumerate(texts(100))]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    words = (tmp_path / "in.jsonl", "-o", out, "--shard-rows", 10)
    assert job(*words) == 3
    rejects = [json.loads(line) for line in (tmp_path / "out.job" / "rejects.jsonl").open()]
    assert [reject["row"] for reject in rejects] == list(range(0, 100, 7))
    assert {reject["file"] for reject in rejects} == {str(tmp_path / "in.jsonl")}
    assert all("malformed JSON" in reject["reason"] for reject in rejects)
    assert table(out).column("row").to_pylist() == [n for n in range(100) if n % 7]
    assert job(*words) == 3  # asked again of a job that is done


def test_max_rejects_stops_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) if n % 7 else "{" for n, text in enumerate(texts(100))]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    words = (tmp_path / "in.jsonl", "-o", tmp_path / "out", "--shard-rows", 10)
    with pytest.raises(EngineError, match=r"more than --max-rejects 4; the first is row 0 of"):
        job(*words, "--max-rejects", 4)
    before = results(tmp_path / "out")
    assert 0 < len(before) < 10
    with pytest.raises(EngineError, match="more than --max-rejects 4"):
        job(*words, "--max-rejects", 4)
    assert results(tmp_path / "out") == before
    assert job(*words, "--max-rejects", 15) == 3


def test_a_wrong_column_is_told_from_some_bad_rows(tmp_path: Path) -> None:
    lines = [json.dumps({"body": text}) + "\n" for text in texts(200)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    with pytest.raises(InputError, match=r"none of the first 200 rows .* there is no 'text'"):
        job(tmp_path / "in.jsonl", "-o", tmp_path / "out")
    assert job(tmp_path / "in.jsonl", "-o", tmp_path / "out", "--max-rejects", 200) == 3


def test_an_empty_input_makes_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"")
    assert job(tmp_path / "in.txt", "-o", tmp_path / "out") == 0
    assert table(tmp_path / "out").num_rows == 0
    assert table(tmp_path / "out").schema.names == ["file", "row", "embedding"]


@pytest.mark.slow
def test_standard_input_is_compared_when_it_is_read_again(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def run(rows: list[str]) -> "subprocess.CompletedProcess[str]":
        words = command("-", "-o", out, "--shard-rows", 10)
        text = "\n".join(rows)
        return subprocess.run(words, input=text, cwd=ROOT, capture_output=True, text=True)

    rows = texts(35)
    assert run(rows).returncode == 0
    whole = results(out)
    assert len(whole) == 4
    for path in out.glob("part-000000-00000[23]*"):
        path.unlink()
    refused = run([*rows[:5], "changed", *rows[6:]])
    assert refused.returncode == 1
    assert "shard 000000-000000 was made from rows that have changed" in refused.stderr
    assert "complete before" in run(rows).stderr
    assert results(out) == whole


def test_the_summary_counts_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], embedder: engine.Embedder
) -> None:
    rows = [*texts(20), "word " * 200]
    (tmp_path / "in.txt").write_text("\n".join(rows))
    job(tmp_path / "in.txt", "-o", tmp_path / "out")
    said = capsys.readouterr()
    prompted = embedder.tokenize(rows, prompt=embedder.prompts["document"])
    tokens, cut = sum(map(len, prompted)), sum(one.cut > 0 for one in prompted)
    assert said.out == ""
    assert f"21 rows, {tokens:,} tokens, 1 shard\n" in said.err
    assert f"limit: {cut} texts; rejected: 0 rows" in said.err
    summary = json.loads((tmp_path / "out.job" / "summary.json").read_text())
    assert summary["rows"] == 21
    assert summary["tokens"] == tokens
    assert summary["cut"] == cut
    job(tmp_path / "in.txt", "-o", tmp_path / "quiet", "--quiet")
    assert capsys.readouterr().err == ""


def test_a_row_group_as_big_as_the_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 40_000}), path, use_dictionary=False,
                   compression="none")  # fmt: skip
    source = Source(str(path), "parquet", path.stat().st_size)
    wanted = Fields(parse_template("text"), None, ())
    before = pa.total_allocated_bytes()
    blocks = cutting._all_blocks([source], wanted, lambda *_: None)
    peak = max(pa.total_allocated_bytes() - before for _ in blocks)
    assert peak < 10e6 < path.stat().st_size


def test_a_dimension_beyond_the_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x\n")
    with pytest.raises(InputError, match="--truncate-dim 41: the vectors of tiny have 40"):
        job(tmp_path / "in.txt", "-o", tmp_path / "out", "--truncate-dim", 41)
