"""The inputs of the command: a model, and texts.

Texts come from arguments, from the lines of a file, or from a field of JSON lines, CSV or TSV. What
needs a library (Parquet, compressed files) or is rare (an array of JSON) is read as `bge job` does.
"""

from __future__ import annotations

import csv
import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import engine
from engine import jobs
from engine.errors import InputError

if TYPE_CHECKING:
    import _csv

    from engine import Embedder

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SEPARATORS = {"csv": ",", "tsv": "\t"}
MAX_FIELD = 16 << 20  # characters of a CSV field; limits memory if a quote is never closed
NOT_TEXT = {  # suffixes of other formats, and what to do instead
    ".zip .7z .tar .tgz .lz4 .br .z": "unpack it first",
    ".arrow .feather .orc .avro .npy .npz .sqlite .db": "convert it to .jsonl or .csv first",
    ".xlsx .xls .ods .pdf .docx .doc .odt": "save it as .csv, or as plain text, first",
}
BINARY = {suffix: remedy for names, remedy in NOT_TEXT.items() for suffix in names.split()}


def load_model(options: Namespace) -> Embedder:
    """Loads the model with the options --model, --precision, --threads and --offline."""
    return engine.load(
        options.model,
        precision=options.precision,
        threads=options.threads,
        offline=options.offline,
    )


def open_texts(arguments: list[str], file: str | None, field: str | None) -> Iterator[str]:
    """The texts in order.

    A file is opened at once, so a wrong name is reported before the model is loaded. Raises
    InputError for a file format that is not supported. While texts are read, it raises InputError
    for a line that is not UTF-8, not JSON or CSV, or has no string in `field`.
    """
    if file is None and arguments != ["-"]:
        return iter(arguments)
    if file in (None, "-"):
        if sys.stdin is None:
            raise InputError("Standard input is closed, so no texts can be read from it.")
        return _texts(sys.stdin.buffer, "standard input", field)
    suffix = Path(file).suffix.lower()
    if suffix in BINARY:
        raise InputError(f"{file}: {suffix} files are not supported; {BINARY[suffix]}.")
    format = jobs.format_of(file) or "text"
    if format in ("text", "document") and field is not None:
        format = "jsonl"
    if format == "parquet" or jobs.is_compressed(file):
        return jobs.texts(file, field or "text", format)
    lines = _open(file)
    if suffix == ".json" and lines.peek(1).removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"[":
        lines.close()
        return jobs.texts(file, field or "text", format)
    if format == "document":
        return _decoded([lines.read()], file)
    if format in SEPARATORS:
        return _csv_texts(lines, file, field or "text", SEPARATORS[format])
    if field is None and format == "jsonl":
        field = "text"
    return _texts(lines, file, field)


def _open(file: str) -> BufferedReader:
    return Path(file).open("rb")


def _texts(lines: Iterable[bytes], name: str, field: str | None) -> Iterator[str]:
    for number, line in enumerate(_decoded(lines, name), 1):
        line = line.removesuffix("\n").removesuffix("\r")
        if field is None:
            yield line
        elif line.strip():
            yield _field(line, field, f"{name}, line {number}")


def _csv_texts(lines: Iterable[bytes], name: str, field: str, separator: str) -> Iterator[str]:
    """The texts of the column `field` of a CSV file (RFC 4180) with a header."""
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(_decoded(lines, name), delimiter=separator, strict=True)
    header = next(_records(reader, name), ("", []))[1]
    if header.count(field) != 1:
        there = "two or more columns" if field in header else "no column"
        names = ", ".join(map(repr, header)) or "none"
        raise InputError(
            f"{name}, line 1: {there} {field!r}; its columns are: {names}. Choose one by --field."
        )
    column = header.index(field)
    for where, row in _records(reader, name):
        if len(row) != len(header):
            raise InputError(
                f"{where}: {len(row)} fields; it must have {len(header)}, like the header."
            )
        yield row[column]


def _records(reader: _csv.Reader, name: str) -> Iterator[tuple[str, list[str]]]:
    """(place, record) for each record. The place is its first line. Blank lines are skipped."""
    while True:
        where = f"{name}, line {reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{where}: not CSV ({error}). A field in quotes must end with a quote, and quotes "
                'inside it must be doubled: "".'
            ) from error
        if row is None:
            return
        if row:
            yield where, row


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines as text, with their line ends. A byte order mark of the file is removed."""
    for number, raw in enumerate(lines, 1):
        yield _decode(raw, f"{name}, line {number}", first=number == 1)


def _decode(raw: bytes, where: str, *, first: bool) -> str:
    if first:
        raw = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {raw[error.start]:#04x} at column {error.start + 1}"
        raise InputError(
            f"{where}: not UTF-8 ({byte}). Convert the file, for example: iconv -f latin1 -t utf-8"
        ) from error


def _field(line: str, field: str, where: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); it must be one JSON object.") from error
    if not isinstance(row, dict):
        raise InputError(
            f"{where}: a {type(row).__name__}; it must be an object with the field {field!r}."
        )
    if field not in row:
        fields = ", ".join(map(repr, row)) or "none"
        raise InputError(
            f"{where}: no field {field!r}; its fields are: {fields}. Choose one by --field."
        )
    text = row[field]
    if not isinstance(text, str):
        raise InputError(f"{where}: {field!r} is a {type(text).__name__}; it must be a string.")
    return text
