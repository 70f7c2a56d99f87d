"""Parse the command line of `bge job`; wrong usage is reported before any file is opened."""

import argparse
import os
from collections.abc import Sequence

from engine.errors import InputError
from engine.jobs.options import (
    DTYPES,
    INPUT_FORMATS,
    NULLS,
    OUTPUT_FORMATS,
    QUOTINGS,
    Options,
    parse_dialect,
    parse_fields,
)
from engine.literals import PRECISIONS
from engine.system import command_line

# what makes `fields` and `dialect`, or is no part of a job
USED = ("text", "id", "keep", "null", "delimiter", "quoting", "encoding", "debug", "verify")


def parse(argv: Sequence[str]) -> Options:
    """Turn the command line into Options; wrong usage raises SystemExit(2), as argparse does."""
    command = parser()
    args = command_line.parse(command, argv)
    try:
        chunked = args.chunk_tokens is not None
        fields = parse_fields(args.text, args.id, args.keep, args.null, chunked=chunked)
        dialect = parse_dialect(args.delimiter, args.quoting, args.encoding)
    except InputError as error:
        command.error(str(error))
    if args.keep_removed and not args.update:
        command.error("--keep-removed needs --update")
    if args.chunk_overlap and args.chunk_tokens is None:
        command.error("--chunk-overlap needs --chunk-tokens")
    values = vars(args)
    for used in USED:
        del values[used]
    made = {"inputs": tuple(args.inputs), "fields": fields, "dialect": dialect}
    return Options(**{**values, **made})


def folder_to_verify(argv: Sequence[str]) -> str | None:
    """Return OUTPUT of `--verify OUTPUT`, which stands alone; None if it is not asked for."""
    alone = argparse.ArgumentParser(prog="bge job", allow_abbrev=False, add_help=False)
    alone.add_argument("--verify")
    asked, others = alone.parse_known_args(argv)
    if asked.verify is not None and others:
        parser().error(f"--verify takes a folder and no other argument; got {others}")
    return None if asked.verify is None else str(asked.verify)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too small; give 1 or more")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is too small; give 0 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{value} is not from 0 to 0.5")
    return value


def parser() -> argparse.ArgumentParser:
    """The parser of `bge job`."""
    made = argparse.ArgumentParser(
        prog="bge job",
        allow_abbrev=False,
        description="Embed a corpus: files in, shards of vectors out. After an interruption, rerun "
        "the same command to resume from the last complete shard; the output is the same bytes.",
        epilog="Exit status: 0 done, 1 error, 2 wrong usage, 3 done but some rows were rejected "
        "(listed with reasons in OUTPUT.job/rejects.jsonl), 130 stopped by Ctrl-C or SIGTERM.",
    )
    inputs = made.add_argument_group("input")
    _add_files(inputs)
    _add_rows(inputs)
    _add_model(made.add_argument_group("model"))
    _add_chunks(made.add_argument_group("long texts"))
    _add_output(made.add_argument_group("output"))
    made.add_argument(
        "--verify",
        metavar="OUTPUT",
        help="compare the files of an output with the hashes in its journal, and do nothing else",
    )
    made.add_argument("--debug", action="store_true", help="show tracebacks")
    return made


def _add_files(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a file, folder or glob; - is standard input. "
        "Text lines, jsonl, csv, tsv or Parquet, by file name; .md is one document; .json is "
        "jsonl, or one array of objects; gzip, zstd, bz2 and xz are detected",
    )
    kinds = "default: from the name (text for -); text: a row for each line; document: one file"
    add("--input-format", choices=INPUT_FORMATS, help=kinds)
    add("--delimiter", metavar="C", help="of csv and tsv (default: comma, tab)")
    quotes = "of csv and tsv; none: quotes are ordinary characters (default: standard)"
    add("--quoting", choices=QUOTINGS, help=quotes)
    add(
        "--encoding",
        metavar="NAME",
        help="such as cp1252 (default: UTF-8, or UTF-16 where the file begins with its mark)",
    )


def _add_rows(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--text",
        default="text",
        metavar="COLUMN",
        help="the column to embed, or a template such "
        'as "{title}\\n{body}" (default: text; the only column of plain text). In all of these '
        "options a.b is the field b of a, and folders such as lang=en make a column",
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
        help="other columns to copy to the output. Types are Parquet's own; of JSON lines, what "
        "the first 10,000 rows need; else string. A:int64 (or float64, bool, string) declares "
        "one, in --id too",
    )
    add(
        "--null",
        default="reject",
        choices=NULLS,
        help="a null or missing column of the text: reject the row; take it as empty; or leave it "
        "out, with the literal before it in the template, also where it is empty "
        "(default: %(default)s)",
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
    add("--offline", action="store_true", help="do not download the model")
    add(
        "--threads",
        type=_positive,
        metavar="N",
        help="default: the cores this process may use; "
        "with --ray, threads and logical CPUs of one actor",
    )
    add("--pooling", choices=("mean", "cls"), help="default: the checkpoint's")
    prompt = group.add_mutually_exclusive_group()
    prompt.add_argument(
        "--prompt",
        metavar="P",
        help="prepended to each text, unchanged (default: "
        "the checkpoint's prompt for documents, if it has one)",
    )
    prompt.add_argument("--query", action="store_true", help="use its prompt for queries")
    lengths = "scale vectors to unit length, or not (default: as the checkpoint says)"
    add("--normalize", action=argparse.BooleanOptionalAction, default=None, help=lengths)
    add("--truncate-dim", type=_positive, metavar="N", help="keep the first N components")
    add("--ray", metavar="ADDRESS", help="run on a Ray cluster: its address, auto, or local")


def _add_chunks(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--chunk-tokens",
        type=_positive,
        metavar="N",
        help="divide texts into chunks of at most N tokens, with a row for each: its number, its "
        "place in the text, and itself (default: a text over the model's limit is cut)",
    )
    add(
        "--chunk-overlap",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="how much of a chunk the next one repeats, 0 to 0.5 (default: %(default)s)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-o", "--output", required=True, metavar="FOLDER", help="folder for this job's shards")
    add(
        "--format",
        default="parquet",
        choices=OUTPUT_FORMATS,
        help="parquet, or npy with the ids in a jsonl file (default: %(default)s)",
    )
    add(
        "--dtype",
        default="float32",
        choices=DTYPES,
        help="int8 adds one float32 scale per row: value = scale * integer (default: %(default)s)",
    )
    add(
        "--shard-rows",
        type=_positive,
        default=4096,
        metavar="N",
        help="input rows per shard (default: %(default)s)",
    )
    add(
        "--update",
        action="store_true",
        help="make the table of the present inputs, and take vectors that OUTPUT already has; the "
        "old table stays until the new one is complete",
    )
    add(
        "--keep-removed",
        action="store_true",
        help="with --update: keep rows, at the end, whose ids are no longer in the inputs",
    )
    add("--quiet", action="store_true", help="no progress and no summary")
