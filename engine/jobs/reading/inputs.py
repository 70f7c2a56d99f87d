"""Which files a job reads, what identifies them, and how they are split among readers."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.jobs.options import INPUT_FORMATS

STDIN = "-"
SPLIT_BYTES = 64 << 20
WHOLE_BYTES = 64 << 20  # larger files are fingerprinted by samples
SAMPLE_BYTES = 1 << 20
SUFFIXES = {
    ".txt": "text", ".text": "text", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
COMPRESSED = (".gz", ".zst", ".zstd", ".bz2", ".xz")


@dataclass(frozen=True)
class Source:
    """One input file (or standard input, named "-") and the format of its rows."""

    name: str
    format: str
    size: int

    def fingerprint(self) -> dict[str, Any]:
        """Return what the manifest stores of the file, to detect a change.

        Up to 64 MiB: a hash of the whole content. Above: the size, the modification time, and a
        hash of one mebibyte at the start, middle and end. Standard input: only its name; its rows
        are compared as they are read (see `shards`).
        """
        facts: dict[str, Any] = {"name": self.name, "format": self.format}
        if self.name == STDIN:
            return facts
        with Path(self.name).open("rb") as file:
            digest = hashlib.sha256()
            for start, length in _samples(self.size):
                file.seek(start)
                digest.update(file.read(length))
            if self.size > WHOLE_BYTES:
                facts["modified_ns"] = Path(self.name).stat().st_mtime_ns
        return {**facts, "size": self.size, "sha256": digest.hexdigest()}


def _samples(size: int) -> list[tuple[int, int]]:
    if size <= WHOLE_BYTES:
        return [(start, SAMPLE_BYTES) for start in range(0, size, SAMPLE_BYTES)]
    last = size - SAMPLE_BYTES
    return [(start, SAMPLE_BYTES) for start in (0, last // 2, last)]


def find(inputs: Sequence[str], format: str | None, output: str) -> list[Source]:
    """Resolve files, folders and globs to sources, in the order given and by name within each.

    A folder gives every file below it with a known suffix, except names that begin with a dot or
    an underscore. InputError: nothing found, a file named twice, an unknown format, different
    formats, or an output inside an input folder.
    """
    for item in inputs:
        if Path(item).is_dir() and Path(output).resolve().is_relative_to(Path(item).resolve()):
            raise InputError(
                f"output {output!r} is inside the input folder {item!r}, and the next "
                "run would read it; name another output"
            )
    sources = [source for item in inputs for source in _resolve(item, format)]
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            raise InputError(f"input {source.name!r} is given twice; name each file once")
        seen.add(source.name)
    formats = sorted({source.format for source in sources})
    if len(formats) > 1:
        raise InputError(
            f"the inputs are of different formats: {', '.join(formats)}; run one job for each"
        )
    return sources


def fingerprints(sources: Iterable[Source]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(Source.fingerprint, sources))


def splits(sources: Sequence[Source]) -> list[list[Source]]:
    """Group neighbouring files up to 64 MiB together; a bigger one stands alone.

    One reader reads a split from start to end. A shard never crosses splits, so the input alone
    decides which rows share a shard.
    """
    groups: list[list[Source]] = []
    filled = 0
    for source in sources:
        if not groups or filled + source.size > SPLIT_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(source)
        filled += source.size
    return groups


def _resolve(item: str, format: str | None) -> Iterator[Source]:
    if item == STDIN:
        yield Source(STDIN, format or "text", 0)
    elif Path(item).is_dir():
        yield from _folder(item, format)
    elif Path(item).exists():
        yield _source(item, format)
    elif matches := sorted(glob.glob(item, recursive=True)):  # noqa: PTH207  (absolute too)
        for match in matches:
            yield from _resolve(match, format)
    else:
        raise InputError(f"input {item!r}: no such file, folder or glob; - is standard input")


def _folder(folder: str, format: str | None) -> list[Source]:
    below = (path for path in Path(folder).rglob("*") if path.is_file())
    shown = [path for path in below if not _hidden(path.relative_to(folder))]
    wanted = sorted(str(path) for path in shown if format or format_of(path.name))
    if not wanted:
        raise InputError(
            f"folder {folder!r} has no file that ends in {', '.join(SUFFIXES)} (also with .gz, "
            ".zst, .bz2 or .xz); for other names give --input-format"
        )
    return [_source(name, format) for name in wanted]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def format_of(name: str) -> str | None:
    """Return the format for a file name, ignoring that of a compression; None if unknown."""
    path = Path(name.lower())
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    return SUFFIXES.get(path.suffix)


def _source(name: str, format: str | None) -> Source:
    if not name.isprintable():
        raise InputError(f"input {name!r}: rename it to printable UTF-8; the output stores it")
    if not Path(name).is_file():
        raise InputError(f"input {name!r} is not a file; read a pipe as standard input, -")
    known = format or format_of(name)
    if known is None:
        raise InputError(
            f"input {name!r}: unknown format of this file name; "
            f"give --input-format {'|'.join(INPUT_FORMATS)}"
        )
    return Source(name, known, Path(name).stat().st_size)
