"""A whole job: what goes in, what comes out, and that the vectors are the library's."""

import io
import itertools
import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from engine.errors import EngineError, InputError
from engine.jobs import embedding as computing
from engine.jobs.options import Fields, parse_template
from engine.jobs.progress import Progress, Summary, clock
from engine.jobs.reading.inputs import Source, find
from engine.jobs.writing import shards as cutting
from engine.jobs.writing.shard_files import convert
from engine.jobs.writing.shards import Key, Shard, output_schema
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


def test_int8_of_zeros_is_zeros_and_extremes_are_reached() -> None:
    values, scales = convert(np.array([[0, 0], [-2, 1], [0.5, 0.25]], np.float32), "int8")
    assert values.tolist() == [[0, 0], [-127, 64], [127, 64]]
    assert scales.tolist() == pytest.approx([0, 2 / 127, 0.5 / 127])
    assert convert(np.empty((0, 3), np.float32), "int8")[0].shape == (0, 3)


def test_rejects_are_written_in_order_and_the_exit_status_says_so(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) if n % 7 else "{" for n, text in enumerate(texts(100))]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    words = (tmp_path / "in.jsonl", "-o", out, "--shard-rows", 10)
    assert job(*words) == 3
    rejects = [json.loads(line) for line in (out / "_rejects.jsonl").open()]
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
    assert f"would have cost ${tokens * 0.067e-6:,.4f}" in said.err
    summary = json.loads((tmp_path / "out" / "_job" / "summary.json").read_text())
    assert summary["rows"] == 21
    assert summary["tokens"] == tokens
    assert summary["cut"] == cut
    job(tmp_path / "in.txt", "-o", tmp_path / "quiet", "--quiet")
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "every"), [(Terminal(), 0.25), (io.StringIO(), 30)])
def test_progress_is_drawn_on_a_terminal_and_logged_elsewhere(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, every: float
) -> None:
    now = itertools.count(0, every / 2)
    monkeypatch.setattr("engine.jobs.progress.time.monotonic", lambda: next(now))
    progress = Progress(1000, 500, stream=stream)
    progress.advance(10, 100, 100)  # half an interval has passed: nothing yet
    assert stream.getvalue() == ""
    progress.advance(10, 100, 150)
    drawn = stream.getvalue()
    assert f"20 rows, {200 / every:,.0f} tokens/s, 75.0%, {clock(every)} left" in drawn
    assert drawn.startswith("\r") == stream.isatty()
    assert drawn.endswith("\n") != stream.isatty()


def test_progress_over_input_of_unknown_size_promises_nothing() -> None:
    progress = Progress(0, 0, stream=io.StringIO())
    progress.advance(10, 100, 0)
    assert progress.line(2.0) == "10 rows, 50 tokens/s"


def test_summary_in_words() -> None:
    summary = Summary("out", 1, 2_000_000, 0, 3, 1, here=1, seconds=3725)
    assert str(summary).splitlines() == [
        "out: 1 row, 2,000,000 tokens, 1 shard",
        "truncated to the model's limit: 0 texts; rejected: 3 rows",
        "time of this run: 1:02:05",
        "at $0.067 per million tokens an API would have cost $0.1340",
    ]


@given(st.lists(st.integers(1, 600), max_size=300))
def test_chunks_hold_each_row_once_longest_first_within_the_budget(lengths: list[int]) -> None:
    groups = [list(group) for group in computing.chunks(np.array(lengths, np.int64), 2000)]
    rows = [int(row) for group in groups for row in group]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(groups)
    for group in groups:
        assert sum(lengths[row] for row in group) <= 2000 + 600


def cut(path: Path, shard_rows: int, wanted: Fields) -> list[Shard]:
    schema = output_schema(pa.schema([(name, pa.string()) for name in wanted.carried]), wanted)
    return list(cutting.shards(3, find([str(path)], None, "out"), wanted, schema, shard_rows))


