"""Large blocks leave the process when they are freed."""

import subprocess
import sys

PROGRAM = """
import ctypes, re, sys
from pathlib import Path
from engine.serve.allocator import return_large_blocks

def resident():
    return int(re.findall(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) // 1024

if sys.argv[1] == "set":
    assert return_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)
libc.free(libc.malloc(30 << 20))  # by default, glibc now keeps blocks of that size
blocks = []
before = resident()
for _ in range(10):  # with something smaller above each, as other requests have
    blocks += [libc.malloc(10 << 20), libc.malloc(500_000)]
    ctypes.memset(blocks[-2], 1, 10 << 20)
for block in blocks[::2]:
    libc.free(block)
print(resident() - before)
"""


def kept(argument: str) -> int:
    """MB that stay after 100 MB were freed."""
    command = [sys.executable, "-c", PROGRAM, argument]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_large_blocks_are_returned():
    assert kept("set") < 10
    assert kept("") > 90  # the default of glibc, which this test needs
