"""`bge embed` and `bge similarity`: compute the vectors of texts, and their cosines."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli import inputs, outputs
from engine.system.progress import Progress

if TYPE_CHECKING:
    from engine import Embedder
    from engine.cli.outputs import Block

CHUNK = 256  # texts per piece of output, so that a reader in a pipe gets the first vectors soon


def embed(options: Namespace) -> int:
    """Writes the vectors of the texts in one of the formats. Returns the exit status.

    Memory does not grow with the number of texts.
    """
    form = _format(options)
    if form == "parquet":
        outputs.check_parquet()
    texts = _texts(options)
    progress = _progress(options)
    with outputs.opened(options.output) as file:
        embedder = inputs.load_model(options)
        blocks = _blocks(embedder, texts, options, progress)
        if form == "npy":
            outputs.write_npy(file, blocks, _dim(embedder, options))
        elif form == "parquet":
            outputs.write_parquet(file, blocks, _dim(embedder, options))
        else:
            outputs.write_out(_pieces(form, blocks, embedder, options), file)
    return 0


def _pieces(
    form: str, blocks: Iterator[Block], embedder: Embedder, options: Namespace
) -> Iterator[str]:
    if form == "jsonl":
        return outputs.jsonl(blocks)
    if form == "json":
        return outputs.json_array(blocks)
    dim = _dim(embedder, options)
    if form == "csv":
        return outputs.csv_rows(blocks, dim)
    pooling = options.pooling or embedder.pooling
    unit = options.normalize
    if unit is None:
        unit = embedder.normalizes and dim == embedder.dim
    length = "unit length" if unit else "not normalised"
    return outputs.preview(blocks, dim, f"{embedder.name}, {pooling} pooling, {length}")


def _dim(embedder: Embedder, options: Namespace) -> int:
    return int(options.truncate_dim or embedder.dim)


def _format(options: Namespace) -> str:
    """The output format: from --format, else from the suffix of -o; jsonl if there is no suffix.

    Without -o: preview on a terminal, else jsonl.
    """
    to_file = options.output not in outputs.STANDARD
    if to_file and not options.format:
        suffix = Path(options.output).suffix
        if suffix.lower() not in outputs.SUFFIXES:
            options.usage_error(_unknown_suffix(options.output, suffix))
        return outputs.SUFFIXES[suffix.lower()]
    if options.format in outputs.BINARY and not to_file:
        options.usage_error(f"--format {options.format} needs -o FILE")
    return options.format or ("preview" if sys.stdout.isatty() else "jsonl")


def _unknown_suffix(name: str, suffix: str) -> str:
    known = ", ".join(filter(None, outputs.SUFFIXES))
    return (
        f"-o {name}: {suffix} is not a format of bge embed; the suffix must be one of {known}, or "
        "give --format"
    )


def _texts(options: Namespace) -> Iterator[str]:
    if bool(options.texts) == bool(options.file):
        options.usage_error("give either texts, or --file F, or - for lines of standard input")
    if "-" in options.texts and len(options.texts) > 1:
        options.usage_error("- reads all texts from standard input; give no other text with it")
    if options.field and options.texts not in ([], ["-"]):
        options.usage_error("--field can be used only with --file or -")
    return inputs.open_texts(options.texts, options.file, options.field)


def _blocks(
    embedder: Embedder, texts: Iterator[str], options: Namespace, progress: Progress
) -> Iterator[Block]:
    """Blocks: m texts and their vectors, (m, D) float32, for each chunk."""
    waiting: deque[str] = deque()

    def passing() -> Iterator[str]:
        for text in texts:
            waiting.append(text)
            yield text

    with progress:
        for vectors_SD in embedder.stream(passing(), chunk=CHUNK, **_choices(embedder, options)):
            yield [waiting.popleft() for _ in range(len(vectors_SD))], vectors_SD
            progress.add(len(vectors_SD))


def _choices(embedder: Embedder, options: Namespace) -> dict[str, Any]:
    return {
        "prompt": _prompt(embedder, options),
        "pooling": options.pooling,
        "normalize": options.normalize,
        "truncate_dim": options.truncate_dim,
        "on_truncate": options.on_truncate,
    }


def _progress(options: Namespace) -> Progress:
    """Shown for many texts: on a terminal that does not show the vectors, and in a log if they go
    to a file. The texts of a file are counted first, if nobody waits for the vectors meanwhile.
    """
    many, to_file = options.texts in ([], ["-"]), options.output not in outputs.STANDARD
    if sys.stderr.isatty():
        progress = Progress(None, many and (to_file or not sys.stdout.isatty()))
    else:
        progress = Progress(None, many and to_file, log="bge embed")
    if progress.shown and to_file and options.file and Path(options.file).is_file():
        progress.total = sum(1 for _ in inputs.open_texts([], options.file, options.field))
    return progress


def _prompt(embedder: Embedder, options: Namespace) -> str:
    kind = "query" if options.query else "document" if options.document else None
    return embedder.prompt_for(kind, options.prompt)


def similarity(options: Namespace) -> int:
    """Writes the cosine of every pair of n texts, (n, n). Returns the exit status."""
    if len(options.texts) < 2:
        options.usage_error("give two or more texts to compare")
    embedder = inputs.load_model(options)
    vectors_SD = embedder.encode(options.texts, **_choices(embedder, options))
    cosines_SS = embedder.similarity(vectors_SD, vectors_SD).tolist()
    form = options.format or ("table" if sys.stdout.isatty() else "json")
    outputs.write_out(outputs.MATRICES[form](options.texts, cosines_SS))
    return 0
