"""The texts of a file, for callers that need no ids, no shards and no rejected rows."""

from collections.abc import Iterator

from engine.errors import InputError
from engine.jobs.options import Fields, Template
from engine.jobs.reading.inputs import Source, find
from engine.jobs.reading.readers import blocks
from engine.jobs.reading.row_text import BadRow


def texts_of(file: str, column: str, format: str) -> Iterator[str]:
    """Find the file (or the files of a folder) at once, and read it as texts are taken."""
    fields = Fields(Template(("", ""), (column,)), None, ())
    return _texts(find([file], format, output=""), fields)


def _texts(sources: list[Source], fields: Fields) -> Iterator[str]:
    for source in sources:
        for block in blocks(source, fields):
            for row, text in zip(block.rows, block.texts, strict=True):
                if isinstance(text, BadRow):
                    raise InputError(f"{source.name}, row {row} (from 0): {text.reason}.")
                yield text
