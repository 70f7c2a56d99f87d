"""Which files and folders are trusted, and how a file is written whole."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from engine.system.files import NotPrivate, PrivateFolder, identity, opened, opened_private

OTHER = 12345


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file belongs to another user; where only root can do that, this user is another one."""
    if os.geteuid() == 0:
        os.chown(path, OTHER, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER)


@pytest.fixture
def umask() -> Iterator[None]:
    """Many systems create files that their group may write to."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o644)
    return path


def read(path: Path) -> bytes:
    with os.fdopen(opened_private(path, os.O_RDONLY), "rb") as file:
        return file.read()


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o444])
def test_a_file_that_only_its_owner_can_write_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read(file) == b"content"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620])
def test_a_file_that_others_can_write_is_not(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(NotPrivate, match=rf"{file} is writable by other users .*chmod go-w {file}"):
        read(file)


def test_a_file_of_another_user_is_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(file, monkeypatch)
    with pytest.raises(NotPrivate, match=rf"{file} belongs to another user"):
        read(file)


def test_a_file_of_root_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat

    def of_root(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[stat.ST_UID] = 0
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", of_root)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert os.fdopen(opened_private(file, os.O_RDONLY), "rb").read() == b"content"


def test_no_link_is_followed(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    with pytest.raises(NotPrivate, match=f"{link} is a symbolic link"):
        opened(link, os.O_RDONLY)


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotPrivate, match="is not a regular file"):
        opened(tmp_path / "pipe", os.O_RDONLY)


def test_a_second_name_of_a_file_is_not_written_to(file: Path) -> None:
    second = file.with_name("second")
    second.hardlink_to(file)
    with pytest.raises(NotPrivate, match="hard link"):
        opened(second, os.O_RDWR | os.O_CREAT, 0o600)
    assert read(second) == b"content"


def test_a_folder_is_made_so_that_only_its_owner_writes(tmp_path: Path, umask: None) -> None:
    with PrivateFolder(tmp_path / "a" / "b") as folder:
        folder.write("file", lambda file: file.write(b"x"))
        with folder.locked("lock"):
            pass
    made = tmp_path / "a" / "b"
    assert stat.S_IMODE(made.stat().st_mode) == 0o755
    assert stat.S_IMODE((made / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((made / "lock").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(NotPrivate, match=f"{tmp_path} is writable by other users"):
        PrivateFolder(tmp_path)


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_away(tmp_path, monkeypatch)
    with pytest.raises(NotPrivate, match=f"{tmp_path} belongs to another user"):
        PrivateFolder(tmp_path)


@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_a_link_to_a_folder_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(NotPrivate, match="is a link"):
        PrivateFolder(tmp_path / "link")
    assert not (tmp_path / "nowhere").exists()


def test_files_stay_those_of_the_opened_folder(tmp_path: Path) -> None:
    """Somebody exchanges the folder after it was opened."""
    with PrivateFolder(tmp_path / "folder") as folder:
        folder.write("file", lambda file: file.write(b"mine"))
        (tmp_path / "folder").rename(tmp_path / "moved")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_bytes(b"another's")
        with folder.read("file") as file:
            assert file.read() == b"mine"
        folder.write("file", lambda file: file.write(b"new"))
    assert (tmp_path / "moved" / "file").read_bytes() == b"new"
    assert (tmp_path / "folder" / "file").read_bytes() == b"another's"


@pytest.mark.parametrize("name", ["new.part", "lock"])
def test_what_a_planted_link_leads_to_is_left_alone(tmp_path: Path, name: str, file: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "folder" / name).symlink_to(file)
    with PrivateFolder(tmp_path / "folder") as folder:
        folder.write("new", lambda new: new.write(b"x"))
        if name == "lock":
            with pytest.raises(NotPrivate), folder.locked("lock"):
                pass
    assert (tmp_path / "folder" / "new").read_bytes() == b"x"
    assert file.read_bytes() == b"content"


def test_a_lock_file_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"content")
    (tmp_path / "lock").chmod(0o600)
    tmp_path.chmod(0o755)
    with PrivateFolder(tmp_path) as folder, folder.locked("lock"):
        pass
    assert (tmp_path / "lock").read_bytes() == b"content"


def failing(file: BinaryIO) -> None:
    file.write(b"half")
    raise OSError(28, "No space left on device")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "folder") as folder:
        folder.write("file", lambda file: file.write(b"old"))
        with pytest.raises(OSError, match="No space"):
            folder.write("file", failing)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]
    assert (tmp_path / "folder" / "file").read_bytes() == b"old"


def test_file_and_folder_are_synced_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut may leave the name with a file of zeros, or without the name."""
    steps: list[str] = []

    def noted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            is_folder = name == "sync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)  # type: ignore[arg-type]
            steps.append(f"{name} folder" if is_folder else name)
            return function(*arguments, **options)

        return call

    with PrivateFolder(tmp_path / "folder") as folder:
        monkeypatch.setattr(os, "fsync", noted("sync", os.fsync))
        monkeypatch.setattr(os, "replace", noted("rename", os.replace))
        folder.write("file", lambda file: file.write(b"x"))
    assert steps == ["sync", "rename", "sync folder"]


def test_identity_changes_with_the_file(file: Path) -> None:
    before = identity(file.stat())
    found = file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert identity(file.stat()) != before
