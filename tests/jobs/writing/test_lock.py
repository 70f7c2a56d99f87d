"""One job at a time; the lock file is not followed anywhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.lock import locked


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out")
    with (
        locked(folders),
        pytest.raises(EngineError, match=rf"another job .*process {os.getpid()} on"),
        locked(folders),
    ):
        pass
    with locked(folders):
        assert folders.data.is_dir()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_what_a_planted_lock_leads_to_is_left_alone(
    link: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "out.job"
    victim.write_text("precious")
    folder.mkdir(parents=True)
    link(folder / "lock", victim)
    with pytest.raises(OSError, match=r"job/lock is (a symbolic link|not a regular file)"):
        locked(Folders.of(tmp_path / "out")).__enter__()
    assert victim.read_text() == "precious"
