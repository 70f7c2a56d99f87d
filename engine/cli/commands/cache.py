"""`bge cache`: what this package keeps on disk, how much that is, and removing it."""

from __future__ import annotations

import json
from argparse import ArgumentParser as Parser
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date

from engine.catalog.stored import Stored, remove, stored
from engine.cli import outputs
from engine.errors import InputError
from engine.system.command_line import did_you_mean
from engine.system.folders import prepared_home, weights_home

PREPARED = "prepared"  # names all weights and kernels


def describe(command: Parser) -> None:
    """Adds the arguments to the command's parser."""
    about = f"delete these; {PREPARED}: all weights and kernels, which are made again when needed"
    command.add_argument("--remove", nargs="+", metavar="NAME", help=about)
    command.add_argument("--format", choices=("table", "json"), default="table")


def cache(options: Namespace) -> int:
    """Lists what is kept, or removes what is named. Returns the exit status."""
    found = stored()
    if options.remove:
        chosen = {one: None for name in options.remove for one in _named(name, found)}
        for one in chosen:
            remove(one)
            outputs.write_out([f"removed {one.name} ({_megabytes(one.size)} MB)\n"])
    elif options.format == "json":
        rows = [{**asdict(one), "paths": [str(path) for path in one.paths]} for one in found]
        outputs.write_out([json.dumps(rows, indent=1) + "\n"])
    else:
        outputs.write_out(_listing(found))
    return 0


def _named(name: str, found: Sequence[Stored]) -> list[Stored]:
    """The entries of a name, at least one. Raises InputError."""
    if name == PREPARED:
        return [one for one in found if one.kind != "model"]
    folder = name.replace("/", "--")  # as org/name is kept
    if chosen := [one for one in found if one.name == folder]:
        return chosen
    hint = did_you_mean(folder, [one.name for one in found])
    raise InputError(f"nothing is kept under the name {name}; `bge cache` lists the names{hint}")


def _listing(found: Sequence[Stored]) -> Iterator[str]:
    rows = [
        [one.kind, _megabytes(one.size), date.fromtimestamp(one.used).isoformat(), one.name]
        for one in found
    ]
    if rows:
        yield outputs.table(["kind", "MB", "last used", "name"], rows, right=(1,)) + "\n"
    models = sum(one.size for one in found if one.kind == "model")
    yield f"models: {_megabytes(models)} MB in {weights_home()}\n"
    prepared = sum(one.size for one in found if one.kind != "model")
    yield f"prepared: {_megabytes(prepared)} MB in {prepared_home() or 'no folder: no home'}\n"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"
