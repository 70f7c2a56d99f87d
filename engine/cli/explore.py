"""`bge explore`: a page on this machine that shows what the model does with your texts."""

from __future__ import annotations

from argparse import ArgumentParser as Parser
from argparse import ArgumentTypeError, Namespace

from engine.cli import inputs
from engine.cli.options import model_option, run_options
from engine.errors import EngineError

PORT = 8788


def describe(command: Parser) -> None:
    """Adds the arguments to the command's parser."""
    option = command.add_argument
    help = "the page's port on 127.0.0.1; 0 takes a free one (default: %(default)s)"
    option("--port", type=_port, metavar="N", default=PORT, help=help)
    option("--open", action="store_true", help="open the page in your browser")
    model_option(command)
    run_options(command)
    command.set_defaults(precision="reference")


def explore(options: Namespace) -> int:
    """Serves the page until Ctrl-C. Returns the exit status."""
    from engine.explore import explore

    try:
        return explore(
            lambda: inputs.load_model(options), port=options.port, open_page=options.open
        )
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise EngineError(
            f"`bge explore` needs {error.name}: pip install 'bge-engine[explore]'"
        ) from error


def _port(word: str) -> int:
    if word.isdecimal() and int(word) < 1 << 16:
        return int(word)
    raise ArgumentTypeError(f"{word!r} is not a port, 0 to 65535")
