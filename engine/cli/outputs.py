"""Vectors and tables for the command. A format is a generator of strings; npy needs a file.

Numbers are written with nine significant digits, which give back the same float32.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from engine.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Block = tuple[list[str], NDArray[Any]]  # m texts and their vectors, (m, D) float32

SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".npy": "npy",
    "": "jsonl",
}  # fmt: skip
STANDARD = (None, "-", "/dev/stdout")  # where that is a file, it is written on, not replaced
PREVIEW_NUMBERS = 5


def jsonl(blocks: Iterable[Block]) -> Iterator[str]:
    """One object a line: {"text": ..., "embedding": [...]}."""
    for record in _records(blocks):
        yield record + "\n"


def json_array(blocks: Iterable[Block]) -> Iterator[str]:
    """One array of the objects that `jsonl` writes."""
    separator = "[\n"
    for record in _records(blocks):
        yield separator + record
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def csv_rows(blocks: Iterable[Block], dim: int) -> Iterator[str]:
    """A header `text,e0,e1,...`, then one row a text, quoted as RFC 4180 says."""
    header = ",".join(["text", *(f"e{i}" for i in range(dim))]) + "\r\n"
    for texts, vectors_SD in blocks:
        for text, row in zip(texts, vectors_SD.tolist(), strict=True):
            yield f"{header}{csv_field(text)},{_numbers(row, ',')}\r\n"
            header = ""
    if header:
        yield header


def preview(blocks: Iterable[Block], dim: int, note: str) -> Iterator[str]:
    """For a person: the first numbers and the text, a line each, then the shape."""
    count, dots = 0, " …" if dim > PREVIEW_NUMBERS else ""
    for texts, vectors_SD in blocks:
        count += len(texts)
        for text, row in zip(texts, vectors_SD[:, :PREVIEW_NUMBERS].tolist(), strict=True):
            numbers = " ".join(f"{value:7.4f}" for value in row) + dots
            yield f"{numbers}  {one_line(text, terminal_width() - len(numbers) - 3)}\n"
    yield f"({count}, {dim}) float32, {note}\nAll the numbers: in a pipe, or with -o FILE.\n"


def write_npy(file: IO[bytes], blocks: Iterable[Block], dim: int) -> None:
    """One float32 array (n, D). The header is written again at the end, when n is known."""
    from numpy.lib import format as npy

    def header(rows: int) -> dict[str, Any]:
        return {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}

    if not file.seekable():
        raise InputError("--format npy needs a file as its output; a pipe cannot be rewound.")
    # numpy leaves room for the first axis to grow, so the second header fits over the first
    npy.write_array_header_1_0(file, header(0))
    start, rows = file.tell(), 0
    for texts, vectors_SD in blocks:
        file.write(vectors_SD.astype("<f4", copy=False).tobytes())
        rows += len(texts)
    file.seek(0)
    npy.write_array_header_1_0(file, header(rows))
    if file.tell() != start:
        raise AssertionError(f"the npy header grew from {start} to {file.tell()} bytes")


def matrix_table(texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Iterator[str]:
    """For a person: the texts numbered down the side, their numbers along the top."""
    labels = [f"{i} {one_line(text, 40)}" for i, text in enumerate(texts, 1)]
    cells = [[label, *(f"{x:.4f}" for x in row)] for label, row in zip(labels, rows, strict=True)]
    numbers = [str(i + 1) for i in range(len(texts))]
    yield table(["", *numbers], cells, right=range(1, len(texts) + 1))


def matrix_json(texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Iterator[str]:
    """{"texts": [...], "similarity": [[...], ...]}"""
    yield f'{{"texts": [{", ".join(map(quoted, texts))}], "similarity": [\n'
    yield ",\n".join(f"[{_numbers(row, ', ')}]" for row in rows) + "\n]}\n"


def matrix_csv(texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Iterator[str]:
    """The texts in the first row and in the first column."""
    yield ",".join(["", *map(csv_field, texts)]) + "\r\n"
    for text, row in zip(texts, rows, strict=True):
        yield f"{csv_field(text)},{_numbers(row, ',')}\r\n"


def _records(blocks: Iterable[Block]) -> Iterator[str]:
    for texts, vectors_SD in blocks:
        for text, row in zip(texts, vectors_SD.tolist(), strict=True):
            yield f'{{"text": {quoted(text)}, "embedding": [{_numbers(row, ", ")}]}}'


def _numbers(row: Sequence[float], separator: str) -> str:
    if 0.0 in row:  # "%g" makes "-0" of -0.0, which a JSON reader takes for the whole number 0
        return separator.join(map(repr, row))
    return separator.join(["%.9g"] * len(row)) % tuple(row)


def quoted(text: str) -> str:
    """JSON as people read it; escaped where a lone surrogate has no UTF-8."""
    plain = json.dumps(text, ensure_ascii=False)
    return plain if _has_utf8(plain) else json.dumps(text)


def csv_field(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str, width: int) -> str:
    """The text on one line of a terminal, without its control characters."""
    width = max(width, 12)
    head = " ".join(text[: 4 * width].split())
    head = "".join(c if c.isprintable() else "·" for c in head)
    return head if len(head) <= width and len(text) <= 4 * width else head[: width - 1] + "…"


def terminal_width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Container[int] = ()) -> str:
    """Columns as wide as their widest cell; those numbered in `right` are flush right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    layout = "  ".join(f"{{:{'>' if i in right else '<'}{w}}}" for i, w in enumerate(widths))
    return "".join(layout.format(*row).rstrip() + "\n" for row in cells)


def write_out(pieces: Iterable[str], file: IO[bytes] | None = None) -> None:
    """UTF-8 whatever the locale, to `file` or standard output; each piece can be read at once."""
    target = file or sys.stdout.buffer
    for piece in pieces:
        target.write(piece.encode("utf-8", "replace"))
        target.flush()


MATRICES = {"table": matrix_table, "json": matrix_json, "csv": matrix_csv}


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[IO[bytes]]:
    """Standard output for STANDARD; else a file that has its name only when it is complete.

    Whatever ends the block early, nothing is left of the file. Devices and pipes are written
    directly.
    """
    if path in STANDARD:
        yield sys.stdout.buffer
        return
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:  # from before the file exists: a signal may come at any moment
        with _create(draft, target) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _create(draft: Path, target: Path) -> IO[bytes]:
    try:
        return draft.open("xb")
    except OSError as error:  # names the draft, of which the user knows nothing
        raise OSError(error.errno, error.strerror, str(target)) from error
