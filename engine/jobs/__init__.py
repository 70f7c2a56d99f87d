"""Corpora: files in, vectors out, on one machine or on a Ray cluster.

    bge job reviews.parquet --text "{title}\\n{body}" --id review_id -o vectors/

Read in this order: `options` and `arguments` (what may be asked); the folder `reading` (files to
rows); `writing/shards` (rows to units of work); `embedding` (a shard's texts to its vectors); the
rest of `writing` (what is on disk, and what a second run finds there); `job`, `pipeline` and
`corpus` (one machine); `update` (a later table with the vectors of an earlier one); `cluster` and
`ray` (many machines).
"""

import os
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run `bge job` with these arguments and return its exit status.

    0: every row is embedded; 1: an error of ours; 2: wrong usage (raised as SystemExit by
    argparse); 3: finished, but some rows were rejected; 130: stopped by Ctrl-C or SIGTERM.
    """
    # Arrow's own allocator retains freed memory; the system allocator returns it.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from engine.jobs.command import main as run

    return run(argv)
