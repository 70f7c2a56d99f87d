"""A file of named arrays, written once and memory-mapped by everyone.

Layout: MAGIC; the arrays, each at a multiple of 64 bytes; a JSON table of them; the length of the
table, 8 bytes; the SHA-256 of all before; MAGIC again. What is written last is looked for first, so
a file cut short is never taken for whole.

`check` reads the whole file and finds any damage; `read` maps it and trusts it. Both take the open
file, so that what is checked is what is mapped.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC = b"bge-arrays-2\n\0\0\0"
ALIGNMENT = 64
END = 8 + 32 + len(MAGIC)  # bytes of what follows the table
BLOCK = 1 << 20
KIND = re.compile(r"[<|>][fiu][1248]")  # not all that numpy understands, which is a language


class Arrays(dict[str, NDArray]):
    """By name. (A class of our own, for a plain dict cannot be held weakly.)"""


class Damaged(ValueError):
    """The file is not what was written."""


def write(file: BinaryIO, arrays: Iterable[tuple[str, NDArray]]) -> None:
    """Writes the arrays in turn; only one of them is in memory at a time."""
    # The table comes last, because lengths are known only when the arrays were made.
    digest, place, table = hashlib.sha256(), 0, {}

    def put(content: "bytes | memoryview") -> None:
        nonlocal place
        digest.update(content)
        place += file.write(content)

    put(MAGIC)
    for name, array in arrays:
        put(b"\0" * (-place % ALIGNMENT))
        # 64 bytes: no array shares a line of the cache with another
        table[name] = [place, array.dtype.str, list(array.shape)]
        put(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    text = json.dumps(table).encode()
    put(text + len(text).to_bytes(8, "little"))
    file.write(digest.digest() + MAGIC)
    file.flush()


def check(file: BinaryIO) -> None:
    """Raises Damaged unless every byte is as it was written."""
    left = os.fstat(file.fileno()).st_size - 32 - len(MAGIC)
    digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    file.seek(0)
    while left > 0 and (size := file.readinto(block[:left])):  # type: ignore[attr-defined]
        digest.update(block[:size])
        left -= size
    # The digest covers every byte before it, so any change is found, wherever it is.
    if left or file.read() != digest.digest() + MAGIC:
        raise Damaged("a part of the file is missing or changed")


def read(file: BinaryIO) -> Arrays:
    """The arrays, mapped from the file, read-only. Raises Damaged where it is no file of arrays."""
    try:
        # Pages are read when they are used, and shared with every process that maps the file.
        content = np.memmap(file, np.uint8, "r")
        end = len(content) - END
        if end < len(MAGIC) or content[-len(MAGIC) :].tobytes() != MAGIC:
            raise Damaged("the file is cut short, or no file of arrays")
        length = int.from_bytes(content[end : end + 8].tobytes(), "little")
        table = json.loads(content[max(end - length, 0) : end].tobytes())
        return Arrays((name, _array(content, *entry)) for name, entry in table.items())
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"its table cannot be read ({error})") from error


def _array(content: NDArray[np.uint8], start: int, kind: str, shape: list[int]) -> NDArray:
    # The table is checked even after the checksum: numpy parses type strings as a language.
    if not KIND.fullmatch(kind):
        raise Damaged(f"an array of {kind!r}")
    size = math.prod(shape) * np.dtype(kind).itemsize
    return content[start : start + size].view(kind).reshape(shape)
