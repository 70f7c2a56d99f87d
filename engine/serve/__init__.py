"""The HTTP service: one engine behind the APIs of Cloudflare Workers AI, OpenAI and TEI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser


def main(argv: Sequence[str]) -> int:
    """`bge serve`: the exit status. Needs the extra `serve`, but not for --help or wrong usage.

    Raises EngineError when the server cannot start.
    """
    from engine.serve.settings import parse_settings

    settings = parse_settings(argv)
    from engine.serve.server import serve

    return serve(settings)


def parser() -> ArgumentParser:
    """The options of `bge serve`, for the completion of shells. Needs no extra."""
    from engine.serve.settings import flags

    return flags()


def variables() -> list[tuple[str, str]]:
    """The environment variables of `bge serve`, each with what it sets. Needs no extra."""
    from engine.serve.settings import OPTIONS, TOKENS, about, variable_of

    tokens = "tokens that clients must present, separated by spaces or commas"
    return [*((variable_of(each), about(each)) for each in OPTIONS), (TOKENS, tokens)]
