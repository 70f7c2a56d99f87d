"""The command `bge`. Data goes to standard output, everything else to standard error.

Exit status: 0 for success; 1 for an error, which is reported without a traceback; 2 for wrong
usage; 130 after Ctrl-C; 143 after SIGTERM; 129 after SIGHUP; 141 if the reader of a pipe has closed
it.
"""

import contextlib
import os
import sys
import warnings
from argparse import ArgumentParser as Parser
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import engine
from engine.cli import errors, outputs, topics
from engine.cli.commands import cache, embed, explain, export, learn, models, search
from engine.cli.options import (
    model_option,
    precision_option,
    run_options,
    vector_options,
)
from engine.cli.signals import Terminated, terminable
from engine.errors import InputError
from engine.system.command_line import did_you_mean, refuse_unknown

INTERRUPTED, BROKEN_PIPE = 130, 141
FORMATS = ("jsonl", "json", "csv", "npy", "parquet", "preview")
NO_SUFFIX = "without -o, preview on a terminal and jsonl elsewhere"
EXTRA_COMMANDS = {  # they need optional dependencies
    "serve": "The HTTP service: Cloudflare's, OpenAI's and TEI's protocols.",
    "explore": "A page that shows what the model does with your texts.",
    "job": "Embed a corpus: files in, shards of vectors out; resumes after an interruption.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns the exit status, also for errors and signals.

    argv: the arguments without the program's name; None for those of the process. With --debug or
    $BGE_DEBUG an error is raised instead, to show its traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stderr is None:  # closed; print(file=None) would write to standard output, into the data
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            return _run(words)
        except SystemExit as stop:  # argparse: help, version, wrong usage
            return stop.code if isinstance(stop.code, int) else 1
        except KeyboardInterrupt:
            return INTERRUPTED
        except Terminated as signal:
            return signal.status
        except BrokenPipeError:
            _discard_output()
            return BROKEN_PIPE
        except Exception as error:
            if "--debug" in words or os.environ.get("BGE_DEBUG"):
                raise
            _print_error(f"error: {errors.explain(error)}")
            return 1


def _run(words: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    if words and words[0] in EXTRA_COMMANDS:
        return _run_extra(words[0], words[1:])
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return 2
    commands = [*COMMANDS, *EXTRA_COMMANDS]
    if words[0][:1] != "-" and words[0] not in commands:
        parser.error(f"there is no command {words[0]!r}{did_you_mean(words[0], commands)}")
    if sys.stdout is None:
        raise InputError("Standard output is closed, so nothing can be written to it.")
    options = _parse(parser, words)
    with terminable():
        status = options.run(options)
        sys.stdout.flush()
    return int(status)


def _complete() -> None:
    """Tells a shell what may come next, and exits. Needs the extra `completion`."""
    import argcomplete

    from engine import explore, jobs, serve

    extra = {"serve": serve, "explore": explore, "job": jobs}
    argcomplete.autocomplete(_parser({name: [part.parser()] for name, part in extra.items()}))


def _help(options: Namespace) -> int:
    """Prints the help of `bge`, of one command, or about a topic."""
    about = options.about
    if about in topics.TOPICS:
        outputs.write_out(topics.TOPICS[about]())
        return 0
    return _run([about, "--help"] if about else ["--help"])


def _parse(parser: Parser, words: list[str]) -> Namespace:
    """Parses as argparse does, but accepts texts both before and after an option."""
    options, rest = parser.parse_known_args(words)
    unknown = rest if "texts" not in options else [word for word in rest if word[:1] == "-"]
    if unknown:
        options.refuse_unknown(unknown)
    if rest:
        options.texts += rest
    return options


def _run_extra(name: str, words: list[str]) -> int:
    """Runs a command of EXTRA_COMMANDS, which parse their own options."""
    extra = {"serve": "serve", "explore": "explore", "job": "jobs"}[name]
    try:
        if name == "serve":
            from engine.serve import main as run
        elif name == "explore":
            from engine.explore import main as run
        else:
            from engine.jobs import main as run
        return run(words)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "engine":
            raise
        _print_error(f"error: `bge {name}` needs {error.name}: pip install 'bge-engine[{extra}]'")
        return 1


def _print_error(message: str) -> None:
    with contextlib.suppress(OSError):  # standard error is a closed pipe, or its disk is full
        print(f"bge: {message}", file=sys.stderr)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    _print_error(f"warning: {message}")


def _discard_output() -> None:
    """Redirects standard output to /dev/null, so that the flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(parents: Mapping[str, Sequence[Parser]] = MappingProxyType({})) -> Parser:
    """parents: for EXTRA_COMMANDS, parsers with their options."""
    parser = Parser(prog="bge", description="Text embeddings on CPUs.", allow_abbrev=False)
    version = f"bge-engine {engine.__version__}"
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (about, describe, run) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        describe(command)
        command.add_argument("--debug", action="store_true", help="show tracebacks")
        command.set_defaults(
            run=run,
            usage_error=command.error,
            refuse_unknown=partial(refuse_unknown, command),
        )
    for name, about in EXTRA_COMMANDS.items():
        commands.add_parser(name, help=about, add_help=False, parents=parents.get(name, []))
    return parser


def _embed(command: Parser) -> None:
    option = command.add_argument
    option("texts", nargs="*", metavar="TEXT", help="- reads the lines of standard input")
    option("--file", metavar="F", help="one text per line; or *.jsonl, *.csv, *.tsv, *.parquet")
    option("--field", metavar="NAME", help="the field or column with the text (default: text)")
    option("-o", "--output", metavar="FILE", help="written completely or not at all")
    option("--format", choices=FORMATS, help="default: from the suffix of -o; " + NO_SUFFIX)
    _text_model(command)
    vector_options(command)


def _similarity(command: Parser) -> None:
    option = command.add_argument
    option("texts", nargs="+", metavar="TEXT", help="two or more")
    option("--format", choices=("table", "json", "csv"), help="table on a terminal, else json")
    _text_model(command)
    vector_options(command)


def _topic(command: Parser) -> None:
    about = f"a command, or one of {', '.join(topics.TOPICS)}"
    command.add_argument("about", nargs="?", metavar="ABOUT", help=about)


def _nothing(command: Parser) -> None:
    pass


def _text_model(command: Parser) -> None:
    model_option(command)
    precision_option(command)
    run_options(command)


COMMANDS: dict[str, tuple[str, Callable[[Parser], None], Callable[[Namespace], int]]] = {
    "embed": ("Compute the vectors of texts.", _embed, embed.embed),
    "similarity": ("Compute the cosine of every pair of texts.", _similarity, embed.similarity),
    "explain": ("Show what the model does with a text.", explain.describe, explain.explain),
    "learn": ("How the model works, in ten chapters.", learn.describe, learn.learn),
    "search": ("Find the nearest rows of a job's output.", search.describe, search.search),
    "export": ("Copy a job's output to a database.", export.describe, export.export),
    "models": ("List the models that are known by name.", models.describe_models, models.models),
    "pull": ("Download a model, verify and prepare it.", models.describe_pull, models.pull),
    "verify": (
        "Compare computed vectors with published ones.",
        models.describe_verify,
        models.verify,
    ),
    "info": (
        "Show a checkpoint's settings, and how it runs here.",
        models.describe_info,
        models.info,
    ),
    "prepare": (
        "Compile kernels and pack weights now instead of at the first use.",
        models.describe_prepare,
        models.prepare,
    ),
    "cache": ("Show what is kept on disk, and remove it.", cache.describe, cache.cache),
    "help": ("Show help: on a command, or on environment, exit or completion.", _topic, _help),
    "version": (
        "Show the versions of what computes, for reports of bugs.",
        _nothing,
        topics.version,
    ),
}
