"""A file of named arrays, written once and memory-mapped by everyone.

Layout: MAGIC; the arrays, each at a multiple of 64 bytes; a JSON table of them; its checksum and
its length, 8 bytes each; MAGIC again. What is written last is looked for first, so a file cut short
is never taken for whole. The table holds a checksum of the beginning of each array. All checksums
are checked on opening.
"""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = b"bge-arrays-1\n\0\0\0"
ALIGNMENT = 64
CHECKED = 512  # bytes of each array that the checksum covers


def write(path: Path, arrays: Iterable[tuple[str, NDArray]]) -> None:
    """Writes the arrays in turn; only one of them is in memory at a time."""
    table = {}
    with path.open("wb") as file:
        file.write(MAGIC)
        for name, array in arrays:
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            head = array.reshape(-1)[: CHECKED // array.itemsize].tobytes()
            table[name] = [file.tell(), array.dtype.str, list(array.shape), zlib.crc32(head)]
            array.tofile(file)
        text = json.dumps(table).encode()
        ends = zlib.crc32(text), len(text)
        file.write(text + b"".join(n.to_bytes(8, "little") for n in ends) + MAGIC)
        file.flush()


def read(path: Path) -> dict[str, NDArray]:
    """The arrays, mapped from the file, read-only. ValueError if it is not whole."""
    content = np.memmap(path, np.uint8, "r")
    end = len(content) - len(MAGIC) - 16
    if end < len(MAGIC) or content[end + 16 :].tobytes() != MAGIC:
        raise ValueError(f"{path} is cut short, or no file of arrays")
    check, length = (int(n) for n in np.frombuffer(content[end : end + 16].tobytes(), "<u8"))
    text = content[max(end - length, 0) : end].tobytes()
    if zlib.crc32(text) != check:
        raise ValueError(f"{path}: the table is damaged")
    table = json.loads(text)
    arrays = {}
    for name, (start, kind, shape, check) in table.items():
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        raw = content[start : start + size]
        if zlib.crc32(raw[:CHECKED].tobytes()) != check:
            raise ValueError(f"{path}: array {name} is damaged")
        arrays[name] = raw.view(kind).reshape(shape)
    return arrays
