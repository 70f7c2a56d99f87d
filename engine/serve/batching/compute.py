"""A batch of tokenised texts to its vectors. A request fails alone if one of its texts has none."""

from collections.abc import Iterable

from engine import Embedder
from engine.errors import NotFinite
from engine.serve.batching.request import Entry, Job, Vectors
from engine.serve.http.errors import Kind, Problem


def compute(
    embedder: Embedder, batch: list[Entry]
) -> tuple[list[Entry], Iterable[Vectors], dict[Job, Problem]]:
    """The entries that were computed, a row for each, and the requests that failed with the reason.

    A request fails if the vector of one of its texts is not finite. The rest of the batch is then
    computed again without it. Other errors of the model are raised.
    """
    failed: dict[Job, Problem] = {}
    while batch:
        try:
            return batch, _rows(embedder, batch), failed
        except NotFinite as error:
            if not error.texts:
                raise
            for i in error.texts:
                failed.setdefault(batch[i].job, _not_finite(batch[i]))
            batch = [entry for entry in batch if entry.job not in failed]
    return [], [], failed


def _rows(embedder: Embedder, batch: list[Entry]) -> Iterable[Vectors]:
    """A row for each entry: its pooled vector (D,), or its last hidden state (L, D)."""
    if not any(entry.job.wish.per_token for entry in batch):
        return _pooled(embedder, batch)
    rows: dict[int, Vectors] = {}
    for per_token, step in ((False, _pooled), (True, _hidden)):
        places = [i for i, entry in enumerate(batch) if entry.job.wish.per_token == per_token]
        if not places:
            continue
        try:
            rows.update(zip(places, step(embedder, [batch[i] for i in places]), strict=True))
        except NotFinite as error:
            raise NotFinite(str(error), [places[i] for i in error.texts]) from error
    return [rows[i] for i in range(len(batch))]


def _pooled(embedder: Embedder, entries: list[Entry]) -> Iterable[Vectors]:
    tokens = [entry.tokens for entry in entries]
    pooling = [entry.job.wish.pooling for entry in entries]
    return embedder.encode_tokens(tokens, pooling=pooling, normalize=False)


def _hidden(embedder: Embedder, entries: list[Entry]) -> Iterable[Vectors]:
    return embedder.token_embeddings([entry.tokens for entry in entries])


def _not_finite(entry: Entry) -> Problem:
    return Problem(
        Kind.BACKEND,
        f"The model's vector of text {entry.index} of this request is not finite (NaN or "
        "infinity), so there is no answer. Leave that text out, or serve another precision.",
    )
