"""What is being compiled, as constants that numba freezes into the kernels.

`compile` runs once for a target and a precision, in a process of its own, and says which by
environment; without it (tests, the ladder) it is this machine's target in float32.
"""

import os

from engine.fast.codegen.target import LANES, TARGETS, host_target

__all__ = ["LANES", "PRECISION", "REGISTER", "TARGET"]

# Constants, not arguments: numba removes the branches that they decide, and the length of vectors
# must be known. From the environment, because numba compiles for one CPU in a process.
TARGET = TARGETS.get(os.environ.get("BGE_COMPILE_FOR", "")) or host_target()
PRECISION = os.environ.get("BGE_COMPILE_PRECISION", "float32")
REGISTER = TARGET.register
