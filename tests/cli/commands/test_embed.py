"""`bge embed`: its inputs and formats, and its options on their way to the library."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine
from engine.cli import outputs
from engine.cli.commands import embed
from tests.cli.command import HERE, TEXTS, TINY, Run
from tests.conftest import Load


@pytest.fixture
def embedder(load: Load) -> engine.Embedder:
    return load("tiny", "reference")


# --- texts in


def test_arguments_file_and_standard_input_agree(
    bge: Run, embedder: engine.Embedder, tmp_path: Path
) -> None:
    lines = "\n".join(TEXTS).encode() + b"\n"
    (tmp_path / "texts.txt").write_bytes(lines)
    expected = embedder.encode(TEXTS)
    for run in (
        bge("embed", *HERE, "--", *TEXTS),
        bge("embed", *HERE, "-", stdin=lines),
        bge("embed", *HERE, "--file", "-", stdin=lines),
        bge("embed", *HERE, "--file", str(tmp_path / "texts.txt")),
    ):
        assert run.status == 0 and run.err == ""
        assert [json.loads(line)["text"] for line in run.out.splitlines()] == TEXTS
        assert np.array_equal(run.vectors(), expected)


def test_texts_may_stand_on_both_sides_of_an_option(bge: Run) -> None:
    run = bge("embed", "one", *HERE, "two", "--offline", "three four")
    texts = [json.loads(line)["text"] for line in run.out.splitlines()]
    assert texts == ["one", "two", "three four"]
    run = bge("embed", "one", *HERE, "two", "--what", "-x")
    assert run.status == 2 and "unrecognized arguments: --what -x\n" in run.err


def test_lines_of_a_windows_editor(bge: Run) -> None:
    run = bge("embed", *HERE, "-", stdin=b"\xef\xbb\xbfone\r\ntwo\rhalf\r\n\r\nlast")
    assert [json.loads(line)["text"] for line in run.out.splitlines()] == [
        "one", "two\rhalf", "", "last",
    ]  # fmt: skip


def test_json_lines(bge: Run, tmp_path: Path) -> None:
    rows = [{"id": i, "text": text, "body": text.upper()} for i, text in enumerate(TEXTS)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n\n".join(map(json.dumps, rows)), "utf-8")
    by_suffix = bge("embed", *HERE, "--file", str(file))
    assert [json.loads(line)["text"] for line in by_suffix.out.splitlines()] == TEXTS
    by_field = bge("embed", *HERE, "-", "--field", "body", stdin=file.read_bytes())
    assert [json.loads(line)["text"] for line in by_field.out.splitlines()] == [
        text.upper() for text in TEXTS
    ]


def test_a_text_with_no_utf8_form_is_written_as_valid_json(bge: Run) -> None:
    run = bge("embed", *HERE, "half \udcff")
    assert run.out.startswith('{"text": "half \\udcff"') and json.loads(run.out)


# --- vectors out


def test_floats_come_back_to_the_bit() -> None:
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, 20_000, np.uint32).view(np.float32)
    awkward = np.array([0.0, -0.0, 1.0, 1e-45, 3.4028235e38, 0.1, 16777217], np.float32)
    values = np.concatenate([bits[np.isfinite(bits)], awkward])[None]
    (line,) = outputs.jsonl([(["x"], values)])
    back = np.array(json.loads(line)["embedding"], np.float32)
    assert np.array_equal(back.view(np.uint32), values[0].view(np.uint32))


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "npy", "parquet"])
@pytest.mark.parametrize("told_by", ["option", "suffix"])
def test_every_format_holds_the_same_vectors(
    bge: Run, embedder: engine.Embedder, tmp_path: Path, form: str, told_by: str
) -> None:
    file = tmp_path / (f"out.{form}" if told_by == "suffix" else "out")
    option = ["--format", form] if told_by == "option" else []
    run = bge("embed", *HERE, *option, "-o", str(file), "--", *TEXTS)
    assert (run.status, run.out, run.err) == (0, "", "")
    texts, vectors = read_back(file, form)
    assert texts in (TEXTS, None)
    assert vectors.dtype == np.float32 and np.array_equal(vectors, embedder.encode(TEXTS))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_without_a_suffix_it_is_json_lines_and_format_goes_before_the_suffix(
    bge: Run, tmp_path: Path
) -> None:
    lines = bge("embed", *HERE, "a", "b").out
    assert bge("embed", *HERE, "a", "b", "-o", str(tmp_path / "out")).status == 0
    assert (tmp_path / "out").read_text() == lines
    assert bge("embed", *HERE, "a", "b", "-o", "/dev/stdout").out == lines
    for name in ("out.CSV", "out.csv"):
        assert bge("embed", *HERE, "a", "-o", str(tmp_path / name)).status == 0
        assert (tmp_path / name).read_text().startswith("text,e0,")
    for name in ("other.csv", "other.parquet", "other.v1"):
        run = bge("embed", *HERE, "a", "b", "-o", str(tmp_path / name), "--format", "jsonl")
        assert run.status == 0 and (tmp_path / name).read_text() == lines


def read_back(file: Path, form: str) -> tuple[list[str] | None, np.ndarray]:
    if form == "npy":
        return None, np.load(file)
    if form == "parquet":
        table = pq.read_table(file)
        vectors = table.column("embedding").combine_chunks()
        assert pa.types.is_fixed_size_list(vectors.type) and table.column_names[0] == "text"
        return table.column("text").to_pylist(), np.asarray(vectors.flatten()).reshape(
            len(vectors), -1
        )
    if form == "csv":
        header, *rows = csv.reader(file.open(newline="", encoding="utf-8"))
        assert header == ["text", *(f"e{i}" for i in range(len(header) - 1))]
        return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32)
    content = file.read_text("utf-8")
    rows = json.loads(content) if form == "json" else map(json.loads, content.splitlines())
    rows = list(rows)
    return [r["text"] for r in rows], np.array([r["embedding"] for r in rows], np.float32)


@pytest.mark.parametrize(
    ("form", "content"),
    [("jsonl", ""), ("json", "[]\n"), ("csv", "text,e0,e1,e2\r\n"), ("preview", "(0, 3) float32")],
)
def test_no_texts(bge: Run, form: str, content: str) -> None:
    run = bge("embed", *HERE, "--truncate-dim", "3", "-", "--format", form)
    assert run.status == 0 and run.out.startswith(content) and (content or not run.out)


def test_no_texts_as_parquet(bge: Run, tmp_path: Path) -> None:
    assert bge("embed", *HERE, "-", "-o", str(tmp_path / "none.parquet")).status == 0
    table = pq.read_table(tmp_path / "none.parquet")
    assert len(table) == 0 and table.schema.field("embedding").type == pa.list_(pa.float32(), 40)


def test_parquet_without_pyarrow_says_so_before_the_model_is_loaded(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # type: ignore[arg-type]
    run = bge("embed", "--model", "./none", "a", "-o", str(tmp_path / "out.parquet"))
    assert run.status == 1 and "pip install 'bge-engine[jobs]'" in run.err


def test_no_texts_as_npy(bge: Run, tmp_path: Path) -> None:
    assert bge("embed", *HERE, "-", "-o", str(tmp_path / "none.npy")).status == 0
    assert np.load(tmp_path / "none.npy").shape == (0, 40)


def test_many_chunks_as_npy(bge: Run, embedder: engine.Embedder, tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(700)]
    lines = "\n".join(texts).encode()
    assert bge("embed", *HERE, "-", "-o", str(tmp_path / "out.npy"), stdin=lines).status == 0
    chunks = list(embedder.stream(texts, chunk=embed.CHUNK))
    assert len(chunks) > 2
    assert np.array_equal(np.load(tmp_path / "out.npy"), np.concatenate(chunks))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--pooling", "cls"], {"pooling": "cls"}),
        (["--pooling", "mean", "--no-normalize"], {"pooling": "mean", "normalize": False}),
        (["--truncate-dim", "7"], {"truncate_dim": 7}),
        (["--prompt", "say: "], {"prompt": "say: "}),
        (["--query"], {"prompt": "query: "}),
        (["--document"], {"prompt": "passage: "}),
        (["--threads", "1", "--offline"], {}),
    ],
)
def test_options_reach_the_library(
    bge: Run, embedder: engine.Embedder, words: list[str], options: dict[str, Any]
) -> None:
    run = bge("embed", *HERE, *words, "a cat", "a kitten")
    assert np.array_equal(run.vectors(), embedder.encode(["a cat", "a kitten"], **options))


def test_the_model_by_environment(bge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_MODEL", TINY)
    assert bge("embed", "--precision", "reference", "a").vectors().shape == (1, 40)


def test_texts_over_the_limit(bge: Run) -> None:
    long = "word " * 500
    run = bge("embed", *HERE, long, "short")
    assert run.status == 0 and run.err.count("\n") == 1
    assert run.err.startswith("bge: warning: 1 of 2 texts were longer than 59 tokens")
    assert bge("embed", *HERE, "--on-truncate", "ignore", long).err == ""
    run = bge("embed", *HERE, "--on-truncate", "error", long)
    assert run.status == 1 and "this model takes 59" in run.err


# --- progress


def test_a_log_gets_the_number_of_texts_of_a_file(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.system.progress.LOG_SECONDS", 0)
    (tmp_path / "rows.jsonl").write_text('{"text": "a\\nb"}\n\n' * 300)
    words = ["embed", *HERE, "--file", str(tmp_path / "rows.jsonl")]
    first, last = bge(*words, "-o", str(tmp_path / "out.npy")).err.splitlines()
    assert first.startswith("bge embed: 256 of 300 texts, ") and first.endswith(" left")
    assert last.startswith("bge embed: 300 of 300 texts, ")
    assert bge(*words).err == ""  # a pipe: no file is written
    (tmp_path / "bad.txt").write_bytes(b"good\n" * 300 + b"\xff\n")
    words = ["embed", "--model", "./none", "--file", str(tmp_path / "bad.txt")]
    run = bge(*words, "-o", str(tmp_path / "never.npy"))  # before a model is loaded
    assert run.status == 1 and "bad.txt, line 301: not UTF-8" in run.err


# --- whole or not at all


def test_a_failure_leaves_the_old_file(bge: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("old")
    run = bge("embed", *HERE, "-", "-o", str(file), stdin=b"good\n" * 300 + b"\xff\n")
    assert run.status == 1 and "standard input, line 301: not UTF-8" in run.err
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_output_follows_links_and_keeps_devices(bge: Run, tmp_path: Path) -> None:
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    assert bge("embed", *HERE, "a", "-o", str(link)).status == 0
    assert link.is_symlink() and real.read_text().startswith('{"text": "a"')
    assert bge("embed", *HERE, "a", "-o", os.devnull).status == 0
    assert Path(os.devnull).is_char_device()
    assert bge("embed", *HERE, "a", "-o", "-").out == real.read_text()


def test_the_output_is_as_readable_as_any_new_file(bge: Run, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    bge("embed", *HERE, "a", "-o", str(tmp_path / "out.jsonl"))
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes["out.jsonl"] == modes["plain"]
