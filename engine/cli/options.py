"""Options that several commands have, added to a command's parser."""

import os
from argparse import ArgumentParser as Parser
from argparse import ArgumentTypeError, BooleanOptionalAction
from collections.abc import Sequence

from engine.literals import ON_TRUNCATE, POOLINGS, PRECISIONS

DEFAULT = "bge-base-en-v1.5"
MODEL_HELP = "a known name, org/name, or a folder (default: $BGE_MODEL, or %(default)s)"
TOO_LONG = "what to do with a text over the model's limit (warn: cut it and print a warning)"


def model_argument(command: Parser) -> None:
    """The model as an argument, for commands about a model."""
    command.add_argument("model", nargs="?", metavar="NAME", default=_default(), help=MODEL_HELP)


def model_option(command: Parser, default: str = DEFAULT) -> None:
    """The model as an option, for commands about texts."""
    command.add_argument("--model", metavar="NAME", default=_default(default), help=MODEL_HELP)


def precision_option(command: Parser, precisions: Sequence[str] = PRECISIONS) -> None:
    command.add_argument("--precision", choices=precisions, default=precisions[0])


def run_options(command: Parser) -> None:
    option = command.add_argument
    option("--threads", type=positive, metavar="N", help="default: all usable cores")
    option("--offline", action="store_true", help="never open a connection")


def vector_options(command: Parser) -> None:
    option = command.add_argument
    option("--pooling", choices=POOLINGS, help="default: what the checkpoint says")
    lengths = "scale vectors to length 1, or do not (default: what the checkpoint says)"
    option("--normalize", action=BooleanOptionalAction, default=None, help=lengths)
    option("--truncate-dim", type=positive, metavar="N", help="keep the first N numbers")
    option("--on-truncate", choices=ON_TRUNCATE, default="warn", help=TOO_LONG)
    prompt = command.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", metavar="P", help="text to put before each text, unchanged")
    prompt.add_argument("--query", action="store_true", help="use the model's query prompt")
    prompt.add_argument("--document", action="store_true", help="use the model's document prompt")


def positive(word: str) -> int:
    """The type of an option that is a positive integer."""
    if word.isdecimal() and int(word) > 0:
        return int(word)
    raise ArgumentTypeError(f"{word!r} is not a positive integer")


def _default(model: str = DEFAULT) -> str:
    return os.environ.get("BGE_MODEL") or model
