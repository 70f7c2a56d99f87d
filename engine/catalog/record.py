"""bge-pull.json, the record of a download: the source, the commit, the date, the hash of each file.

If the registry pins no hash of a checkpoint, later loads are checked against this record.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engine.catalog.models import FileFact
from engine.catalog.repository_files import is_path
from engine.errors import CheckpointError

RECORD = "bge-pull.json"
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """One download. revision: the commit. date: ISO 8601, UTC; None in records of old versions."""

    hub_id: str
    revision: str
    source: str
    files: Mapping[str, FileFact]
    date: str | None = None

    @classmethod
    def parse(cls, content: Any) -> Self:
        """A record from parsed JSON. Raises ValueError, whose message says what is wrong."""
        if not isinstance(content, dict):
            raise ValueError(f"it is {_shown(content)}; it must be a JSON object")
        hub_id, revision, source = (
            _word(content, field) for field in ("hub_id", "revision", "source")
        )
        files, date = content.get("files"), content.get("date")
        if not isinstance(files, dict) or not files:
            raise ValueError(f"files is {_shown(files)}; it must be an object, one entry per file")
        if date is not None and not isinstance(date, str):
            raise ValueError(f"date is {_shown(date)}; it must be a string")
        facts = {path: _fact(path, row) for path, row in files.items()}
        return cls(hub_id, revision, source, facts, date)

    def as_json(self) -> dict[str, object]:
        """What `parse` reads."""
        files = {path: {"size": f.size, "sha256": f.sha256} for path, f in self.files.items()}
        head = {"hub_id": self.hub_id, "revision": self.revision, "source": self.source}
        return {**head, "date": self.date, "files": files}


def read_record(folder: Path) -> Record | None:
    """The record in `folder`; None if there is none. Raises CheckpointError if it is damaged."""
    file = folder / RECORD
    try:
        return Record.parse(json.loads(file.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(
            f"{file} is not a record that `bge pull` wrote: {reason}. Delete the folder and "
            "download the model again, or load the folder by its path instead of a model's name."
        ) from error


def _word(content: Mapping[str, Any], field: str) -> str:
    value = content.get(field)
    if not isinstance(value, str) or not is_path(value):
        raise ValueError(f"{field} is {_shown(value)}; it must be a name as the hub has them")
    return value


def _fact(path: str, row: Any) -> FileFact:
    size, sha256 = (row.get("size"), row.get("sha256")) if isinstance(row, dict) else (None, None)
    good_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    if not is_path(path) or not good_size or not isinstance(sha256, str):
        raise ValueError(
            f"the entry of the file {_shown(path)} is {_shown(row)}; it must be a relative path "
            "with a size and a sha256"
        )
    if not SHA256.fullmatch(sha256):
        raise ValueError(
            f"sha256 of {path} is {_shown(sha256)}; it must be 64 hexadecimal digits in lower case"
        )
    return FileFact(size, sha256)


def _shown(value: Any) -> str:
    return repr(value)[:60]
