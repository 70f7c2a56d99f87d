"""`bge similarity`, `models`, `pull`, `verify`, `info`, `prepare`; the way to `serve` and `job`."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import loading
from engine.catalog import registry
from engine.cli import main
from tests.catalog.hub_server import Hub
from tests.cli.command import HERE, TINY, Run
from tests.conftest import Load

COMMIT = "a" * 40


@pytest.fixture
def embedder(load: Load) -> engine.Embedder:
    return load("tiny", "reference")


def test_similarity(bge: Run, embedder: engine.Embedder) -> None:
    texts = ["a cat", "a, kitten", "a bill"]
    vectors = embedder.encode(texts)
    expected = embedder.similarity(vectors, vectors)
    read = json.loads(bge("similarity", *HERE, *texts).out)
    assert read["texts"] == texts
    assert np.array_equal(np.array(read["similarity"], np.float32), expected)
    header, *rows = csv.reader(bge("similarity", *HERE, "--format", "csv", *texts).out.splitlines())
    assert header == ["", *texts] and [row[0] for row in rows] == texts
    assert np.array_equal(np.array([row[1:] for row in rows], np.float32), expected)
    table = bge("similarity", *HERE, "--format", "table", *texts).out.splitlines()
    assert table[0].split() == ["1", "2", "3"] and table[2].startswith("2 a, kitten")
    assert table[1].split()[-3:] == [f"{x:.4f}" for x in expected[0]]


def test_models(bge: Run) -> None:
    rows = {row["name"]: row for row in json.loads(bge("models", "--format", "json").out)}
    assert list(rows) == [entry.name for entry in registry.entries()]
    assert rows["bge-base-en-v1.5"]["dim"] == 768 and rows["bge-base-en-v1.5"]["MB"] == 439
    assert {name: row["pinned"] for name, row in rows.items()} == {
        entry.name: "yes" if entry.files else "no" for entry in registry.entries()
    }
    table = bge("models").out.splitlines()
    assert len(table) == 1 + len(rows) and table[0].split()[:3] == ["name", "dim", "pooling"]
    assert max(map(len, table)) <= 80


def test_models_says_which_are_here(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    rows = json.loads(bge("models", "--format", "json").out)
    assert {row["here"] for row in rows} == {None}


def test_a_damaged_model_does_not_hide_the_others(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "weights" / "gte-small").mkdir(parents=True)
    run = bge("models", "--format", "json")
    rows = {row["name"]: row["here"] for row in json.loads(run.out)}
    assert run.status == 0 and len(rows) == len(registry.entries()) and rows["gte-small"] is None
    assert "bge: warning: weights/gte-small is not loaded as gte-small" in run.err


def test_pull_passes_everything_on_and_prepares(bge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.catalog import pull as puller

    seen: list[tuple[Any, ...]] = []

    def pull(name: str, **options: Any) -> Path:
        seen.append((name, options))
        return Path(TINY)

    def load(folder: Path, **options: Any) -> engine.Embedder:
        seen.append((folder, options))
        return loading.load(folder, precision="reference")

    monkeypatch.setattr(puller, "pull", pull)
    monkeypatch.setattr(engine, "load", load, raising=False)
    words = ["--to", "dir", "--source", "hub", "--revision", "abc"]
    assert bge("pull", "gte-small", *words).out == f"{TINY}\n"
    expected = {"to": "dir", "source": "hub", "revision": "abc", "progress": None}
    assert seen == [("gte-small", expected), (Path(TINY), {"offline": True})]
    bge("pull", "gte-small", "--no-prepare")
    assert len(seen) == 3


def test_verify_holds_for_the_real_weights(bge: Run, minilm: Path) -> None:
    run = bge("verify", "all-MiniLM-L6-v2", "--precision", "reference")
    entry = registry.entry("all-MiniLM-L6-v2")
    count = len(entry.published) + len(entry.cosines)
    assert count > 2 and run.status == 0
    assert run.out.count(" ok\n") == count
    assert max(map(len, run.out.splitlines())) <= 80
    assert run.out.endswith(
        f"files: pinned: 10 files by size and SHA-256\n{count} of {count} published values hold.\n"
    )


def test_verify_sees_one_wrong_number(
    bge: Run, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.entry("all-MiniLM-L6-v2")
    first = entry.published[0]
    off = replace(first, values=(first.values[0] + 1e-3, *first.values[1:]))
    monkeypatch.setitem(entry.__dict__, "published", (off, *entry.published[1:]))
    run = bge("verify", "all-MiniLM-L6-v2", "--precision", "reference")
    assert run.status == 1 and run.out.count(" OFF\n") == 1


def test_verify_without_published_values(bge: Run) -> None:
    for model, name in (("gte-small", "gte-small"), ("acme/x", "acme/x")):
        run = bge("verify", model)
        assert run.status == 1 and f"No published vectors are known for {name}." in run.err
    run = bge("verify", TINY)
    assert run.status == 1 and f"No published vectors are known for the folder {TINY}." in run.err


def test_info_and_prepare(bge: Run) -> None:
    lines = bge("info", *HERE[1:]).out.splitlines()
    facts = dict(line.split("  ", 1) for line in lines)
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["name"] == "tiny" and facts["folder"] == TINY
    assert facts["limit"] == "59 tokens" and facts["vector"].startswith("40 numbers")
    assert facts["precision"] == "reference" and facts["query prompt"] == "'query: '"
    assert facts["files"] == "none: a folder given by its path" and facts["hub"] == "unknown"
    assert facts["weights"] == f"sha-256 {registry.weights_hash(Path(TINY))}"
    assert facts["kernels"] == "numpy"
    run = bge("prepare", *HERE[1:])
    assert run.status == 0 and "is ready in reference" in run.out


@pytest.mark.slow
def test_prepare_for_another_machine(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels and weights for it are kept, and found by a process that runs there."""
    monkeypatch.setenv("BGE_CACHE", str(tmp_path))
    run = bge("prepare", TINY, "--target", "dotprod", "--precision", "int8")
    assert run.status == 0 and "tiny is ready in int8 for dotprod" in run.out
    made = sorted(path.name.rpartition("-")[0] for path in tmp_path.glob("*.[kw]*s"))
    assert made == ["dotprod-int8", "tiny-int8-dotprod"]
    run = bge("prepare", TINY, "--target", "zen")
    assert run.status == 1 and "target is 'zen'; it must be one of amx, avx512vnni, " in run.err
    run = bge("prepare", TINY, "--target", "avx2", "--precision", "reference")
    assert run.status == 1 and "precision is 'reference'; it must be one of float32" in run.err


