"""The words of `bge job` to Options; wrong usage is seen here, before any file is opened."""

import argparse
import os
from collections.abc import Sequence

from engine.errors import InputError
from engine.jobs.options import (
    DTYPES,
    INPUT_FORMATS,
    OUTPUT_FORMATS,
    Fields,
    Options,
    check_names,
    parse_template,
)
from engine.literals import PRECISIONS


def parse(argv: Sequence[str]) -> Options:
    """Turn the command line into Options; wrong usage raises SystemExit(2), as argparse does."""
    parser = _parser()
    asked = parser.parse_args(argv)
    try:
        fields = Fields(parse_template(asked.text), asked.id, tuple(asked.keep))
        check_names(fields)
    except InputError as error:
        parser.error(str(error))
    values = vars(asked)
    for used in ("text", "id", "keep", "debug"):
        del values[used]
    return Options(**{**values, "inputs": tuple(asked.inputs), "fields": fields})


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not allowed: 1 or more")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not allowed: 0 or more")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bge job",
        allow_abbrev=False,
        description="Embed a corpus: files in, shards of vectors out. If it is interrupted, the "
        "same command resumes from the last complete shard; the output has the same bytes.",
        epilog="Exit status: 0 done, 1 error, 2 wrong usage, 3 done but some rows were rejected "
        "(OUTPUT/_rejects.jsonl lists them with reasons), 130 interrupted by Ctrl-C or SIGTERM.",
    )
    _add_input(parser.add_argument_group("input"))
    _add_model(parser.add_argument_group("model"))
    _add_output(parser.add_argument_group("output"))
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def _add_input(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a file, folder or glob; - is standard input. "
        "Text lines, jsonl, csv, tsv or Parquet, by name; gzip and zstd are detected",
    )
    add("--input-format", choices=INPUT_FORMATS, help="default: by the file's name; text for -")
    add(
        "--text",
        default="text",
        metavar="COLUMN",
        help="the column to embed, or a template such "
        'as "{title}\\n{body}" (default: text; the only column of text lines)',
    )
    add(
        "--id",
        metavar="COLUMN",
        help="the column that identifies a row (default: two columns, file "
        "and row, rows counted from 0)",
    )
    add(
        "--keep",
        type=_names,
        action="extend",
        default=[],
        metavar="A,B",
        help="other columns to copy to the output",
    )
    add("--max-rejects", type=_count, metavar="N", help="stop when more than N rows are rejected")


def _add_model(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    default = os.environ.get("BGE_MODEL") or "bge-base-en-v1.5"
    add(
        "--model",
        metavar="NAME",
        default=default,
        help="a known name, or a folder (default: $BGE_MODEL, or %(default)s)",
    )
    add("--precision", default=PRECISIONS[0], choices=PRECISIONS)
    add("--revision", help="a revision of the model other than the pinned one")
    add("--offline", action="store_true", help="never open a connection for the model")
    add(
        "--threads",
        type=_positive,
        metavar="N",
        help="default: the cores this process may use; "
        "with --ray, threads and logical CPUs of one actor",
    )
    add("--pooling", choices=("mean", "cls"), help="default: what the checkpoint says")
    prompt = group.add_mutually_exclusive_group()
    prompt.add_argument(
        "--prompt",
        metavar="P",
        help="text to put before each text, unchanged (default: "
        "the checkpoint's prompt for documents, where it has one)",
    )
    prompt.add_argument("--query", action="store_true", help="put the model's query prompt there")
    lengths = "unit length, or as computed (default: what the checkpoint says)"
    add("--normalize", action=argparse.BooleanOptionalAction, default=None, help=lengths)
    add("--truncate-dim", type=_positive, metavar="N", help="keep the first N components")
    add("--ray", metavar="ADDRESS", help="run on a Ray cluster: its address, auto, or local")


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-o",
        "--output",
        required=True,
        metavar="FOLDER",
        help="folder for the shards; one job per folder",
    )
    add(
        "--format",
        default="parquet",
        choices=OUTPUT_FORMATS,
        help="parquet, or npy with ids in jsonl beside it (default: %(default)s)",
    )
    add(
        "--dtype",
        default="float32",
        choices=DTYPES,
        help="int8 adds a float32 scale per row: value = scale * integer (default: %(default)s)",
    )
    add(
        "--shard-rows",
        type=_positive,
        default=4096,
        metavar="N",
        help="input rows per shard (default: %(default)s)",
    )
    add("--quiet", action="store_true", help="no progress and no summary")
