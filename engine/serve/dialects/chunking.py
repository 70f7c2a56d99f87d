"""The field `chunking` of OpenAI's and TEI's routes: long texts in parts instead of cut off."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine import Embedder
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import Text, Vectors, Work, WorkOptions
from engine.serve.dialects.schemas import INTEGER, Schema, nullable, obj
from engine.serve.http import validation
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Request
from engine.serve.service import Service
from engine.vectors.chunks import Chunks

Spans = NDArray[np.int64]

MAX_CHUNKS = 2048  # of all texts of a request
MEAN, _ = RETURNS = ("mean", "chunks")
SPAN = {"start": INTEGER, "end": INTEGER}


def schema(models: Sequence[ServedModel]) -> Schema:
    """The field, for requests to any of these models."""
    least = max(map(_least, models))
    most = min(served.embedder.max_tokens for served in models)
    fields = {
        "max_tokens": nullable("integer", minimum=least, maximum=most),
        "overlap": nullable("number", minimum=0, maximum=0.5),
        "return": {"enum": [*RETURNS, None]},
    }
    return {"oneOf": [nullable("boolean"), obj(fields)]}


def _least(served: ServedModel) -> int:
    """The fewest tokens that a chunk must have, whatever prompt is before it."""
    prompts = [*served.embedder.prompts.values(), served.prompt_or_default(None)]
    return 1 + max(len(one) for one in served.embedder.tokenize(prompts, truncate=False))


@dataclass(frozen=True)
class Chunking:
    """How to divide the texts of a request: `Embedder.chunk_spans` says what the numbers mean."""

    max_tokens: int | None
    overlap: float
    mean: bool  # one vector a text, the mean of its chunks

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self | None:
        """What a request asks for; None if texts are not to be divided. Raises HTTPError."""
        given = body.get("chunking")
        if given is None or given is False:
            return None
        if given is True:
            given = {}
        if not isinstance(given, dict):
            raise validation.wrong("chunking", given, "true, false or an object")
        return cls(
            validation.whole_number(given, "max_tokens"),
            validation.given(given, "overlap", 0.0),
            validation.choice(given, "return", RETURNS, MEAN) == MEAN,
        )

    async def divide(
        self, served: ServedModel, texts: Sequence[Text], prompt: str | None
    ) -> list[Spans]:
        """The chunks text[start:stop] of each text, (n, 2); token ids are one chunk.

        Raises HTTPError, InputError.
        """
        prompt = served.prompt_or_default(prompt)
        return await asyncio.to_thread(self._divide, served.embedder, texts, prompt)

    def _divide(self, embedder: Embedder, texts: Sequence[Text], prompt: str) -> list[Spans]:
        divide = partial(
            embedder.chunk_spans,
            chunk_tokens=self.max_tokens,
            overlap=self.overlap,
            prompt=prompt,
        )
        spans: list[Spans] = []
        size = 0
        for text in texts:
            spans.append(divide(text) if isinstance(text, str) else np.array([[0, len(text)]]))
            size += len(spans[-1])
            if size > MAX_CHUNKS:
                raise HTTPError(
                    ErrorKind.INVALID,
                    f"the first {len(spans)} texts have {size} chunks; a request may have "
                    f"{MAX_CHUNKS}. Send fewer texts, or larger chunks.",
                    param="chunking",
                )
        return spans


@dataclass(frozen=True)
class Computed:
    """The vectors of a request, one for each text or, with `places`, for each chunk."""

    work: Work
    vectors: Vectors
    places: list[dict[str, int]] | None = None  # of each chunk: its text's index, start, end


async def compute(
    service: Service,
    request: Request,
    served: ServedModel,
    texts: Sequence[Text],
    options: WorkOptions,
    prompt: str | None,
    chunking: Chunking | None,
    *,
    normalize: bool = True,
    truncate_dim: int | None = None,
) -> Computed:
    """Computes the texts of a request, divided or not."""
    spans = None if chunking is None else await chunking.divide(served, texts, prompt)
    if spans is not None:
        texts = [part for each in zip(texts, spans, strict=True) for part in _parts(*each)]
    work = await service.embed(request, served, texts, options, prompt)
    vectors = work.vectors(normalize=normalize, truncate_dim=truncate_dim)
    if spans is None or chunking is None:
        return Computed(work, vectors)
    if chunking.mean:
        return Computed(work, _means(spans, vectors, work, normalize))
    places = [
        {"input": i, "start": start, "end": stop}
        for i, of in enumerate(spans)
        for start, stop in of.tolist()
    ]
    return Computed(work, vectors, places)


def _parts(text: Text, spans: Spans) -> list[Text]:
    if not isinstance(text, str):
        return [text]
    return [text[start:stop] for start, stop in spans.tolist()]


def _means(spans: list[Spans], vectors: Vectors, work: Work, normalize: bool) -> Vectors:
    """One vector for each text, from those of its chunks."""
    chunks = Chunks.of_texts(spans, vectors, [item.cost for item in work.items])
    return np.stack([each.mean(normalize=normalize) for each in chunks])


def by_text(rows: Iterable[Any], places: list[dict[str, int]]) -> list[list[dict[str, Any]]]:
    """For each text a list of its chunks: start, end, embedding."""
    texts: list[list[dict[str, Any]]] = []
    for row, place in zip(rows, places, strict=True):
        if place["input"] == len(texts):
            texts.append([])
        texts[-1].append({"start": place["start"], "end": place["end"], "embedding": row})
    return texts
