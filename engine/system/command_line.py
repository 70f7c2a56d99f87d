"""Options parsed as argparse does it; the error for an unknown word names the nearest known one."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from typing import NoReturn


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    """As `parser.parse_args`. Unknown options end as `refuse_unknown` says."""
    options, unknown = parser.parse_known_args(words)
    if unknown:
        refuse_unknown(parser, unknown)
    return options


def refuse_unknown(parser: ArgumentParser, words: Sequence[str]) -> NoReturn:
    """Prints the usage and an error with the nearest options. Raises SystemExit(2)."""
    known = re.findall(r"(?<![\w-])--[a-z][\w-]*", parser.format_usage())
    typed = [word.partition("=")[0] for word in words if word[:2] == "--"]
    hints = "".join(did_you_mean(word, known) for word in typed)
    parser.error(f"unrecognized arguments: {' '.join(words)}{hints}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The words "; did you mean --threads?", or "" where nothing known is like the word."""
    from difflib import get_close_matches  # only errors need it

    close = get_close_matches(word, [*known], n=1)
    return f"; did you mean {close[0]}?" if close else ""
