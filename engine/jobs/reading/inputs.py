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
WHOLE_BYTES = 64 << 20  # files up to this size are fingerprinted whole
SAMPLE_BYTES = 1 << 20
SUFFIXES = {
    ".txt": "text", ".text": "text", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
COMPRESSED = (".gz", ".zst", ".zstd")


@dataclass(frozen=True)
class Source:
    """One input file (or standard input, named "-") and the format of its rows."""

    name: str
    format: str
    size: int

    def fingerprint(self) -> dict[str, Any]:
        """Return what the manifest remembers of the file, so that a changed one is noticed.

        Up to 64 MiB the whole content counts; of a longer file its size, its time of modification
        and a mebibyte at its start, middle and end. Standard input is only known by its name: its
        rows are compared as they pass (see `shards`).
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

    A folder gives every file below it whose name tells its format, but for hidden ones and those
    that begin with an underscore. InputError: nothing there, a file that is named twice, a format
    that cannot be told, formats that differ, or an output within an input folder.
    """
    for item in inputs:
        if Path(item).is_dir() and Path(output).resolve().is_relative_to(Path(item).resolve()):
            raise InputError(
                f"output {output!r} lies in the input folder {item!r}, which the next "
                "run would read; put it elsewhere"
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

    A split is what one reader reads from start to end. Shards never cross its borders, so which
    rows share a shard follows from the input alone, whoever reads it.
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
            f"folder {folder!r} holds no file that ends in {', '.join(SUFFIXES)} (also with .gz or "
            ".zst); for other names say --input-format"
        )
    return [_source(name, format) for name in wanted]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def format_of(name: str) -> str | None:
    """Tell the format from a file's name, looking behind .gz or .zst; None when it does not say."""
    path = Path(name.lower())
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    return SUFFIXES.get(path.suffix)


def _source(name: str, format: str | None) -> Source:
    if not name.isprintable():
        raise InputError(f"input {name!r}: give it a name of printable UTF-8; it goes into files")
    if not Path(name).is_file():
        raise InputError(f"input {name!r} is not a file; a pipe can be read as standard input, -")
    known = format or format_of(name)
    if known is None:
        raise InputError(
            f"input {name!r}: its name does not tell its format; "
            f"say --input-format {'|'.join(INPUT_FORMATS)}"
        )
    return Source(name, known, Path(name).stat().st_size)
