"""The hidden folder that collects the files of one pull before they are moved into place."""

import errno
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from engine.catalog.models import FileFact
from engine.catalog.record import RECORD, Record
from engine.catalog.verify import difference, mismatches, sha256, write_json
from engine.errors import CheckpointError, ModelNotFound

log = logging.getLogger("engine")


class Staging:
    """The folder for one commit. `parts` holds partial files, `files` holds verified ones.

    It is in the target, or beside it if the target does not exist yet. So both are on one disk, and
    files can be moved by renaming them, which is atomic. facts: by path, what each file must be.
    """

    FOLDER = ".pull"

    def __init__(self, target: Path, commit: str, facts: Mapping[str, FileFact]) -> None:
        self.target, self.commit, self.facts = target, commit, facts
        self.root = self.home(target) / f"{target.name}-{commit[:12]}".replace("/", "-")
        self.parts, self.files = self.root / "parts", self.root / "files"
        self._refuse_links()
        self._wrong = dict(mismatches(target, facts))

    @staticmethod
    def home(target: Path) -> Path:
        """The hidden folder for all unfinished downloads to `target`."""
        return (target if target.is_dir() else target.parent) / Staging.FOLDER

    def _refuse_links(self) -> None:
        """Raises CheckpointError if writing would follow a symbolic link out of the folders."""
        folders = {folder for path in self.facts for folder in Path(path).parents} - {Path()}
        paths = [*folders, *map(Path, self.facts)]
        places = [self.home(self.target), self.root, self.parts, self.files]
        places += [top / path for top in (self.parts, self.files) for path in paths]
        for place in [*places, *(self.target / folder for folder in folders)]:
            if place.is_symlink():
                raise CheckpointError(
                    f"{place} is a link to {place.readlink()}, and nothing is written through "
                    "links. Delete it, or download to another folder."
                )

    def lacking(self) -> list[str]:
        """The files to download: those that are neither valid in the target nor in `files`."""
        return [
            path
            for path in self.facts
            if not (self.files / path).is_file() and not self._is_in_place(path)
        ]

    def _is_in_place(self, path: str) -> bool:
        """Whether the target has this file. One of unknown content may be of another commit."""
        known = self.facts[path].decides and path not in self._wrong
        return known and (self.target / path).is_file()

    def require_disk_space(self, times: int = 1) -> None:
        """Raises OSError if the disk has no space for `times` the bytes that are still missing."""
        due = times * sum(self.facts[path].size or 0 for path in self.lacking())
        due -= sum(part.stat().st_size for part in self.parts.rglob("*") if part.is_file())
        free = shutil.disk_usage(self.home(self.target)).free
        if due > free:
            raise OSError(
                errno.ENOSPC, f"{due:,} bytes are needed and {free:,} are free", str(self.root)
            )

    def mismatch(self, path: str) -> str | None:
        """What is wrong with a downloaded file in `parts`; None if it is as expected."""
        return difference(self.parts / path, self.facts[path])

    def accept(self, path: str, source: str) -> None:
        """Verifies a file in `parts` and moves it to `files`.

        source: its origin, for the message. A wrong file is deleted, and CheckpointError is raised.
        """
        part, final = self.parts / path, self.files / path
        if wrong := self.mismatch(path):
            part.unlink(missing_ok=True)
            raise CheckpointError(
                f"{path} from {source} {wrong}. It was deleted, and {self.target} was not changed. "
                "Try again. If the error stays, the source has other files than expected."
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        part.replace(final)

    def place(self, hub_id: str, source: str) -> None:
        """Moves the verified files to the target, and writes the record.

        A new target appears at once with all files; in an existing one they are replaced one by
        one.
        """
        self.files.mkdir(parents=True, exist_ok=True)
        write_json(self.files / RECORD, self._record(hub_id, source).as_json())
        if self.target.is_dir():
            for file in [file for file in self.files.rglob("*") if file.is_file()]:
                final = self.target / file.relative_to(self.files)
                final.parent.mkdir(parents=True, exist_ok=True)
                file.replace(final)
        else:
            self.files.replace(self.target)
        shutil.rmtree(self.root, ignore_errors=True)

    def _record(self, hub_id: str, source: str) -> Record:
        """The record of the staged files and of those that the target had already."""
        staged = {path: self.files / path for path in self.facts}
        found = {
            path: file if file.is_file() else self.target / path for path, file in staged.items()
        }
        files = {
            path: FileFact(file.stat().st_size, self.facts[path].sha256 or sha256(file))
            for path, file in found.items()
            if file.is_file()
        }
        date = datetime.now(UTC).isoformat(timespec="seconds")
        return Record(hub_id, self.commit, source, files, date)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Only one process at a time downloads to `target`, or removes it. The others wait."""
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise ModelNotFound(
            f"Downloading needs the Python packages huggingface_hub and filelock ({error}). "
            "Run: pip install huggingface_hub"
        ) from error

    home = Staging.home(target)
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / f"{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("Another process is downloading or removing %s; waiting for it.", target)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
