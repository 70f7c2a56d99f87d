"""`bge export`: the output of a job, copied to a database."""

from __future__ import annotations

import sys
from argparse import ArgumentParser as Parser
from argparse import Namespace

from engine import export as exporting


def describe(command: Parser) -> None:
    """Adds the arguments to the command's parser."""
    option = command.add_argument
    option("folder", metavar="OUTPUT", help="the folder that a finished `bge job` wrote")
    option(
        "--to",
        required=True,
        metavar="URL",
        help="sqlite:///FILE (for sqlite-vec), postgresql://USER@HOST/DATABASE (with pgvector; the "
        "password in $PGPASSWORD or ~/.pgpass) or lancedb:FOLDER",
    )
    option("--table", metavar="NAME", default="documents", help="default: %(default)s")
    option("--replace", action="store_true", help="replace the table, once the new one is complete")


def export(options: Namespace) -> int:
    """Copies the rows. Returns the exit status."""
    rows = exporting.write(
        options.folder,
        options.to,
        table=options.table,
        replace=options.replace,
        show_progress_bar=sys.stderr.isatty(),
    )
    print(f"{rows:,} rows in the table {options.table}", file=sys.stderr)
    return 0
