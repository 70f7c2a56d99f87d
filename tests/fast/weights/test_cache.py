"""Files that are made once: where they are trusted, and what happens where nothing can be kept."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.fast.weights import array_files
from engine.fast.weights.cache import STAMP, kept
from engine.system import folders
from tests.catalog import mouse
from tests.system.test_files import give_away

common = mouse.common
RIGHT, WRONG = np.arange(1000, dtype=np.float32), np.zeros(1000, np.float32)


class Maker:
    """Makes the right array, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        self.made += 1
        yield "x", RIGHT


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a good folder, a good file with wrong numbers: whether it is used can be seen."""
    path = tmp_path / "folder" / f"name-{'0' * 32}.weights"
    kept(path.parent, path.name, array_files, lambda: [("x", WRONG)], "making")
    return path


def used(path: Path, maker: Maker) -> bool:
    """Whether the file that was there is used. Otherwise the right one is made."""
    x = kept(path.parent, path.name, array_files, maker, "making")["x"]
    assert np.array_equal(x, RIGHT if maker.made else WRONG)
    return maker.made == 0


def test_a_file_that_is_there_is_used(path: Path, maker: Maker) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert used(path, maker)


def writable_by_group(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.chmod(0o775 if path.is_dir() else 0o664)


def writable_by_all(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.chmod(0o1777 if path.is_dir() else 0o646)


def a_link(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("change", [writable_by_group, writable_by_all, a_link, give_away])
def test_what_others_may_have_written_is_not_used(
    what: str,
    change: Callable[[Path, pytest.MonkeyPatch], None],
    path: Path,
    maker: Maker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file for this process alone, and one warning that names the path and what is wrong."""
    culprit = path if what == "file" else path.parent
    change(culprit, monkeypatch)
    before = sorted(path.parent.resolve().iterdir())
    with pytest.warns(UserWarning) as caught:
        assert not used(path, maker)
        kept(path.parent, f"name-{'0' * 31}1.weights", array_files, maker, "making")
    if what == "folder":
        assert sorted(path.parent.resolve().iterdir()) == before
    (warning,) = caught
    message = str(warning.message)
    assert f"nothing is kept in {path.parent} ({culprit} " in message and "BGE_CACHE" in message


def test_a_lock_that_is_a_link_is_not_used(path: Path, tmp_path: Path, maker: Maker) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.unlink()
    path.with_suffix(".lock").unlink()
    path.with_suffix(".lock").symlink_to(victim)
    with pytest.warns(UserWarning, match=r"\.lock is a symbolic link"):
        assert not used(path, maker)
    assert victim.read_text() == "precious"


def test_a_stamp_that_others_may_have_written_is_not_believed(path: Path, maker: Maker) -> None:
    kept(path.parent, path.name, array_files, maker, "making")
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"?" + content[101:])
    found = path.stat()
    mark = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    stamp = path.with_name(path.name + STAMP)
    stamp.write_text(mark)
    stamp.chmod(0o666)
    assert not used(path, maker)


def test_a_folder_of_root_that_cannot_be_written_serves_all(common: Path, maker: Maker) -> None:
    """As in an image of a container: prepared by root, run by anybody."""
    path = common / "cache" / f"name-{'0' * 32}.weights"
    kept(path.parent, path.name, array_files, lambda: [("x", WRONG)], "making")
    with mouse.unprivileged(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert used(path, maker)


def test_a_user_without_a_home_is_warned_once(maker: Maker) -> None:
    folders.warn_that_nothing_is_kept.cache_clear()
    with pytest.warns(UserWarning, match="there is no home directory") as caught:
        first = kept(None, "a", array_files, maker, "making")
        second = kept(None, "b", array_files, maker, "making")
    assert np.array_equal(first["x"], RIGHT) and np.array_equal(second["x"], RIGHT)
    assert len(caught) == 1


def test_what_cannot_be_kept_is_made_once_while_it_is_in_use(maker: Maker) -> None:
    first = kept(None, "c", array_files, maker, "making")
    assert kept(None, "c", array_files, maker, "making") is first and maker.made == 1
    del first
    kept(None, "c", array_files, maker, "making")
    assert maker.made == 2


def test_without_any_folder_it_works_from_memory(
    path: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    path.parent.chmod(0o777)
    with pytest.warns(UserWarning):
        assert not used(path, maker)


def no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_where_it_cannot_be_made_at_all_the_error_says_so(
    path: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.chmod(0o777)
    monkeypatch.setattr(array_files, "write", no_room)
    with pytest.warns(UserWarning), pytest.raises(EngineError, match=r"making failed: .*TMPDIR"):
        kept(path.parent, path.name, array_files, maker, "making")


def test_nothing_stays_in_the_folder_of_temporary_files(
    path: Path, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    path.parent.chmod(0o777)
    with pytest.warns(UserWarning):
        assert not used(path, maker)
    assert not any((tmp_path / "temporary").iterdir())
