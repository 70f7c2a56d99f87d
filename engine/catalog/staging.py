"""Where the files of one pull gather until they are put in place."""

import errno
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from engine.catalog.models import FileFact
from engine.catalog.record import RECORD, Record
from engine.catalog.verify import difference, mismatches, sha256, write_json
from engine.errors import CheckpointError


class Staging:
    """For one commit: `parts` are being fetched, `files` are verified, the target gets them all.

    It lies beside the target, or inside one that exists: moving within a disk is atomic.
    """

    def __init__(self, target: Path, commit: str, facts: Mapping[str, FileFact]) -> None:
        self.target, self.commit, self.facts = target, commit, facts
        self.root = self.home(target) / f"{target.name}-{commit[:12]}".replace("/", "-")
        self.parts, self.files = self.root / "parts", self.root / "files"
        self._refuse_links()
        self._wrong = dict(mismatches(target, facts))

    @staticmethod
    def home(target: Path) -> Path:
        """The hidden folder for everything unfinished."""
        return (target if target.is_dir() else target.parent) / ".pull"

    def _refuse_links(self) -> None:
        """Raises CheckpointError for a link that would lead what is written out of the folders."""
        folders = {folder for path in self.facts for folder in Path(path).parents} - {Path()}
        paths = [*folders, *map(Path, self.facts)]
        places = [self.home(self.target), self.root, self.parts, self.files]
        places += [top / path for top in (self.parts, self.files) for path in paths]
        for place in [*places, *(self.target / folder for folder in folders)]:
            if place.is_symlink():
                raise CheckpointError(
                    f"{place} is a link to {place.readlink()}, and nothing is written through "
                    "links. Delete it, or fetch into another folder."
                )

    def lacking(self) -> list[str]:
        """What is still to be fetched: neither valid in the target nor staged."""
        return [
            path
            for path in self.facts
            if not (self.files / path).is_file() and not self._is_in_place(path)
        ]

    def _is_in_place(self, path: str) -> bool:
        """A file whose content nothing states may be of another commit: it is fetched again."""
        known = self.facts[path].decides and path not in self._wrong
        return known and (self.target / path).is_file()

    def require_disk_space(self, times: int = 1) -> None:
        """Raises OSError where the disk is too full for what is lacking."""
        due = times * sum(self.facts[path].size or 0 for path in self.lacking())
        due -= sum(part.stat().st_size for part in self.parts.rglob("*") if part.is_file())
        free = shutil.disk_usage(self.home(self.target)).free
        if due > free:
            raise OSError(
                errno.ENOSPC, f"{due:,} bytes are needed and {free:,} are free", str(self.root)
            )

    def mismatch(self, path: str) -> str | None:
        """What is wrong with a fetched part."""
        return difference(self.parts / path, self.facts[path])

    def accept(self, path: str, source: str) -> None:
        """Takes a part among the good files, or deletes it and raises CheckpointError."""
        part, final = self.parts / path, self.files / path
        if wrong := self.mismatch(path):
            part.unlink(missing_ok=True)
            raise CheckpointError(
                f"{path}, as {source} gave it, {wrong}. It was deleted and nothing was put in "
                "place. Try again; if it stays so, the source is not the one that is expected."
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        part.replace(final)

    def place(self, hub_id: str, source: str) -> None:
        """Moves the good files to the target: at once where it is new, else one by one."""
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
        """Where the files came from, and their hashes: those staged, and those already in place."""
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