LINES = st.lists(st.sampled_from(['{"text": "some words"}', '{"text": 1}', "{", '{"text": "é"}']))


@given(lines=LINES, shard_rows=st.integers(1, 12))
@settings(deadline=None)
def test_shards_are_the_rows_in_order_each_once_the_last_one_marked(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], shard_rows: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "in.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    made = cut(path, shard_rows, Fields(parse_template("text"), None, ()))
    rows = [row for shard in made for row in shard.columns.column("row").to_pylist()]
    rejected = [reject.row for shard in made for reject in shard.rejects]
    assert rows == [row for row, line in enumerate(lines) if "s" in line or "é" in line]
    assert sorted(rows + rejected) == list(range(len(lines)))
    assert [shard.key for shard in made] == [Key(3, part) for part in range(len(made))]
    assert [shard.last for shard in made] == [False] * (len(made) - 1) + [True]
    full = [len(shard.texts) + len(shard.rejects) for shard in made[:-1]]
    assert full == [shard_rows] * len(full)
    assert sum(shard.size for shard in made) == path.stat().st_size


def test_long_texts_make_shards_of_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "SHARD_BYTES", 1000)
    (tmp_path / "in.txt").write_text("\n".join(["x" * 400] * 10))
    made = cut(tmp_path / "in.txt", 100, Fields(parse_template("text"), None, ()))
    assert [len(shard.texts) for shard in made] == [3, 3, 3, 1]


def test_a_shard_travels_as_bytes_and_arrives_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "é", "n": 1}\n{\n{"text": "", "n": "b"}\n')
    (shard,) = cut(tmp_path / "in.jsonl", 10, Fields(parse_template("text"), None, ("n",)))
    assert Shard.from_bytes(shard.to_bytes()) == shard


def test_a_digest_tells_texts_ids_and_rejects_apart(tmp_path: Path) -> None:
    def digest(*rows: dict[str, object]) -> str:
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (shard,) = cut(tmp_path / "in.jsonl", 10, Fields(parse_template("text"), "id", ()))
        return shard.digest

    base = digest({"id": 1, "text": "ab"}, {"id": 2, "text": "c"})
    assert base == digest({"id": 1, "text": "ab"}, {"id": 2, "text": "c"})
    assert base != digest({"id": 1, "text": "a"}, {"id": 2, "text": "bc"})
    assert base != digest({"id": 1, "text": "ab"}, {"id": 3, "text": "c"})
    assert base != digest({"id": 1, "text": "ab"}, {"id": 2, "text": "c"}, {"id": 3})


def test_a_row_group_as_big_as_the_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 40_000}), path, use_dictionary=False,
                   compression="none")  # fmt: skip
    source = Source(str(path), "parquet", path.stat().st_size)
    wanted = Fields(parse_template("text"), None, ())
    before = pa.total_allocated_bytes()
    blocks = cutting._all_blocks([source], wanted)
    peak = max(pa.total_allocated_bytes() - before for _ in blocks)
    assert peak < 10e6 < path.stat().st_size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.txt"], "required: -o"),
        (["in.txt", "-o", "x", "--keep", "embedding"], "conflicts with the output's own"),
        (["in.txt", "-o", "x", "--id", "a", "--keep", "a"], "given twice"),
        (["in.txt", "-o", "x", "--text", "{a!r}"], "write a column's name in braces"),
        (["in.txt", "-o", "x", "--shard-rows", "0"], "1 or more"),
        (["in.txt", "-o", "x", "--prompt", "a", "--query"], "not allowed with"),
    ],
)
def test_wrong_usage_is_told_with_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        job(*words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_dimension_beyond_the_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x\n")
    with pytest.raises(InputError, match="--truncate-dim 41: the vectors of tiny have 40"):
        job(tmp_path / "in.txt", "-o", tmp_path / "out", "--truncate-dim", 41)
