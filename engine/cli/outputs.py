"""The output formats of the command. Each is a generator of strings, except npy and Parquet.

Numbers have nine significant digits, enough to restore the same float32.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from engine.errors import EngineError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Block = tuple[list[str], NDArray[Any]]  # m texts and their vectors, (m, D) float32

SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".npy": "npy",
    ".parquet": "parquet", "": "jsonl",
}  # fmt: skip
STANDARD = (None, "-", "/dev/stdout")  # values of -o; standard output is never replaced by rename
BINARY = ("npy", "parquet")  # formats that are not for a terminal
PREVIEW_NUMBERS = 5
ROW_GROUP = 16  # blocks in a row group of Parquet


def jsonl(blocks: Iterable[Block]) -> Iterator[str]:
    """One JSON object per line: {"text": ..., "embedding": [...]}."""
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
    """A header `text,e0,e1,...`, then one row per text, quoted as in RFC 4180."""
    header = ",".join(["text", *(f"e{i}" for i in range(dim))]) + "\r\n"
    for texts, vectors_SD in blocks:
        for text, row in zip(texts, vectors_SD.tolist(), strict=True):
            yield f"{header}{csv_field(text)},{_numbers(row, ',')}\r\n"
            header = ""
    if header:
        yield header


def preview(blocks: Iterable[Block], dim: int, note: str) -> Iterator[str]:
    """For people: one line per text with its first numbers, then the shape and `note`."""
    count, dots = 0, " …" if dim > PREVIEW_NUMBERS else ""
    for texts, vectors_SD in blocks:
        count += len(texts)
        for text, row in zip(texts, vectors_SD[:, :PREVIEW_NUMBERS].tolist(), strict=True):
            numbers = " ".join(f"{value:7.4f}" for value in row) + dots
            yield f"{numbers}  {one_line(text, terminal_width() - len(numbers) - 3)}\n"
    yield f"({count}, {dim}) float32, {note}\nAll the numbers: in a pipe, or with -o FILE.\n"


def write_npy(file: IO[bytes], blocks: Iterable[Block], dim: int) -> None:
    """Writes one float32 array (n, D). The header is written again at the end, when n is known.

    Raises InputError if the file is a pipe.
    """
    from numpy.lib import format as npy

    def header(rows: int) -> dict[str, Any]:
        return {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}

    if not file.seekable():
        raise InputError("--format npy cannot be written to a pipe; give a file by -o FILE.")
    # numpy pads the header so that the first axis can grow, so the second header has the same size.
    npy.write_array_header_1_0(file, header(0))
    start, rows = file.tell(), 0
    for texts, vectors_SD in blocks:
        file.write(vectors_SD.astype("<f4", copy=False).tobytes())
        rows += len(texts)
    file.seek(0)
    npy.write_array_header_1_0(file, header(rows))
    if file.tell() != start:
        raise AssertionError(f"the npy header grew from {start} to {file.tell()} bytes")


def write_parquet(file: IO[bytes], blocks: Iterator[Block], dim: int) -> None:
    """Writes the columns `text` and `embedding`, a list of `dim` float32, as a job's shards do.

    Lone surrogates in a text become question marks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"text": pa.string(), "embedding": pa.list_(pa.float32(), dim)})
    packing = {"text": "zstd", "embedding.list.element": "none"}  # numbers would not shrink
    with pq.ParquetWriter(file, schema, compression=packing, use_dictionary=False) as writer:
        while group := list(itertools.islice(blocks, ROW_GROUP)):
            texts = [text.encode("utf-8", "replace") for block, _ in group for text in block]
            flat = pa.concat_arrays([pa.array(vectors_SD.reshape(-1)) for _, vectors_SD in group])
            lists = pa.FixedSizeListArray.from_arrays(flat, dim)
            writer.write_table(pa.table([pa.array(texts, pa.string()), lists], schema=schema))


def check_parquet() -> None:
    """Raises EngineError if pyarrow is missing: before the model is loaded."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise EngineError("Parquet needs pyarrow: pip install 'bge-engine[jobs]'") from error


def matrix_table(texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Iterator[str]:
    """For people: a table whose rows are the numbered texts and whose columns are their numbers."""
    room = terminal_width() - len(f"{len(texts)} ") - len("  -0.0000") * len(texts)
    labels = [f"{i} {one_line(text, min(40, room))}" for i, text in enumerate(texts, 1)]
    cells = [[label, *(f"{x:.4f}" for x in row)] for label, row in zip(labels, rows, strict=True)]
    numbers = [str(i + 1) for i in range(len(texts))]
    yield table(["", *numbers], cells, right=range(1, len(texts) + 1))


def matrix_json(texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Iterator[str]:
    """{"texts": [...], "similarity": [[...], ...]}"""
    yield f'{{"texts": [{", ".join(map(quoted, texts))}], "similarity": [\n'
    yield ",\n".join(f"[{_numbers(row, ', ')}]" for row in rows) + "\n]}\n"


def matrix_csv(texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Iterator[str]:
    """CSV with the texts in the first row and in the first column."""
    yield ",".join(["", *map(csv_field, texts)]) + "\r\n"
    for text, row in zip(texts, rows, strict=True):
        yield f"{csv_field(text)},{_numbers(row, ',')}\r\n"


def _records(blocks: Iterable[Block]) -> Iterator[str]:
    for texts, vectors_SD in blocks:
        for text, row in zip(texts, vectors_SD.tolist(), strict=True):
            yield f'{{"text": {quoted(text)}, "embedding": [{_numbers(row, ", ")}]}}'


def _numbers(row: Sequence[float], separator: str) -> str:
    if 0.0 in row:  # "%g" writes -0.0 as "-0", which JSON readers parse as the integer 0
        return separator.join(map(repr, row))
    return separator.join(["%.9g"] * len(row)) % tuple(row)


def quoted(text: str) -> str:
    """A JSON string. Non-ASCII characters are kept, unless a lone surrogate has no UTF-8."""
    plain = json.dumps(text, ensure_ascii=False)
    return plain if _has_utf8(plain) else json.dumps(text)


def csv_field(text: str) -> str:
    """A CSV field, in quotes if RFC 4180 requires them."""
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
    """The text on one line of at most `width` characters, without control characters."""
    width = max(width, 12)
    head = " ".join(text[: 4 * width].split())
    head = "".join(c if c.isprintable() else "·" for c in head)
    return head if len(head) <= width and len(text) <= 4 * width else head[: width - 1] + "…"


def terminal_width() -> int:
    """In characters; 100 if it is not known."""
    return shutil.get_terminal_size((100, 24)).columns


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Container[int] = ()) -> str:
    """A text table. right: indices of the columns that are aligned to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    layout = "  ".join(f"{{:{'>' if i in right else '<'}{w}}}" for i, w in enumerate(widths))
    return "".join(layout.format(*row).rstrip() + "\n" for row in cells)


def write_out(pieces: Iterable[str], file: IO[bytes] | None = None) -> None:
    """Writes UTF-8, whatever the locale, to `file` or standard output. Flushes each piece."""
    target = file or sys.stdout.buffer
    for piece in pieces:
        target.write(piece.encode("utf-8", "replace"))
        target.flush()


MATRICES = {"table": matrix_table, "json": matrix_json, "csv": matrix_csv}


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[IO[bytes]]:
    """Opens standard output for STANDARD, else a file that is renamed to `path` at the end.

    If an error or a signal ends the block, the file is deleted. Devices and pipes are written
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
    try:  # starts before the file exists, because a signal may come at any moment
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
    except OSError as error:  # its message names the draft, which the user does not know
        raise OSError(error.errno, error.strerror, str(target)) from error
