"""Where the files of one pull gather until they are put in place."""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from engine.errors import CheckpointError
from engine.facts import FileFact
from engine.verify import RECORD, complaints, difference, read_record, sha256, write_json


class Staging:
    """For one commit: `parts` are being fetched, `files` are verified, the target gets them all.

    It lies beside the target, or inside one that exists: moving within a disk is atomic.
    """

    def __init__(self, target: Path, commit: str, facts: Mapping[str, FileFact]) -> None:
        self.target, self.commit, self.facts = target, commit, facts
        self.root = self.home(target) / f"{target.name}-{commit[:12]}".replace("/", "-")
        self.parts, self.files = self.root / "parts", self.root / "files"
        self._wrong = dict(complaints(target, facts))
        self._taken: dict[str, FileFact] = {}

    @staticmethod
    def home(target: Path) -> Path:
        """The hidden folder for everything unfinished."""
        return (target if target.is_dir() else target.parent) / ".pull"

    def lacking(self) -> list[str]:
        """What is still to be fetched: not good where it belongs, and not waiting here either."""
        return [
            path
            for path in self.facts
            if not (self.files / path).is_file()
            and (path in self._wrong or not (self.target / path).is_file())
        ]

    def demand_room(self, times: int = 1) -> None:
        """Raises OSError where the disk is too full for what is lacking."""
        due = times * sum(self.facts[path].size or 0 for path in self.lacking())
        due -= sum(part.stat().st_size for part in self.parts.rglob("*") if part.is_file())
        free = shutil.disk_usage(self.home(self.target)).free
        if due > free:
            raise OSError(
                errno.ENOSPC, f"{due:,} bytes are needed and {free:,} are free", str(self.root)
            )

    def complaint(self, path: str) -> str | None:
        """What is wrong with a fetched part."""
        return difference(self.parts / path, self.facts[path])

    def accept(self, path: str, source: str) -> None:
        """Takes a part among the good files, or deletes it and raises CheckpointError."""
        part, final = self.parts / path, self.files / path
        if wrong := self.complaint(path):
            part.unlink(missing_ok=True)
            raise CheckpointError(
                f"{path}, as {source} gave it, {wrong}. It was deleted and nothing was put in "
                "place. Try again; if it stays so, the source is not the one that is expected."
            )
        self._taken[path] = FileFact(part.stat().st_size, self.facts[path].sha256 or sha256(part))
        final.parent.mkdir(parents=True, exist_ok=True)
        part.replace(final)

    def place(self, hub_id: str, source: str) -> None:
        """Moves the good files to the target: at once where it is new, else one by one."""
        self.files.mkdir(parents=True, exist_ok=True)
        write_json(self.files / RECORD, self._record(hub_id, source))
        if self.target.is_dir():
            for file in [file for file in self.files.rglob("*") if file.is_file()]:
                final = self.target / file.relative_to(self.files)
                final.parent.mkdir(parents=True, exist_ok=True)
                file.replace(final)
        else:
            self.files.replace(self.target)
        shutil.rmtree(self.root, ignore_errors=True)

    def _record(self, hub_id: str, source: str) -> dict[str, object]:
        """What was fetched, for whoever wonders, and to verify what the registry does not pin."""
        files = dict(read_record(self.target).get("files", {}))
        for path in self.facts:
            if (file := self.files / path).is_file():
                fact = self._taken.get(path) or FileFact(file.stat().st_size, sha256(file))
                files[path] = asdict(fact)
        return {"hub_id": hub_id, "revision": self.commit, "source": source, "files": files}
