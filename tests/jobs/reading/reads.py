"""What is read of a file, as tests compare it."""

from dataclasses import replace
from pathlib import Path

from engine.jobs.options import Dialect, parse_fields
from engine.jobs.reading.inputs import find
from engine.jobs.reading.readers import blocks
from engine.jobs.reading.row_text import BadRow
from engine.jobs.reading.rows import with_types


def read(
    path: Path,
    text: str = "text",
    *,
    id: str | None = None,
    keep: str = "",
    null: str = "reject",
    format: str | None = None,
    **dialect: str,
) -> tuple[list[str], dict[int, str], list[dict[str, object]]]:
    """Return texts, reason by row of rejected rows, and the copied columns of the texts."""
    sources = find([str(path)], format, "elsewhere", replace(Dialect(), **dialect))
    fields = with_types(sources, parse_fields(text, id, keep.split(",") if keep else [], null))
    texts, reasons, columns = [], {}, []
    for source in sources:
        for block in blocks(source, fields):
            carried = block.columns.to_pylist() or [{}] * len(block.rows)
            for row, value, copied in zip(block.rows, block.texts, carried, strict=True):
                if isinstance(value, BadRow):
                    reasons[row] = value.reason
                else:
                    texts.append(value)
                    columns.append(copied)
    return texts, reasons, columns


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
