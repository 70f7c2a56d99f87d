"""Which files a job reads, what identifies them, and how they are split among readers."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engine.errors import InputError
from engine.jobs.options import INPUT_FORMATS, Dialect

STDIN = "-"
DEFAULT = Dialect()
SPLIT_BYTES = 64 << 20
WHOLE_BYTES = 64 << 20  # larger files are fingerprinted by samples
SAMPLE_BYTES = 1 << 20
DOCUMENTS = (".md", ".markdown")
SUFFIXES = {
    ".txt": "text", ".text": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet",
    **dict.fromkeys(DOCUMENTS, "document"),
}  # fmt: skip
TABLES = ("jsonl", "csv", "tsv", "parquet")
COMPRESSED = (".gz", ".zst", ".zstd", ".bz2", ".xz")
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Source:
    """One input file (or standard input, named "-") and the format of its rows."""

    name: str
    format: str
    size: int
    dialect: Dialect = DEFAULT

    @property
    def partitions(self) -> dict[str, str | None]:
        """The columns that folders of the path give: "lang=en/a.csv" has lang, with value "en"."""
        pairs = [part.partition("=") for part in Path(self.name).parts[:-1] if "=" in part]
        named = {unquote(name): unquote(value) for name, _, value in pairs if name}
        return {key: None if value == NULL_PARTITION else value for key, value in named.items()}

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


def find(
    inputs: Sequence[str], format: str | None, output: str, dialect: Dialect = DEFAULT
) -> list[Source]:
    """Resolve files, folders and globs to sources, in the order given and by name within each.

    A folder gives every file below it with a known suffix, except names that begin with a dot or
    an underscore, and .json and .md files that describe others. InputError: nothing found, a file
    named twice, an unknown format, different formats, an option for another format, or an output
    inside an input folder.
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
            f"the inputs are of different formats: {', '.join(formats)}; run one job for each, or "
            "give --input-format"
        )
    for source in sources[:1]:
        _check_dialect(source.format, dialect)
    return [replace(source, dialect=dialect) for source in sources]


def _check_dialect(format: str, dialect: Dialect) -> None:
    if format not in ("csv", "tsv") and (dialect.delimiter or dialect.quoting):
        raise InputError(f"--delimiter and --quoting are for csv and tsv; the inputs are {format}")
    if format == "parquet" and dialect.encoding:
        raise InputError("--encoding is for text; the inputs are parquet, which says how it is")


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
    wanted = wanted if format else _without_descriptions(wanted)
    if not wanted:
        raise InputError(
            f"folder {folder!r} has no file that ends in {', '.join(SUFFIXES)} (also followed by "
            f"{', '.join(COMPRESSED)}); for other names give --input-format"
        )
    return [_source(name, format) for name in wanted]


def _without_descriptions(names: list[str]) -> list[str]:
    """Leave out files that describe the data beside them: README.md, and .json beside others."""
    suffixes = {_suffix(name) for name in names}
    without = set(DOCUMENTS) if any(SUFFIXES[each] in TABLES for each in suffixes) else set()
    if suffixes - {".json", *DOCUMENTS}:
        without.add(".json")
    return [name for name in names if _suffix(name) not in without]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def format_of(name: str) -> str | None:
    """Return the format for a file name, ignoring those of COMPRESSED; None if unknown."""
    return SUFFIXES.get(_suffix(name))


def _suffix(name: str) -> str:
    path = Path(name.lower())
    return (path.with_suffix("") if is_compressed(name) else path).suffix


def is_compressed(name: str) -> bool:
    """Return whether the name says so; what is read is decided by the content."""
    return Path(name.lower()).suffix in COMPRESSED


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
