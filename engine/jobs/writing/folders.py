"""The two folders of a job: OUTPUT holds data and nothing else, OUTPUT.job the rest.

OUTPUT/part-000000-000000.parquet    a shard: split, part (or .npy with .ids.jsonl)
OUTPUT.job/lock                      held while a job runs; released when the process ends
OUTPUT.job/manifest.json             what decides the bytes; a resumed run must match it
OUTPUT.job/journal.jsonl             one line per shard, written after its files are synced
OUTPUT.job/rejects-*.jsonl           the rejected rows of one shard
OUTPUT.job/rejects.jsonl             file, row and reason of each rejected row, at the end
OUTPUT.job/summary.json              the counts, at the end
"""

from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError

PART = "part-"


@dataclass(frozen=True)
class Folders:
    """`data`: what the user reads. `job`: what `bge job` needs to resume, check and update it."""

    data: Path
    job: Path

    @classmethod
    def of(cls, output: str | Path) -> "Folders":
        data = Path(output)
        if data.is_symlink() or data.name in ("", ".."):
            data = data.resolve()  # the folder itself has a name, and a folder around it
        return cls(data, data.with_name(data.name + ".job"))

    def path(self, name: str) -> Path:
        """Return the place of a file that the journal names."""
        return (self.data if name.startswith(PART) else self.job) / name

    def create(self) -> None:
        """Make the folders. InputError: they belong to something else."""
        self._check()
        self.data.mkdir(parents=True, exist_ok=True)
        self.job.mkdir(exist_ok=True)

    def _check(self) -> None:
        for folder in (self.data, self.job):
            if folder.exists() and not folder.is_dir():
                raise InputError(f"output {str(folder)!r} is a file; name a new or empty folder.")
        if (self.job / "manifest.json").exists():
            return
        for folder in (self.data, self.job):
            held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
            if held := [name for name in held if folder == self.data or not _ours(name)]:
                raise InputError(
                    f"output {str(folder)!r} holds {held[0]!r} and is not the output of a job; "
                    "name a new or empty folder."
                )


def _ours(name: str) -> bool:
    """Whether a job that was stopped before it wrote its manifest may have left the file."""
    return name == "lock" or name.startswith(".new-")
