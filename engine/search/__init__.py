"""Exact search over the output folder of `bge job`.

    from engine import search

    index = search.open("vectors/")
    for hit in index.search("small felines", k=10, where="lang = en"):
        print(hit.score, hit.columns)

Every vector is compared with the query, so nothing is built or stored, and nothing is missed. The
files are mapped into memory, not read into it. This suits up to about ten million vectors. For
more, or for many searches a second, build an index with FAISS, usearch or LanceDB: they read the
same files.

Read in this order: `output` (what the job left); `vectors` (its files as arrays); `scoring` (the
nearest rows); `columns` (the other columns, and conditions on them); `queries` (the model);
`index`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.embedder import Embedder
    from engine.search.index import Index


def open(
    folder: str | Path,
    *,
    model: "str | Path | Embedder | None" = None,
    prompt: str | None = None,
    threads: int | None = None,
    offline: bool = False,
) -> "Index":
    """Open the output folder of a finished job, once for many searches.

    model: embeds the queries; default, the model that made the vectors. It is loaded at the first
    query that is a text. prompt: put before each query; default, the model's prompt for queries.
    threads: default, all cores that this process may use. offline: do not download the model.
    Raises InputError for a folder that is no job's output, EngineError if it is not complete.
    """
    try:
        from engine.search.index import Index
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise EngineError("search needs pyarrow: pip install 'bge-engine[jobs]'") from error
    from engine.search.queries import Queries

    queries = Queries(model, prompt=prompt, threads=threads, offline=offline)
    return Index(Path(os.fspath(folder)), queries, threads)
