"""What the journal says of a completed shard."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from engine.jobs.writing.shards import Key


class Content(NamedTuple):
    """What identifies the bytes of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: Any) -> "Content":
        view = memoryview(data)
        return cls(view.nbytes, hashlib.sha256(view).hexdigest())

    def is_in(self, path: Path) -> bool:
        """Whether the file is there and holds these bytes."""
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except (FileNotFoundError, IsADirectoryError):
            return False


@dataclass(frozen=True, slots=True)  # a long job holds millions
class Record:
    """The journal entry of a completed shard: counts, digest of its rows, and its files."""

    key: Key
    last: bool
    rows: int
    tokens: int
    cut: int
    rejects: int
    size: int
    digest: str
    files: dict[str, Content]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> "Record":
        """Parse a line of `to_json`; ValueError, TypeError or KeyError if it is invalid."""
        values = json.loads(line)
        split, part = values["key"]
        files = {name: Content(*content) for name, content in dict(values["files"]).items()}
        record = cls(**{**values, "key": Key(split, part), "files": files})
        for each in fields(record):
            value = getattr(record, each.name)
            if type(value) is not (get_origin(each.type) or each.type):
                raise TypeError(f"{each.name} is {value!r}, not of type {each.type}")
        numbers = [split, part, *(content.size for content in files.values())]
        hashes = [content.sha256 for content in files.values()]
        if not (
            all(type(number) is int and number >= 0 for number in numbers)
            and all(type(digest) is str for digest in hashes)
        ):
            raise ValueError(f"key {values['key']!r} or files {values['files']!r} are not valid")
        return record
