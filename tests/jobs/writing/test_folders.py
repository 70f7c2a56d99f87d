"""Where a job keeps what, and which folders it refuses."""

import os
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.jobs.writing.folders import Folders


def test_data_and_bookkeeping_are_neighbours(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out.v1")
    assert (folders.data, folders.job) == (tmp_path / "out.v1", tmp_path / "out.v1.job")
    assert folders.path("part-000000-000001.npy").parent == folders.data
    assert folders.path("rejects-000000-000001.jsonl").parent == folders.job


def test_a_link_or_a_dot_means_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert Folders.of(tmp_path / "out").job == tmp_path / "disk.job"
    monkeypatch.chdir(tmp_path / "disk")
    assert Folders.of(".") == Folders.of(tmp_path / "disk")
    assert Folders.of("../disk/").job.resolve() == tmp_path / "disk.job"


def test_folders_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out.job").mkdir()
    (tmp_path / "out.job" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"out\.job' holds 'notes\.txt' and is not the output"):
        Folders.of(tmp_path / "out").create()
    assert not (tmp_path / "out").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "_job").mkdir()
    with pytest.raises(InputError, match="old' holds '_job' and is not the output of a job; name"):
        Folders.of(tmp_path / "old").create()


def test_what_a_job_left_before_its_manifest_is_no_obstacle(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out")
    folders.create()
    for name in ("lock", ".new-0000-manifest.json"):
        (folders.job / name).write_text("")
    folders.create()
    assert sorted(os.listdir(tmp_path)) == ["out", "out.job"]  # noqa: PTH208
