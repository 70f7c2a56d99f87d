"""Files that gather beside the target: what is lacking, what is accepted, how it is placed."""

import shutil
from pathlib import Path

import pytest

from engine.catalog.models import FileFact
from engine.catalog.record import read_record
from engine.catalog.staging import Staging
from engine.catalog.verify import WEIGHTS
from engine.errors import CheckpointError
from tests.catalog import mouse
from tests.catalog.hub_server import Files
from tests.catalog.mouse import COMMIT, FILES, contents, facts, lay_out

user = mouse.user


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "mouse"


def fetch(staging: Staging, files: Files = FILES) -> None:
    """Every file that is lacking, as if the hub had sent it."""
    for path in staging.lacking():
        lay_out(staging.parts, {path: files[path]})
        staging.accept(path, "the hub")


def test_of_a_new_folder_everything_is_lacking(target: Path) -> None:
    staging = Staging(target, COMMIT, facts(FILES))
    assert staging.lacking() == list(FILES)
    fetch(staging)
    assert staging.lacking() == []
    assert not target.exists()
    staging.place("tiny/mouse", "hub")
    assert contents(target) == FILES
    assert not staging.root.exists()


def test_what_is_good_in_the_target_is_not_lacking(target: Path) -> None:
    lay_out(target)
    (target / WEIGHTS).write_bytes(bytes(300_000))
    (target / "vocab.txt").unlink()
    staging = Staging(target, COMMIT, facts(FILES))
    assert staging.lacking() == ["vocab.txt", WEIGHTS]
    fetch(staging)
    staging.place("tiny/mouse", "hub")
    assert contents(target) == FILES


def test_what_waits_from_an_earlier_attempt_is_not_lacking(target: Path) -> None:
    first = Staging(target, COMMIT, facts(FILES))
    lay_out(first.parts)
    first.accept(WEIGHTS, "the hub")
    again = Staging(target, COMMIT, facts(FILES))
    assert again.lacking() == [path for path in FILES if path != WEIGHTS]
    assert Staging(target, "b" * 40, facts(FILES)).lacking() == list(FILES)


def test_a_file_of_unknown_content_is_never_taken_for_good(target: Path) -> None:
    """It may be of another commit, and as long."""
    known = {**facts(FILES), "vocab.txt": FileFact(len(FILES["vocab.txt"]))}
    lay_out(target)
    assert Staging(target, COMMIT, known).lacking() == ["vocab.txt"]
    for said, lacking in (("2", ["x.json"]), ("1", [])):
        (target / "x.json").write_text(f'{{"a": {said}}}')
        known = {"x.json": FileFact(content={"a": 1})}
        assert Staging(target, COMMIT, known).lacking() == lacking


def test_the_record_has_every_file_and_its_hash(target: Path) -> None:
    """Those that were there already, too, and those whose hash was not known before."""
    lay_out(target, {WEIGHTS: FILES[WEIGHTS]})
    known = {**facts(FILES), "config.json": FileFact(len(FILES["config.json"]))}
    staging = Staging(target, COMMIT, known)
    fetch(staging)
    staging.place("tiny/mouse", "pypi")
    record = read_record(target)
    assert record is not None
    assert (record.hub_id, record.revision, record.source) == ("tiny/mouse", COMMIT, "pypi")
    assert record.files == facts(FILES)


@pytest.mark.parametrize("wrong", [b"x", b"x" + FILES["vocab.txt"][1:]])
def test_a_wrong_file_is_deleted_and_named(target: Path, wrong: bytes) -> None:
    staging = Staging(target, COMMIT, facts(FILES))
    lay_out(staging.parts, {"vocab.txt": wrong})
    with pytest.raises(CheckpointError, match=r"^vocab\.txt from the moon has "):
        staging.accept("vocab.txt", "the moon")
    assert not (staging.parts / "vocab.txt").exists()
    assert "vocab.txt" in staging.lacking()


@pytest.mark.parametrize("times", [1, 2])
def test_room_is_asked_for_what_is_lacking_less_what_is_there(
    target: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    lay_out(target, {WEIGHTS: FILES[WEIGHTS]})
    staging = Staging(target, COMMIT, facts(FILES))
    lay_out(staging.parts, {"vocab.txt": b"[P"})
    total = times * sum(len(FILES[path]) for path in FILES if path != WEIGHTS) - 2
    usage = shutil.disk_usage(target)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=total))
    staging.require_disk_space(times)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=total - 1))
    with pytest.raises(OSError, match=f"{total:,} bytes are needed and {total - 1:,} are free"):
        staging.require_disk_space(times)


def test_nothing_is_written_through_links(target: Path, tmp_path: Path) -> None:
    """In a folder that others can write to they may wait for a pull."""
    victim = lay_out(tmp_path / "victim", {WEIGHTS: b"mine", "config.json": b"mine"})
    target.mkdir()
    staging = Staging(target, COMMIT, facts(FILES))
    places = [staging.home(target), staging.root, staging.parts, staging.parts / "1_Pooling",
              staging.files, target / "1_Pooling", staging.parts / WEIGHTS]  # fmt: skip
    for link in places:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(victim if link.name != WEIGHTS else victim / WEIGHTS)
        with pytest.raises(CheckpointError, match=r"is a link to .*, and nothing is written thr"):
            Staging(target, COMMIT, facts(FILES))
        link.unlink()
    assert contents(victim) == {WEIGHTS: b"mine", "config.json": b"mine"}


def test_a_target_may_be_a_link_and_its_files_too(target: Path, tmp_path: Path) -> None:
    """On another disk; and copies of the hub's cache consist of links."""
    elsewhere = lay_out(tmp_path / "disk", {"vocab.txt": b"old"})
    lay_out(tmp_path / "blobs", {"blob": b"not to be written"})
    (elsewhere / "config.json").symlink_to(tmp_path / "blobs" / "blob")
    target.symlink_to(elsewhere)
    staging = Staging(target, COMMIT, facts(FILES))
    fetch(staging)
    staging.place("tiny/mouse", "hub")
    assert contents(elsewhere) == FILES
    assert contents(tmp_path / "blobs") == {"blob": b"not to be written"}


def test_other_files_of_the_target_stay(target: Path) -> None:
    lay_out(target, {"notes/mine.txt": b"mine"})
    staging = Staging(target, COMMIT, facts(FILES))
    fetch(staging)
    staging.place("tiny/mouse", "hub")
    assert contents(target) == {**FILES, "notes/mine.txt": b"mine"}
