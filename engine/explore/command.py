"""The options of `bge explore`."""

import argparse
import os
from collections.abc import Sequence

import engine
from engine.system import command_line

PORT = 8788


def main(argv: Sequence[str]) -> int:
    """Serves the page until Ctrl-C, and returns 0."""
    options = command_line.parse(parser(), argv)
    from engine.explore.server import serve  # needs the extra

    def load() -> engine.Embedder:
        return engine.load(
            options.model,
            precision="reference",  # as what the page explains
            threads=options.threads,
            offline=options.offline,
        )

    return serve(load, port=options.port, open_page=options.open)


def parser() -> argparse.ArgumentParser:
    """The parser of `bge explore`."""
    made = argparse.ArgumentParser(
        prog="bge explore",
        description="A page on this machine that shows what the model does with your texts.",
        allow_abbrev=False,
    )
    option = made.add_argument
    option(
        "--model",
        metavar="NAME",
        default=os.environ.get("BGE_MODEL") or "bge-base-en-v1.5",
        help="a known name, org/name, or a folder (default: $BGE_MODEL, or %(default)s)",
    )
    option(
        "--port",
        type=_port,
        metavar="N",
        default=PORT,
        help="the page's port on 127.0.0.1; 0 takes a free one (default: %(default)s)",
    )
    option("--open", action="store_true", help="open the page in your browser")
    option("--threads", type=_positive, metavar="N", help="default: all usable cores")
    option("--offline", action="store_true", help="never open a connection to fetch a model")
    option("--debug", action="store_true", help="show tracebacks")
    return made


def _port(word: str) -> int:
    if word.isdecimal() and int(word) < 1 << 16:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is not a port, 0 to 65535")


def _positive(word: str) -> int:
    if word.isdecimal() and int(word) > 0:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is not a positive integer")
