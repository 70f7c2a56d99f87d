"""`bge cache`: the list, and removing by name."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.command import TINY, Run

HEX = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, weights prepared by two versions, and kernels."""
    monkeypatch.setenv("BGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "prepared"))
    shutil.copytree(TINY, tmp_path / "weights" / "acme--tiny")
    (tmp_path / "prepared").mkdir()
    for name in (f"tiny-int8-avx2-{HEX}.weights", f"tiny-int8-avx2-{HEX[::-1]}.weights"):
        (tmp_path / "prepared" / name).write_bytes(b"x" * 1_000_000)
    (tmp_path / "prepared" / f"avx2-int8-{HEX}.kernels").write_bytes(b"x" * 500_000)
    return tmp_path


def names(bge: Run) -> list[str]:
    return [row["name"] for row in json.loads(bge("cache", "--format", "json").out)]


def test_the_list(bge: Run, kept: Path) -> None:
    header, *rows, empty, models, prepared = bge("cache").out.splitlines()
    assert header.split() == ["kind", "MB", "last", "used", "name"] and empty == ""
    assert [row.split()[0] for row in rows] == ["model", "kernels", "weights"]
    assert rows[2].split()[1] == "2.0" and rows[2].endswith("  tiny-int8-avx2")
    assert models.endswith(f" MB in {kept / 'weights'}")
    assert prepared == f"prepared: 2.5 MB in {kept / 'prepared'}"


def test_one_is_removed(bge: Run) -> None:
    assert bge("cache", "--remove", "tiny-int8-avx2").out == "removed tiny-int8-avx2 (2.0 MB)\n"
    assert names(bge) == ["acme--tiny", "avx2-int8"]
    assert bge("cache", "--remove", "acme/tiny").status == 0
    assert names(bge) == ["avx2-int8"]


def test_all_that_can_be_made_again_is_removed(bge: Run) -> None:
    run = bge("cache", "--remove", "prepared", "avx2-int8")
    assert run.status == 0 and run.out.count("removed ") == 2
    assert names(bge) == ["acme--tiny"]
    assert bge("cache", "--remove", "prepared").status == 0  # nothing is left to do


def test_an_unknown_name_removes_nothing(bge: Run) -> None:
    run = bge("cache", "--remove", "avx2-int8", "tiny-int8-avx")
    assert (run.status, run.out) == (1, "")
    assert "the name tiny-int8-avx; " in run.err and "did you mean tiny-int8-avx2?" in run.err
    assert len(names(bge)) == 3


def test_nothing_at_all(bge: Run, kept: Path) -> None:
    shutil.rmtree(kept / "weights")
    shutil.rmtree(kept / "prepared")
    run = bge("cache")
    assert run.status == 0 and run.out.startswith("models: 0.0 MB in ")
