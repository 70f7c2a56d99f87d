"""The vectors of a shard as arrays: mapped from the file where its layout allows, else decoded.

A mapped array takes no memory of its own: the system keeps as much of the file as fits. Files that
`bge job` writes can be mapped, except int8 in Parquet and shards of more than 64 MiB in Parquet.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import engine
from engine.errors import EngineError
from engine.jobs.options import EMBEDDING, SCALE

NUMBERS = f"{EMBEDDING}.list.element"
# The beginning of a Parquet page header, in Thrift's compact protocol: the bytes that announce its
# fields, each followed by an integer: page type, size, compressed size, checksum; then, in a
# structure, the count of values and their encoding.
FIELDS = (b"\x15", b"\x15", b"\x15", b"\x15", b"\x1c\x15", b"\x15")
DATA_PAGE, PLAIN = 0, 0
LONGEST_HEADER = 64


class Vectors(NamedTuple):
    """Vectors (n, D) in the type of the output; int8 comes with scales (n,), others with None."""

    values: NDArray[Any]
    scales: NDArray[np.float32] | None

    def rows(self, part: slice | NDArray[np.int64]) -> "Vectors":
        return Vectors(self.values[part], None if self.scales is None else self.scales[part])


def joined(parts: Sequence[Vectors]) -> Vectors:
    """Put the rows of all parts, at least one, after each other."""
    scales = [part.scales for part in parts if part.scales is not None]
    values = np.concatenate([part.values for part in parts])
    return Vectors(values, np.concatenate(scales) if scales else None)


def convert(vectors: NDArray[np.float32], dtype: str) -> Vectors:
    """Convert vectors (n, D) to the type of an output."""
    if dtype == "int8":
        return Vectors(*engine.quantize(vectors, "int8"))
    return Vectors(vectors.astype(dtype, copy=False), None)


class Source:
    """The vectors of one shard, which `read` returns as often as it is called.

    stem: the path of its files without the suffix; manifest: that of the output.
    """

    def __init__(self, stem: Path, rows: int, manifest: dict[str, Any]) -> None:
        self._stem, self._shape = stem, (rows, int(manifest["dim"]))
        self._dtype = np.dtype(manifest["dtype"])
        self._mapped: Vectors | None = None
        if manifest["format"] == "npy":
            self._mapped = self._npy()
        elif self._dtype != np.int8:
            self._mapped = self._parquet_page()

    def read(self) -> Vectors:
        return self._mapped or self._decoded()

    def _file(self, suffix: str) -> Path:
        return self._stem.with_name(self._stem.name + suffix)

    def _npy(self) -> Vectors:
        values = _mapped_npy(self._file(".npy"), self._dtype, self._shape)
        if self._dtype != np.int8:
            return Vectors(values, None)
        path = self._file(".scale.npy")
        return Vectors(values, _mapped_npy(path, np.dtype(np.float32), self._shape[:1]))

    def _parquet_page(self) -> Vectors | None:
        """The vectors if they are one page that is not compressed, else None.

        Such a page ends with the values as they are in memory.
        """
        path = self._file(".parquet")
        with pq.ParquetFile(path) as file:
            if file.metadata.num_row_groups != 1:
                return None
            group = file.metadata.row_group(0)
            chunks = [group.column(i) for i in range(group.num_columns)]
        (chunk,) = (chunk for chunk in chunks if chunk.path_in_schema == NUMBERS)
        if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            return None
        if not _is_one_page(path, chunk.data_page_offset, self._shape[0] * self._shape[1]):
            return None
        end = chunk.data_page_offset + chunk.total_compressed_size
        return Vectors(_mapped(path, end, self._dtype, self._shape), None)

    def _decoded(self) -> Vectors:
        names = [EMBEDDING, SCALE] if self._dtype == np.int8 else [EMBEDDING]
        with pq.ParquetFile(self._file(".parquet")) as file:
            table = file.read(columns=names)
        values = table.column(EMBEDDING).combine_chunks().flatten().to_numpy()
        scales = table.column(SCALE).to_numpy() if self._dtype == np.int8 else None
        return Vectors(values.reshape(self._shape), scales)


def _mapped(path: Path, end: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array whose last byte is before `end`. Closing the file does not end the mapping."""
    size = int(np.prod(shape)) * dtype.itemsize
    with pa.memory_map(str(path)) as file:
        file.seek(end - size)
        return np.frombuffer(file.read_buffer(size), dtype).reshape(shape)


def _mapped_npy(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        found, fortran, kind = np.lib.format.read_array_header_1_0(file)
    if (found, kind, fortran) != (shape, dtype, False):
        raise EngineError(
            f"{path} holds {kind} of shape {found}; the job wrote {dtype} of shape {shape}. "
            "Delete the file and rerun the same `bge job` command."
        )
    return _mapped(path, path.stat().st_size, dtype, shape)


def _is_one_page(path: Path, start: int, values: int) -> bool:
    """Whether the page at `start` has `values` plain values. Other layouts are decoded."""
    with path.open("rb") as file:
        file.seek(start)
        header = file.read(LONGEST_HEADER)
    found, at = [], 0
    for field in FIELDS:
        if not header.startswith(field, at):
            return False
        number, at = _integer(header, at + len(field))
        found.append(number)
    kind, *_, count, encoding = found
    return (kind, count, encoding) == (DATA_PAGE, values, PLAIN)


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint, and the position after it."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    number |= data[at] << shift
    return (number >> 1) ^ -(number & 1), at + 1
