"""Snapshots that other programs fetched: which one is taken, and which is passed over."""

import json
from pathlib import Path

import pytest

from engine.catalog.hub_cache import commit_of, find_snapshot
from engine.catalog.models import Entry
from engine.catalog.verify import WEIGHTS
from tests.catalog import mouse
from tests.catalog.hub_server import Files
from tests.catalog.mouse import (
    COMMIT,
    CONFIG,
    FILES,
    LATER,
    UNPINNED,
    cached,
    call_main,
    entry_of,
    register,
)

user = mouse.user
STRANGER = Entry("tiny/mouse", "tiny/mouse")  # the registry does not know it


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, entry_of())


def test_pinned_files_are_good_in_any_snapshot(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, LATER)
    assert find_snapshot(entry_of()) == snapshot
    assert commit_of(snapshot) == LATER
    assert commit_of(tmp_path) is None


def test_a_snapshot_that_differs_is_no_snapshot(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, COMMIT)
    (snapshot / WEIGHTS).resolve().write_bytes(bytes(300_000))
    assert find_snapshot(entry_of()) is None


@pytest.mark.parametrize("wanted", [UNPINNED, STRANGER])
def test_an_unpinned_model_comes_from_the_snapshot_of_main(tmp_path: Path, wanted: Entry) -> None:
    snapshot = cached(tmp_path, LATER)
    assert find_snapshot(wanted) is None  # nothing says that this is the one
    call_main(snapshot)
    assert find_snapshot(wanted) == snapshot
    (snapshot / "modules.json").unlink()  # as transformers alone would leave it
    assert find_snapshot(wanted) is None


def test_a_commit_is_found_by_its_name(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, LATER)
    assert find_snapshot(STRANGER.at(LATER)) == snapshot
    assert find_snapshot(STRANGER.at(COMMIT)) is None


def test_of_a_registered_model_the_sizes_must_be_right(tmp_path: Path) -> None:
    config = json.dumps({**CONFIG, "num_hidden_layers": 3}).encode()
    call_main(cached(tmp_path, LATER, {**FILES, "config.json": config}))
    assert find_snapshot(UNPINNED) is None
    assert find_snapshot(STRANGER) is not None


def test_without_modules_json_the_cache_must_know_that_the_hub_has_none(tmp_path: Path) -> None:
    bare = {path: FILES[path] for path in ("config.json", "vocab.txt", WEIGHTS)}
    snapshot = cached(tmp_path, LATER, bare)
    call_main(snapshot)
    assert find_snapshot(STRANGER) is None
    marker = snapshot.parent.parent / ".no_exist" / LATER / "modules.json"
    marker.parent.mkdir(parents=True)
    marker.touch()
    assert find_snapshot(STRANGER) == snapshot


OLD: Files = {
    "modules.json": b'[{"path": "0_Transformer"}, {"path": "1_Pooling"}]',
    "1_Pooling/config.json": b"{}",
    **{f"0_Transformer/{path}": FILES[path] for path in ("config.json", "tokenizer.json", WEIGHTS)},
}


@pytest.mark.parametrize("path", [None, *(path for path in OLD if path[0] == "0")])
def test_a_download_that_was_interrupted_is_no_checkpoint(tmp_path: Path, path: str | None) -> None:
    snapshot = cached(tmp_path, LATER, OLD)
    call_main(snapshot)
    if path:
        (snapshot / path).unlink()
    assert find_snapshot(STRANGER) == (None if path else snapshot)


@pytest.mark.parametrize("junk", [b"", b"{", b"[1]", b'[{"path": "../.."}]', b"[" * 100_000])
def test_a_modules_json_that_is_none_is_no_checkpoint(tmp_path: Path, junk: bytes) -> None:
    call_main(cached(tmp_path, LATER, {**FILES, "modules.json": junk}))
    assert find_snapshot(STRANGER) is None


@pytest.mark.parametrize("said", ["../../../../elsewhere", "/", "", "a/b", "\udcff"])
def test_a_reference_leads_nowhere_else(tmp_path: Path, said: str) -> None:
    snapshot = cached(tmp_path, LATER)
    call_main(snapshot)
    reference = snapshot.parent.parent / "refs" / "main"
    mouse.lay_out(tmp_path / "elsewhere")
    reference.write_bytes(said.encode("utf-8", "surrogateescape"))
    assert find_snapshot(STRANGER) is None


@pytest.mark.parametrize(
    ("name", "value", "home"),
    [("HF_HUB_CACHE", "c/hub", "c/hub"), ("HF_HOME", "c", "c/hub"),
     ("XDG_CACHE_HOME", "c", "c/huggingface/hub")],
)  # fmt: skip
def test_the_cache_is_where_its_own_library_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, home: str
) -> None:
    snapshot = cached(tmp_path, COMMIT)
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(name, str(tmp_path / value))
    (tmp_path / home).parent.mkdir(parents=True)
    (tmp_path / "hf" / "hub").rename(tmp_path / home)
    moved = tmp_path / home / snapshot.relative_to(tmp_path / "hf" / "hub")
    for link in moved.rglob("*"):
        if link.is_symlink():
            blob = tmp_path / home / link.readlink().relative_to(tmp_path / "hf" / "hub")
            link.unlink()
            link.symlink_to(blob)
    assert find_snapshot(entry_of()) == moved


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "~nobody-of-that-name/hf")
    assert find_snapshot(entry_of()) is None
