"""Which options decide a job's bytes; damage is not taken for a difference."""

import json
from pathlib import Path

import pytest

from engine.errors import EngineError, InputError
from engine.jobs.arguments import parse
from engine.jobs.reading.inputs import find
from engine.jobs.writing.manifest import VERSION, describe, differences, how, read, schema_of
from tests.jobs.support import job, texts
from tests.serve.fake_embedder import FakeEmbedder


def described(folder: Path, *words: str) -> dict[str, object]:
    options = parse([str(folder / "in.txt"), "-o", str(folder / "out"), *words])
    sources = find(options.inputs, None, options.output)
    embedder = FakeEmbedder()
    schema = schema_of(sources, options.fields)
    return describe(options, how(options, embedder), embedder, sources, schema)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pooling", "mean"], "pooling: was 'cls', is 'mean'"),
        (["--prompt", "p: "], "prompt: was None, is 'p: '"),
        (["--query"], "prompt: was None, is 'question: '"),
        (["--no-normalize"], "normalize: was None, is False"),
        (["--truncate-dim", "3"], "dim: was 16, is 3"),
        (["--dtype", "int8"], "dtype: was 'float32', is 'int8'"),
        (["--format", "npy"], "format: was 'parquet', is 'npy'"),
        (["--shard-rows", "5"], "shard_rows: was 4096, is 5"),
        (["--text", "a {text}"], "text: was"),
        (["--null", "empty"], "null: was 'reject', is 'empty'"),
        (["--delimiter", ";"], "delimiter: was None, is ';'"),
        (["--encoding", "cp1252"], "encoding: was None, is 'cp1252'"),
    ],
)
def test_each_option_that_decides_bytes_is_told(corpus: Path, words: list[str], told: str) -> None:
    old = json.loads(json.dumps(described(corpus)))
    (line,) = differences(old, described(corpus, *words))
    assert line.startswith(told)


def test_what_decides_no_byte_makes_no_difference(corpus: Path) -> None:
    old = json.loads(json.dumps(described(corpus)))
    assert differences(old, described(corpus, "--threads", "3", "--max-rejects", "2")) == []


def test_inputs_are_compared_by_name_content_and_order(corpus: Path) -> None:
    old = json.loads(json.dumps(described(corpus)))
    (corpus / "in.txt").write_text("one\nTWO\n")
    (line,) = differences(old, described(corpus))
    assert line.startswith(f"input '{corpus}/in.txt' has changed: sha256 was ")
    other = {"inputs": [{"name": "b"}, {"name": "a"}], "text": {}}
    assert differences({"inputs": [{"name": "a"}, {"name": "b"}], "text": {}}, other) == [
        "the inputs are the same, but in another order"
    ]
    assert differences({"inputs": [{"name": "a"}], "text": {}}, other) == ["input 'b' is new"]
    many = {"inputs": [{"name": str(n)} for n in range(9)], "text": {}}
    assert differences(many, {"inputs": [], "text": {}})[-1] == "... and 4 more inputs"


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--truncate-dim", "17"], "give 1 to 16"), (["--query"], "has no prompt for queries")],
)
def test_what_the_model_has_not_is_refused(corpus: Path, words: list[str], told: str) -> None:
    embedder = FakeEmbedder()
    embedder.prompts = {}
    with pytest.raises(InputError, match=told):
        how(parse(["in.txt", "-o", "out", *words]), embedder)


MANIFEST = {"version": VERSION, "inputs": [{"name": "a"}], "text": {}}


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "\0" * 20, "[]", "null", "[" * 100_000, "{}",
        json.dumps({**MANIFEST, "inputs": None}), json.dumps({**MANIFEST, "inputs": [3]}),
        json.dumps({**MANIFEST, "inputs": [{"name": None}]}), json.dumps(MANIFEST)[:-1],
        json.dumps({"version": VERSION, "inputs": []}),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_named_with_a_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(EngineError) as raised:
        read(tmp_path / "manifest.json")
    assert str(raised.value).startswith(f"{tmp_path}/manifest.json is damaged (")
    assert "name another output" in str(raised.value)


def test_a_manifest_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"version": 99, "inputs": 5}')
    with pytest.raises(EngineError, match="is of version 99; this release reads 3"):
        read(tmp_path / "manifest.json")
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert read(tmp_path / "manifest.json") == MANIFEST


def test_a_job_on_a_damaged_manifest_or_journal_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(texts(20)))
    words = (tmp_path / "in.txt", "-o", tmp_path / "out", "--shard-rows", 5)
    assert job(*words) == 0
    journal = tmp_path / "out.job" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for junk in (b"\0" * 30 + b"\n", lines[1].replace(b'"key"', b'"kee"')):
        journal.write_bytes(b"".join([lines[0], junk, *lines[2:]]))
        with pytest.raises(EngineError, match=r"journal.jsonl is damaged at line 2 .* Delete that"):
            job(*words)
    journal.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert job(*words) == 0 and sorted(journal.read_bytes().splitlines(True)) == sorted(lines)
    (tmp_path / "out.job" / "manifest.json").write_text('{"version": 3}')
    with pytest.raises(EngineError, match=r"manifest\.json is damaged"):
        job(*words)
