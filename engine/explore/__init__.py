"""`bge explore`: a page on this machine that shows what the model does with your texts.

Read `server` (the address, the start and the end), `app` (which request gets what), `results` (the
numbers, from `engine.explain`), `source` (the lines of `model.py`), then `assets/main.js`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser


def main(argv: Sequence[str]) -> int:
    """`bge explore`: 0 after Ctrl-C. Needs the extra `explore`, but not for --help or wrong usage.

    Raises EngineError if the port is taken, and what `engine.load` raises.
    """
    from engine.explore.command import main as run

    return run(argv)


def parser() -> ArgumentParser:
    """The arguments of `bge explore`, for the completion of shells. Needs no extra."""
    from engine.explore import command

    return command.parser()
