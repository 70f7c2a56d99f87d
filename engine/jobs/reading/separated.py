"""Rows of CSV and TSV files, where a quote that is not closed loses no other row in silence."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Self

from engine.errors import InputError
from engine.jobs.options import Fields
from engine.jobs.reading import lines
from engine.jobs.reading.blocks import check_columns
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow, Rows, Values

SEPARATORS = {"csv": ",", "tsv": "\t"}


def csv_rows(stream: BinaryIO, source: Source, fields: Fields) -> Rows:
    csv.field_size_limit(lines.MAX_ROW_BYTES)
    records = _Records(stream, source)
    header = next(records, [])
    if isinstance(header, BadRow):
        raise InputError(f"input {source.name!r}: the header is not valid: {header.reason}")
    check_columns(source, fields, [*header, *(source.partitions.keys() - set(header))])
    records.columns = len(header)
    for number, record in enumerate(records):
        yield number, _named_fields(header, record, records.where)


def _named_fields(header: list[str], record: list[str] | BadRow, where: str) -> Values:
    if isinstance(record, BadRow):
        return record
    if len(record) != len(header):
        return BadRow(f"{where}: the row has {len(record)} fields, the header {len(header)}")
    if record == header:
        return BadRow(f"{where}: the header again")
    if any("\0" in value for value in record):
        return BadRow(f"{where}: the row holds {lines.NUL}")
    return dict(zip(header, record, strict=True))


class _Records:
    """Iterate over records without blank lines; BadRow for one that is malformed.

    A record fails where its quotes do not match, often some lines after the wrong quote. If each of
    these lines makes a row, only the first line of the record is rejected; otherwise all but the
    last, which may begin the next row, are rejected together. `columns`: how many fields a row has.
    """

    def __init__(self, stream: BinaryIO, source: Source) -> None:
        dialect = source.dialect
        self.columns = 0
        self._quoting = csv.QUOTE_NONE if dialect.quoting == "none" else csv.QUOTE_MINIMAL
        self._delimiter = dialect.delimiter or SEPARATORS[source.format]
        self._lines = _Lines(stream)
        self._reader = self._new_reader(self._lines)

    def _new_reader(self, source: Iterator[str]) -> Iterator[list[str]]:
        return csv.reader(
            source,
            delimiter=self._delimiter,
            quoting=self._quoting,  # type: ignore[arg-type]
            strict=True,
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[str] | BadRow:
        while True:
            self._lines.begin_record()
            try:
                record = next(self._reader)
            except csv.Error as error:
                return self._recover(str(error))
            if record:
                return record

    @property
    def where(self) -> str:
        """The lines of the record that was read last."""
        first, last = self._lines.first, self._lines.last
        return f"line {first}" if first >= last else f"lines {first} to {last}"

    def _recover(self, error: str) -> BadRow:
        taken = self._lines.taken
        if len(taken) > 1:
            bad = 1 if self._are_rows(taken[1:]) else len(taken) - 1
            self._lines.put_back(taken[bad:])
        return BadRow(f"{self.where}: malformed CSV: {error} (see --quoting)")

    def _are_rows(self, texts: Sequence[str]) -> bool:
        """Whether each line is a row, and the last one that or the beginning of one.

        False if there is one column: then any line would be a row, and that tells nothing.
        """
        *middle, last = map(self._fields, texts)
        if self.columns == 1 or last not in (0, self.columns):
            return False
        return all(count == self.columns for count in middle)

    def _fields(self, text: str) -> int:
        """Return the number of fields of a line, 0 if it is malformed or goes on."""
        try:
            return len(next(self._new_reader(iter([text]))))
        except csv.Error:
            return 0


class _Lines:
    """Lines for csv.reader, which can be put back. Lines end with \\n, \\r\\n or \\r.

    csv.Error: a record is longer than MAX_ROW_BYTES.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._raw = lines.raw_lines(stream)
        self._next: deque[str] = deque()
        self.taken: list[str] = []
        self.first, self.last, self._size = 1, 0, 0

    def begin_record(self) -> None:
        self.taken, self._size, self.first = [], 0, self.last + 1

    def put_back(self, taken: list[str]) -> None:
        self._next.extendleft(reversed(taken))
        self.last -= len(taken)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if not self._next:
            raw = next(self._raw)
            self._next.extend([""] if raw is None else self._split(raw))
        line = self._next.popleft()
        self.last += 1
        self.taken.append(line)
        self._size += len(line)
        if not line or self._size > lines.MAX_ROW_BYTES:
            raise csv.Error(lines.too_long("row"))
        return line

    def _split(self, raw: bytes) -> list[str]:
        text = raw.decode(errors="surrogateescape")
        if not self.last:
            text = text.removeprefix("\ufeff")
        return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
