"""How the C library allocates memory in a server."""

import ctypes

LARGE = 1 << 20  # bytes
M_MMAP_THRESHOLD = -3  # from glibc's malloc.h


def return_large_blocks() -> bool:
    """Lets glibc return blocks of a megabyte or more to the system as soon as they are freed.

    Otherwise it keeps such blocks, up to 32 MB each, after the first one was freed: 130 MB stayed
    after a response of 50 MB. Returns False where there is no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, LARGE))
