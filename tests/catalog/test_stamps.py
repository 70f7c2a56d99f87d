"""The memory of hashes: not believed where others can write it, not needed without a home."""

import json
import os
import warnings
from pathlib import Path

import pytest

from engine.catalog.verify import Stamps, sha256, write_json
from engine.system import folders
from tests.system.test_files import give_away
from tests.system.test_folders import no_home

no_home = no_home


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").write_bytes(b"content")
    return tmp_path / "model"


def remembered(folder: Path) -> str:
    with Stamps(folder) as stamps:
        return stamps.sha256("file")


def forge(folder: Path) -> Path:
    """A wrong hash in the memory of a folder, under the right marks."""
    remembered(folder)
    cache = folders.user_cache_if_any()
    assert cache
    (memory,) = (cache / "verified").iterdir()
    content = json.loads(memory.read_text())
    content["file"][1] = "forged"
    memory.write_text(json.dumps(content))
    return memory


def test_what_is_remembered_is_believed(folder: Path) -> None:
    forge(folder)
    assert remembered(folder) == "forged"


def test_but_not_where_others_can_write_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(folder).chmod(0o664)
    assert remembered(folder) == sha256(folder / "file")
    give_away(forge(folder), monkeypatch)
    assert remembered(folder) == sha256(folder / "file")


def test_nor_through_a_link(folder: Path) -> None:
    memory = forge(folder)
    memory.rename(memory.with_name("elsewhere"))
    memory.symlink_to("elsewhere")
    assert remembered(folder) == sha256(folder / "file")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"[1]", b'{"file": 1}'])
def test_a_damaged_memory_is_no_memory(folder: Path, content: bytes) -> None:
    forge(folder).write_bytes(content)
    assert remembered(folder) == sha256(folder / "file")


def test_without_a_home_nothing_is_remembered_and_nothing_said(folder: Path, no_home: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert remembered(folder) == sha256(folder / "file")


def test_json_is_written_beside_and_never_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".file.{os.getpid()}").symlink_to(victim)
    write_json(tmp_path / "file", {"a": 1})
    assert json.loads((tmp_path / "file").read_text()) == {"a": 1}
    assert victim.read_text() == "precious"
