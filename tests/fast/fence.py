"""Arrays between pages that nobody may touch: a read or write beside one ends the process."""

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

PAGE = mmap.PAGESIZE
PROT_NONE = 0  # Python's mmap has no name for it
UNWRITTEN = 0xFF  # each byte: float32 is then NaN, an integer -1

_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


class Fence:
    """Arrays that end at a forbidden page (`at_end`) or begin behind one, filled with UNWRITTEN."""

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return self._array(shape, np.dtype(dtype))[0]

    def read_only(self, content: NDArray[Any]) -> NDArray[Any]:
        """A copy that nobody may write to."""
        array, address, size = self._array(content.shape, content.dtype)
        array[...] = content
        _protect(address, size, mmap.PROT_READ)
        return array

    def _array(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> tuple[NDArray[Any], int, int]:
        """The array, and where its pages begin and how many bytes they are."""
        size = int(np.prod(shape)) * kind.itemsize
        inner = -(-size // PAGE) * PAGE
        region = np.frombuffer(mmap.mmap(-1, inner + 2 * PAGE), np.uint8)
        address = region.ctypes.data
        start = PAGE + (inner - size if self.at_end else 0)
        region[PAGE : PAGE + inner] = UNWRITTEN
        _protect(address, PAGE, PROT_NONE)
        _protect(address + PAGE + inner, PAGE, PROT_NONE)
        return region[start : start + size].view(kind).reshape(shape), address + PAGE, inner


def _protect(address: int, size: int, protection: int) -> None:
    if _mprotect(address, size, protection):
        raise OSError(ctypes.get_errno(), "mprotect")
