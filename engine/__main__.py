"""`python -m engine` is the command `bge`.

Python puts the working directory first in the search path of -m. It is removed again before
anything else is imported: a numba.py in that directory must not run.
"""

import os
import sys

try:
    here = os.getcwd()  # noqa: PTH109  pathlib could be imported from there
except OSError:  # the working directory was deleted
    here = ""
if sys.path[:1] in ([""], [here]):
    del sys.path[0]

from engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
