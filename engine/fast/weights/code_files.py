"""A file of machine code, written once; on Linux it is mapped by everyone, as a shared object.

Layout: the code, as `codegen.loading` reads it; its SHA-256; MAGIC. The functions are those of
`array_files`.
"""

import hashlib
import os
from typing import BinaryIO, Self

from engine.fast.codegen.loading import Code, load
from engine.fast.weights.array_files import Damaged

MAGIC = b"bge-code-1\n\0\0\0\0\0"
END = 32 + len(MAGIC)


def write(file: BinaryIO, code: bytes) -> None:
    file.write(code + hashlib.sha256(code).digest() + MAGIC)
    file.flush()


def check(file: BinaryIO) -> None:
    """Raises Damaged unless every byte is as it was written."""
    _read(file)


def read(file: BinaryIO) -> Code:
    """The function in the file. Raises Damaged, and EngineError where code may not be run."""
    # Always checked again: it is small, and damaged code would do anything.
    return load(file, _read(file))


class Unloaded:
    """The same files, for code that this process does not run."""

    write, check = staticmethod(write), staticmethod(check)

    def read(self, file: BinaryIO) -> Self:
        """Raises Damaged."""
        check(file)
        return self


def _read(file: BinaryIO) -> bytes:
    content = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
    code, end = content[:-END], content[-END:]
    if end != hashlib.sha256(code).digest() + MAGIC:
        raise Damaged("a part of the file is missing or changed, or it is no file of code")
    return code
