"""Lines of bounded length, and the rows of text files."""

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
        elif b"\0" in raw:
            yield number, BadRow(f"the line holds {NUL}")
        else:
            yield number, _decode(raw.removesuffix(b"\n").removesuffix(b"\r"), first=not number)


def too_long(what: str) -> str:
    return f"the {what} is longer than {MAX_ROW_BYTES >> 20} MiB"


def _decode(raw: bytes, first: bool = False) -> str | BadRow:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return BadRow(f"not UTF-8: byte 0x{raw[error.start]:02x} at {error.start}")
    return text.removeprefix("\ufeff") if first else text


def text_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    known = {"text", *source.partitions}
    if unknown := set(fields.text.columns + fields.carried) - known:
        raise InputError(
            f"input {source.name!r} is text lines, whose only column is 'text'; it has no "
            f"{sorted(unknown)[0]!r}. For other formats give --input-format."
        )
    for number, line in lines(stream):
        yield number, line if isinstance(line, BadRow) else {"text": line}
