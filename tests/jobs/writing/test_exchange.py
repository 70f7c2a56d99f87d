"""A table takes the place of another one as a whole, wherever the process is killed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import EngineError, InputError
from engine.jobs.writing import exchange as room
from engine.jobs.writing.exchange import (
    check_exchangeable,
    check_settled,
    complete,
    exchange,
    next_of,
    swap_by_renaming,
)
from engine.jobs.writing.folders import Folders
from tests.search.outputs import unit, write_output


class Killed(BaseException):
    pass


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A table of 120 rows, and one of 60 to replace it."""
    folders = Folders.of(write_output(tmp_path / "out", unit(120)))
    write_output(tmp_path / "new", unit(60, seed=1))
    new = next_of(folders)
    new.data.parent.mkdir()
    Path(tmp_path / "new").rename(new.data)
    Path(tmp_path / "new.job").rename(new.job)
    return folders


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


BOOKS = ["journal.jsonl", "manifest.json"]
NEW = [*BOOKS, "rows-000000-000000.npy", "rows-000000-000001.npy", "summary.json"]


def check_new(folders: Folders) -> None:
    assert names(folders.data) == [f"part-000000-00000{n}.parquet" for n in (0, 1)]
    assert names(folders.job) == NEW
    assert b'"rows": 60' in (folders.job / "summary.json").read_bytes()


@pytest.mark.parametrize("renamed", [False, True])
def test_all_of_the_new_and_nothing_of_the_old(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    if renamed:
        monkeypatch.setattr(room, "_swap", swap_by_renaming)
    exchange(folders)
    check_new(folders)
    complete(folders)
    check_new(folders)


@pytest.mark.parametrize("renamed", [False, True])
def test_killed_before_each_step(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Each system call that changes a folder is once the one that does not happen any more."""
    if renamed:
        monkeypatch.setattr(room, "_swap", swap_by_renaming)
    left = 0

    def mortal(real: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*words, **options)

        return call

    for name in ("rename", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, mortal(getattr(os, name)))
    for steps in range(1000):
        copy = Folders.of(tmp_path / f"copy-{steps}")
        shutil.copytree(folders.data, copy.data)
        shutil.copytree(folders.job, copy.job)
        left = steps
        try:
            exchange(copy)
            break
        except Killed:
            left = 1000
        assert renamed or len(names(copy.data)) in (2, 3)
        copy.data.mkdir(exist_ok=True)  # as a job does that starts
        if (copy.job / room.BEGUN).exists():
            complete(copy)
        else:
            exchange(copy)
        check_new(copy)
    check_new(copy)
    assert steps > 5


def test_readers_are_told_to_wait(folders: Folders) -> None:
    check_settled(folders)
    (folders.job / room.BEGUN).write_text("{}")
    with pytest.raises(EngineError, match="is being replaced by its update"):
        check_settled(folders)


def test_a_mount_point_is_refused(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    check_exchangeable(folders)
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(InputError, match="is a mount point"):
        check_exchangeable(folders)
