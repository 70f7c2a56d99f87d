"""`--chunk-tokens`: a long text becomes several rows, each with a part that the model can read."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from engine.jobs.options import CHUNK, END, START, TEXT
from engine.jobs.writing.shards import Shard

if TYPE_CHECKING:
    from engine.embedder import Embedder
    from engine.jobs.embedding import How

# The chunk's number within its text, from 0; where it is, in characters; the chunk itself.
COLUMNS = pa.schema(
    [(CHUNK, pa.int64()), (START, pa.int64()), (END, pa.int64()), (TEXT, pa.large_string())]
)


def divide(embedder: "Embedder", how: "How", shard: Shard) -> Shard:
    """Return the shard with a row for each chunk; each has the place and columns of its text.

    Without --chunk-tokens it is returned as it is. InputError: the prompt leaves no room.
    """
    if how.chunk_tokens is None:
        return shard
    spans = [
        embedder.chunk_spans(
            text, chunk_tokens=how.chunk_tokens, overlap=how.chunk_overlap, prompt=how.prompt
        )
        for text in shard.texts
    ]
    counts = np.array([len(each) for each in spans], np.int64)
    rows = np.repeat(np.arange(len(spans)), counts)
    numbers = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts, ends = np.concatenate([np.empty((0, 2), np.int64), *spans]).T
    wholes = [shard.texts[row] for row in rows]
    texts = [whole[start:end] for whole, start, end in zip(wholes, starts, ends, strict=True)]
    columns = shard.columns.take(pa.array(rows, pa.int64()))
    for field, values in zip(COLUMNS, (numbers, starts, ends, texts), strict=True):
        columns = columns.append_column(field, pa.array(values, field.type))
    return replace(shard, texts=texts, places=[shard.places[row] for row in rows], columns=columns)
