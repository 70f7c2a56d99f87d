"""Computes the vectors of a batch. A text with a non-finite vector fails its own request only."""

from collections.abc import Iterable

from engine import Embedder
from engine.errors import NotFinite
from engine.serve.batching.request import TextItem, Vectors, Work
from engine.serve.http.errors import ErrorKind, HTTPError


def compute(
    embedder: Embedder, batch: list[TextItem]
) -> tuple[list[TextItem], Iterable[Vectors], dict[Work, HTTPError]]:
    """Returns the computed items, one row for each, and the failed requests with their errors.

    A request fails if the vector of one of its texts is not finite; the rest of the batch is
    computed again without it. Other errors of the model are raised.
    """
    failed: dict[Work, HTTPError] = {}
    while batch:
        try:
            return batch, _rows(embedder, batch), failed
        except NotFinite as error:
            if not error.texts:
                raise
            for i in error.texts:
                failed.setdefault(batch[i].work, _not_finite(batch[i]))
            batch = [item for item in batch if item.work not in failed]
    return [], [], failed


def _rows(embedder: Embedder, batch: list[TextItem]) -> Iterable[Vectors]:
    """One row per item: its pooled vector (D,), or its last hidden state (L, D)."""
    if not any(item.work.options.per_token for item in batch):
        return _pooled(embedder, batch)
    rows: dict[int, Vectors] = {}
    for per_token, step in ((False, _pooled), (True, _hidden)):
        places = [i for i, item in enumerate(batch) if item.work.options.per_token == per_token]
        if not places:
            continue
        try:
            rows.update(zip(places, step(embedder, [batch[i] for i in places]), strict=True))
        except NotFinite as error:
            raise NotFinite(str(error), [places[i] for i in error.texts]) from error
    return [rows[i] for i in range(len(batch))]


def _pooled(embedder: Embedder, items: list[TextItem]) -> Iterable[Vectors]:
    tokens = [item.tokens for item in items]
    pooling = [item.work.options.pooling for item in items]
    return embedder.encode_tokens(tokens, pooling=pooling, normalize=False)


def _hidden(embedder: Embedder, items: list[TextItem]) -> Iterable[Vectors]:
    return embedder.token_embeddings([item.tokens for item in items])


def _not_finite(item: TextItem) -> HTTPError:
    return HTTPError(
        ErrorKind.BACKEND,
        f"The model's vector of text {item.index} of this request is not finite (NaN or "
        "infinity). Leave that text out, or serve another precision.",
    )
