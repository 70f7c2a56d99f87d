"""`python -m engine.lesson` is `bge learn`."""

import sys

import engine.__main__  # noqa: F401  it takes the working directory out of the search path
from engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["learn", *sys.argv[1:]]))