@pytest.mark.parametrize("command", main.EXTRA_COMMANDS)
def test_commands_with_an_extra_get_their_words(
    bge: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from engine import explore, jobs, serve

    seen: list[list[str]] = []
    room = {"serve": serve, "explore": explore, "job": jobs}[command]
    monkeypatch.setattr(room, "main", lambda words: seen.append(words) or 7, raising=False)
    assert bge(command, "in", "-o", "x", "--help").status == 7
    assert seen == [["in", "-o", "x", "--help"]]


@pytest.mark.parametrize(("command", "extra"), [("serve", "serve"), ("job", "jobs")])
def test_a_missing_extra_is_named(
    bge: Run, monkeypatch: pytest.MonkeyPatch, command: str, extra: str
) -> None:
    from engine import jobs, serve

    def main(words: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'stars'", name="stars")

    monkeypatch.setattr(serve if command == "serve" else jobs, "main", main, raising=False)
    run = bge(command)
    assert run.status == 1
    cure = f"pip install 'bge-engine[{extra}]'"
    assert run.err == f"bge: error: `bge {command}` needs stars: {cure}\n"


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository, which the registry does not know, and a user who has nothing."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = {
        str(file.relative_to(TINY)): file.read_bytes()
        for file in Path(TINY).rglob("*")
        if file.is_file()
    }
    with Hub({"acme/tiny": {COMMIT: {**files, "pytorch_model.bin": b"pickle"}}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.mark.slow
def test_a_repository_of_the_hub_is_pulled_described_and_computed(
    bge: Run, acme: Hub, tmp_path: Path, embedder: engine.Embedder
) -> None:
    folder = tmp_path / "weights" / "acme--tiny"
    run = bge("pull", "acme/tiny", "--no-prepare")
    assert run.out == f"{folder}\n"
    run = bge("info", "acme/tiny", "--precision", "reference", "--offline")
    facts = dict(line.split("  ", 1) for line in run.out.splitlines())
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["name"] == "acme/tiny" and facts["hub"] == f"acme/tiny at {COMMIT}"
    today = datetime.now(UTC).date()
    assert facts["files"] in {
        f"not pinned; recorded on {day} at {COMMIT}, checked at each load"
        for day in (today, today - timedelta(days=1))
    }
    words = ["embed", "--precision", "reference", "--format", "jsonl", "a cat", "a bill"]
    vectors = bge(*words, "--model", "acme/tiny").vectors()
    assert np.array_equal(vectors, embedder.encode(["a cat", "a bill"]))
    (folder / "config.json").write_text("{}")
    run = bge(*words, "--model", "acme/tiny")
    assert (run.status, run.out) == (1, "")
    assert f"{folder}/config.json has 2 bytes" in run.err


@pytest.mark.slow
def test_load_fetches_a_repository_of_the_hub(acme: Hub, embedder: engine.Embedder) -> None:
    with engine.load("acme/tiny", precision="reference") as loaded:
        assert (loaded.name, loaded.hub_id, loaded.revision) == ("acme/tiny", "acme/tiny", COMMIT)
        assert np.array_equal(loaded.encode("a cat"), embedder.encode("a cat"))


def test_a_hub_name_without_a_known_revision_is_said(bge: Run, acme: Hub, tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "weights" / "acme--tiny")
    run = bge("info", "acme/tiny", "--precision", "reference", "--offline")
    assert "acme/tiny at an unknown revision\n" in run.out
    assert "not pinned, and no record of a download\n" in run.out
