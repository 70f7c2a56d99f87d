"""Lines of bounded length, and the rows of text files: each line, or the whole file."""

from collections.abc import Iterator
from typing import BinaryIO

from engine.errors import InputError
from engine.jobs.options import Fields
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow, Rows

MAX_ROW_BYTES = 16 << 20
NUL = "a NUL byte, as in a damaged file, or in UTF-16 (for that give --encoding utf-16-le)"


def raw_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield lines with their ends; None for one that is longer than MAX_ROW_BYTES."""
    while raw := stream.readline(MAX_ROW_BYTES):
        if len(raw) == MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_ROW_BYTES)
            yield None
        else:
            yield raw


def lines(stream: BinaryIO) -> Iterator[tuple[int, str | BadRow]]:
    """Number and decode lines. Only \\n ends a line; a \\r before it is removed."""
    for number, raw in enumerate(raw_lines(stream)):
        if raw is None:
            yield number, BadRow(too_long("line"))
        else:
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            yield number, _decode(line, "line", first=not number)


def too_long(what: str) -> str:
    return f"the {what} is longer than {MAX_ROW_BYTES >> 20} MiB"


def _decode(raw: bytes, what: str, first: bool) -> str | BadRow:
    if b"\0" in raw:
        return BadRow(f"the {what} holds {NUL}")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return BadRow(f"not UTF-8: byte 0x{raw[error.start]:02x} at {error.start}")
    return text.removeprefix("\ufeff") if first else text


def text_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    _check_columns(source, fields)
    for number, line in lines(stream):
        yield number, line if isinstance(line, BadRow) else {"text": line}


def document_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    """One row: the whole file."""
    _check_columns(source, fields)
    raw = stream.read(MAX_ROW_BYTES + 1)
    too_large = len(raw) > MAX_ROW_BYTES
    text = BadRow(too_long("file")) if too_large else _decode(raw, "file", first=True)
    yield 0, text if isinstance(text, BadRow) else {"text": text}


def _check_columns(source: Source, fields: Fields) -> None:
    known = {"text", *source.partitions}
    if unknown := set(fields.text.columns + fields.carried) - known:
        raise InputError(
            f"input {source.name!r} is plain text, whose only column is 'text'; it has no "
            f"{sorted(unknown)[0]!r}. For other formats give --input-format."
        )
