"""A job that goes on where vectors have the same bits, on another kind of CPU too, or is refused.

The command runs here; BGE_TARGET makes this CPU one of another kind.
"""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import engine
from engine.errors import CheckpointError
from engine.fast.codegen.target import Target, able_targets
from engine.jobs import ray
from engine.jobs.writing.folders import Folders
from tests.jobs.support import command, job, results, running, texts, wait_until
from tests.support.synthetic import TINY

SHARD = ("--shard-rows", 40)
ABLE = able_targets()
BEST, FUSING = ABLE[0], [target for target in ABLE if target.fuses]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("\n".join(texts(4000)))
    return path


def begin(corpus: Path, out: Path, precision: str) -> None:
    """A job on the best kind of CPU, killed when some shards are complete."""
    words = (corpus, "-o", out, *SHARD, "--precision", precision, "--threads", 1)
    with running(*words) as process:
        wait_until(lambda: len(list(out.glob("part-*"))) > 2, process)
    assert len(list(out.glob("part-*"))) < 100


def resume(target: Target, *words: object) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"BGE_TARGET": target.name}
    return subprocess.run(command(*words), env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int16"])
@pytest.mark.parametrize("target", FUSING, ids=lambda target: target.name)
def test_on_another_kind_of_cpu_it_makes_the_same_bytes(
    target: Target, precision: str, corpus: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    begin(corpus, out, precision)
    done = resume(target, corpus, "-o", out, *SHARD, "--precision", precision)
    assert done.returncode == 0, done.stderr
    assert job(corpus, "-o", whole, *SHARD, "--precision", precision) == 0
    assert results(out) == results(whole)


OTHERS = [target for target in ABLE if (target.levels, target.fuses) != (BEST.levels, BEST.fuses)]


@pytest.mark.slow
@pytest.mark.parametrize("target", OTHERS, ids=lambda target: target.name)
def test_where_int8_has_other_levels_it_is_refused(
    target: Target, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    begin(corpus, out, "int8")
    # A file that the kill left half-written is no result: the next run removes it.
    before = {name: content for name, content in results(out).items() if name[0] != "."}
    done = resume(target, corpus, "-o", out, *SHARD, "--precision", "int8")
    assert done.returncode == 1 and results(out) == before
    assert f"numerics: was 'int8 of 0 to {BEST.levels}, " in done.stderr
    assert f"is 'int8 of 0 to {target.levels}, " in done.stderr


@pytest.mark.slow
def test_changed_settings_are_refused(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = corpus.parent / "out"
    assert job(corpus, "-o", out, *SHARD) == 0
    monkeypatch.setattr("engine.catalog.registry.settings_hash", lambda folder: "0" * 64)
    with pytest.raises(engine.EngineError, match=r"settings_hash: was '[0-9a-f]{64}', is '0{64}'"):
        job(corpus, "-o", out, *SHARD)


@pytest.mark.parametrize("name", ray.NODE_FACTS)
def test_a_node_that_would_compute_other_bits_is_refused(name: str) -> None:
    options: Any = SimpleNamespace(model=TINY, precision="float32", offline=True, revision=None)
    embedder = engine.load(TINY, threads=1)
    facts = {fact: getattr(embedder, fact) for fact in ray.NODE_FACTS}
    assert (
        ray._load(ray._Target(Folders.of(""), facts, 1, "", None), options).numerics
        == embedder.numerics
    )
    with pytest.raises(CheckpointError, match=f"node .*: {name} is '.*', the job's is 'other'"):
        ray._load(ray._Target(Folders.of(""), facts | {name: "other"}, 1, "", None), options)
