"""Rows of JSON: an object on each line, or one array of objects."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from engine.errors import EngineError
from engine.jobs.options import Fields
from engine.jobs.reading import lines
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow, Rows, Values

CHUNK = 1 << 20  # characters
BLANK = re.compile(r"[ \t\r\n]*")


def jsonl_rows(stream: io.BufferedReader, source: Source, fields: Fields) -> Rows:
    """Read lines, or an array if the file begins with "[".

    EngineError: the array is malformed, so where its next row begins is not known.
    """
    parser = _Parser()
    if stream.peek(CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        yield from enumerate(_array_rows(stream, source, parser))
        return
    for number, line in lines.lines(stream):
        if isinstance(line, BadRow):
            yield number, line
        elif line and not line.isspace():
            yield number, parser.line(line)


class _Parser:
    """Parses rows, and rejects objects that hold a key twice: one of the values would be lost."""

    def __init__(self) -> None:
        self._twice: str | None = None
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def line(self, line: str) -> Values:
        self._twice = None
        try:
            return self._row(self._decoder.decode(line))
        except json.JSONDecodeError as error:
            return BadRow(f"malformed JSON: {error.msg} at character {error.pos}")
        except (ValueError, RecursionError) as error:
            return BadRow(f"malformed JSON: {error}")

    def element(self, text: str, start: int) -> tuple[Values, int]:
        """Return the row that begins at `start`, and where it ends; errors as of JSONDecoder."""
        self._twice = None
        value, end = self._decoder.raw_decode(text, start)
        return self._row(value), end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            self._twice = next(name for name in names if names.count(name) > 1)
        return made

    def _row(self, value: object) -> Values:
        if not isinstance(value, dict):
            return BadRow(f"the row is a JSON {type(value).__name__}, not an object")
        if self._twice is not None:
            return BadRow(f"the key {self._twice!r} is there twice")
        return value


def _array_rows(stream: io.BufferedReader, source: Source, parser: _Parser) -> Iterator[Values]:
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape")
    row = 0
    try:
        for values in _elements(text, parser):
            yield values
            row += 1
    except (ValueError, RecursionError) as error:
        raise EngineError(
            f"input {source.name!r}: the JSON array is malformed at row {row}: {error}. Repair it, "
            "or write one object a line (JSON lines): then only bad rows are rejected."
        ) from error
    finally:
        text.detach()  # otherwise it would close the caller's stream


def _elements(text: io.TextIOWrapper, parser: _Parser) -> Iterator[Values]:
    """Yield the elements of an array. ValueError: it is malformed."""
    buffer, mark = text.read(CHUNK), "["
    at = _skip_blank(buffer, 0) + 1
    while mark != "]":
        try:
            begin = _skip_blank(buffer, at)
            if mark == "[" and buffer[begin] == "]":
                end, values = begin, None
            else:
                values, end = parser.element(buffer, begin)
                end = _skip_blank(buffer, end)
            mark = buffer[end]
        except (ValueError, IndexError) as error:
            size = len(buffer) - at
            more = text.read(max(CHUNK, size)) if size <= lines.MAX_ROW_BYTES else ""
            if not more:
                raise ValueError(_why(error, size)) from error
            buffer, at = buffer[at:] + more, 0
            continue
        if mark not in ",]":
            raise ValueError(f"{mark!r} follows a row, not a comma or ]")
        if values is not None:
            yield values
        at = end + 1
    if (buffer[at:] + text.read(CHUNK)).strip():
        raise ValueError("more data follows the end of the array")


def _skip_blank(text: str, at: int) -> int:
    match = BLANK.match(text, at)
    assert match  # it also matches nothing
    return match.end()


def _why(error: Exception, size: int) -> str:
    if size > lines.MAX_ROW_BYTES:
        return lines.too_long("row")
    return error.msg if isinstance(error, json.JSONDecodeError) else "it ends too early"
