"""Read each format as a stream of blocks, in bounded memory; bad rows are kept and marked."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from engine.errors import InputError
from engine.jobs.options import Fields
from engine.jobs.pipeline import POLL_SECONDS, check
from engine.jobs.reading.blocks import BLOCK_ROWS, BUFFER_BYTES, Block, check_columns, reading
from engine.jobs.reading.inputs import STDIN, Source
from engine.jobs.reading.row_text import BadRow, Values, text_and_carried

if TYPE_CHECKING:
    import _csv

MAX_ROW_BYTES = 16 << 20
CSV_DIALECTS: dict[str, dict[str, Any]] = {
    "csv": {"delimiter": ","},
    "tsv": {"delimiter": "\t"},
    "tsv-unquoted": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # zstd's frames that hold no data may come first


def blocks(source: Source, fields: Fields) -> Iterator[Block]:
    """Read one source from start to end.

    InputError: a column is missing or duplicate. EngineError: the file is damaged or unreadable.
    """
    with reading(source):
        if source.format == "parquet":  # other formats do not need this library
            from engine.jobs.reading.columnar import parquet_blocks

            yield from parquet_blocks(source, fields)
        else:
            yield from _line_blocks(source, fields)


@dataclass
class _Gathered:
    """The rows of the next block."""

    rows: list[int] = field(default_factory=list)
    texts: list[str | BadRow] = field(default_factory=list)
    carried: list[list[str | None]] = field(default_factory=list)

    def block(self, source: Source, fields: Fields, position: int) -> Block:
        columns = [
            pa.array(list(column), pa.string()) for column in zip(*self.carried, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, names=list(fields.carried))
        return Block(source, self.rows, self.texts, batch, position)


def _line_blocks(source: Source, fields: Fields) -> Iterator[Block]:
    with open_stream(source.name) as (stream, position):
        gathered = _Gathered()
        for row, values in ROWS[source.format](stream, source, fields):
            text, carried = text_and_carried(values, fields)
            gathered.rows.append(row)
            gathered.texts.append(text)
            gathered.carried.append(carried)
            if len(gathered.rows) == BLOCK_ROWS:
                yield gathered.block(source, fields, position())
                gathered = _Gathered()
        if gathered.rows:
            yield gathered.block(source, fields, position())


@contextmanager
def open_stream(name: str) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """Open a file (or standard input), decompressed; also a function for the position in bytes."""
    with io.BufferedReader(_Stdin() if name == STDIN else io.FileIO(name), BUFFER_BYTES) as raw:
        unpacked = _unpacked(raw, raw.peek(6)[:6])
        stream: Any = raw if unpacked is None else io.BufferedReader(unpacked, BUFFER_BYTES)
        yield stream, (lambda: 0) if name == STDIN else raw.tell


def _unpacked(raw: Any, magic: bytes) -> Any:
    """The decompressed stream, by the first bytes; None if they are of no compression."""
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw)
    if magic[:3] == b"BZh":
        return bz2.BZ2File(raw)
    if magic == b"\xfd7zXZ\0":
        return lzma.LZMAFile(raw)
    if magic[:4] == b"\x28\xb5\x2f\xfd" or int.from_bytes(magic[:4], "little") in SKIPPABLE:
        return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    return None


class _Stdin(io.RawIOBase):
    """Standard input that lets a pipeline shut down while it waits for data."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not select.select([0], [], [], POLL_SECONDS)[0]:
            check()
        return os.readv(0, [buffer])


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str | BadRow]]:
    """Number and decode lines. Only \\n ends a line; a \\r before it is removed."""
    number = 0
    while raw := stream.readline(MAX_ROW_BYTES):
        if len(raw) == MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_ROW_BYTES)
            yield number, BadRow(f"the line is longer than {MAX_ROW_BYTES >> 20} MiB")
        else:
            yield number, _decode(raw.removesuffix(b"\n").removesuffix(b"\r"), first=not number)
        number += 1


def _decode(raw: bytes, first: bool = False) -> str | BadRow:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return BadRow(f"not UTF-8: byte 0x{raw[error.start]:02x} at {error.start}")
    return text.removeprefix("\ufeff") if first else text


Rows = Iterator[tuple[int, Values]]


def _text_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    if unknown := set(fields.text.columns + fields.carried) - {"text"}:
        raise InputError(
            f"input {source.name!r} is text lines, whose only column is 'text'; it has no "
            f"{sorted(unknown)[0]!r}. For other formats give --input-format."
        )
    for number, line in _lines(stream):
        yield number, line if isinstance(line, BadRow) else {"text": line}


def _jsonl_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    for number, line in _lines(stream):
        if isinstance(line, BadRow):
            yield number, line
        elif line and not line.isspace():
            yield number, _parse_json(line)


def _parse_json(line: str) -> Values:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return BadRow(f"malformed JSON: {error.msg} at character {error.pos}")
    except (ValueError, RecursionError) as error:
        return BadRow(f"malformed JSON: {error}")
    if not isinstance(value, dict):
        return BadRow(f"the line is a JSON {type(value).__name__}, not an object")
    return value


def _csv_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _csv_records(lines, source, fields)
    finally:
        lines.detach()  # otherwise it would close the caller's stream


def _csv_records(lines: io.TextIOWrapper, source: Source, fields: Fields) -> Rows:
    reader = csv.reader(lines, strict=True, **CSV_DIALECTS[source.format])
    header = next(_records(reader), (0, 0, []))[2]
    if isinstance(header, BadRow):
        raise InputError(f"input {source.name!r}: its header is not usable: {header.reason}")
    check_columns(source, fields, header)
    for number, (first, last, record) in enumerate(_records(reader)):
        values = record if isinstance(record, BadRow) else _named_fields(header, record)
        if isinstance(values, BadRow) and last > first:
            raise InputError(
                f"input {source.name!r}, lines {first} to {last}: {values.reason}. A quote opened "
                "there and not closed would swallow these rows. Close it, double quotes inside a "
                "field, or read a file without quoting as --input-format tsv-unquoted."
            )
        yield number, values


def _records(reader: "_csv.Reader") -> Iterator[tuple[int, int, list[str] | BadRow]]:
    """Each record with its first and last line, without blank lines; the reader continues after a
    malformed one."""
    while True:
        first = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            yield first, reader.line_num, BadRow(f"malformed CSV: {error}")
            continue
        if record is None:
            return
        if record:
            yield first, reader.line_num, record


def _named_fields(header: list[str], record: list[str]) -> Values:
    if len(record) != len(header):
        return BadRow(f"the row has {len(record)} fields, the header {len(header)}")
    return dict(zip(header, record, strict=True))


ROWS = {"text": _text_rows, "jsonl": _jsonl_rows, **dict.fromkeys(CSV_DIALECTS, _csv_rows)}
