"""The hall where the rooms meet: text -> tokens -> encoder -> pooling -> vectors, in order."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine import model, registry
from engine.config import Config
from engine.errors import InputError, TooLong
from engine.options import Choice, CutCount, Options, check_vectors
from engine.progress import Progress
from engine.tokens import Token, Tokenizer, Tokens

Vectors = NDArray[np.float32]
Ids = NDArray[np.int32]

WINDOW = 2048  # texts that are tokenised and computed together


class Encoder(Protocol):
    """What a precision offers: token ids in, float32 out, the order of the texts kept."""

    @property
    def target(self) -> str: ...
    def pooled(self, ids: Sequence[Ids], poolings: Sequence[str]) -> Vectors: ...
    def hidden(self, ids: Sequence[Ids]) -> list[Vectors]: ...
    def close(self) -> None: ...


class Embedder:
    """Texts in, vectors out. Made by `engine.load`; safe to share between threads."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        encoder: Encoder,
        *,
        entry: registry.Entry | None,
        precision: str,
        threads: int,
    ) -> None:
        self.folder, self.config = folder, config
        self.precision, self.threads = precision, threads
        self.name = entry.name if entry else folder.resolve().name
        self.hub_id = entry.hub_id if entry else None
        self.revision = entry.revision if entry else None
        known = entry.prompts if entry else {}
        self.prompts: Mapping[str, str] = {**known, **self.config.prompts}
        self.default_prompt = self.prompts.get(self.config.default_prompt or "")
        self._tokenizer = Tokenizer(folder, config.max_tokens, threads)
        self._encoder = encoder

    @property
    def dim(self) -> int:
        """Length of a vector, D."""
        return self.config.hidden

    @property
    def max_tokens(self) -> int:
        """The most tokens a text may have, [CLS] and [SEP] included."""
        return self.config.max_tokens

    @property
    def pooling(self) -> str:
        """What the checkpoint says: "mean" or "cls"."""
        return self.config.pooling

    @property
    def target(self) -> str:
        """The kind of CPU whose kernels compute here, or "numpy" for the readable model."""
        return self._encoder.target

    @cached_property
    def model_hash(self) -> str:
        """SHA-256 (hex) of the weights."""
        return registry.weights_hash(self.folder)

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = None,
        pooling: str | None = None,
        normalize: bool = True,
        truncate_dim: int | None = None,
        on_truncate: str = "warn",
        show_progress_bar: bool = False,
    ) -> Vectors:
        """Vectors of unit length: (D,) for one string, (n, D) for an iterable of n strings.

        prompt: put before each text; None means the checkpoint's default, if it names one.
        pooling: "mean" or "cls"; None means what the checkpoint says. truncate_dim: keep only the
        first numbers of each vector. on_truncate: what to do about a text over the token limit,
        "warn" (cut it, one warning a call), "error" (TooLong) or "ignore". Raises InputError.
        """
        one = isinstance(texts, str)
        parts = list(
            self.stream(
                [texts] if isinstance(texts, str) else texts,
                prompt=prompt,
                pooling=pooling,
                normalize=normalize,
                truncate_dim=truncate_dim,
                on_truncate=on_truncate,
                show_progress_bar=show_progress_bar,
            )
        )
        vectors = np.concatenate(parts) if parts else np.empty((0, truncate_dim or self.dim), "f4")
        return vectors[0] if one else vectors

    def encode_query(self, texts: str | Iterable[str], **options: Unpack[Options]) -> Vectors:
        """As `encode`, with the checkpoint's prompt for queries, where it has one."""
        options.setdefault("prompt", self.prompts.get("query"))
        return self.encode(texts, **options)

    def encode_document(self, texts: str | Iterable[str], **options: Unpack[Options]) -> Vectors:
        """As `encode`, with the checkpoint's prompt for documents, where it has one."""
        options.setdefault("prompt", self.prompts.get("document"))
        return self.encode(texts, **options)

    def stream(
        self, texts: Iterable[str], *, chunk: int = WINDOW, **options: Unpack[Options]
    ) -> Iterator[Vectors]:
        """Arrays (m, D), m <= `chunk`, in the order of `texts`, which may be endless.

        Memory follows `chunk`, not the number of texts. Options are those of `encode`.
        """
        choice = Choice(**options).checked(self.config)
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise InputError(f"texts is {type(texts).__name__}; give an iterable of strings.")
        if chunk < 1:
            raise InputError(f"chunk is {chunk}; give a positive number of texts.")
        total = len(texts) if isinstance(texts, Sized) else None
        return self._stream(iter(texts), chunk, choice, total)

    def _stream(
        self, texts: Iterator[str], chunk: int, choice: Choice, total: int | None
    ) -> Iterator[Vectors]:
        cut = CutCount(self.config.max_tokens, choice.on_truncate)
        with Progress(total, choice.show_progress_bar) as progress:
            while window := list(itertools.islice(texts, chunk)):
                prompt = self.default_prompt if choice.prompt is None else choice.prompt
                tokens = self.tokenize(window, prompt=prompt)
                cut.add(tokens)
                yield self.encode_tokens(
                    tokens,
                    pooling=choice.pooling,
                    normalize=choice.normalize,
                    truncate_dim=choice.truncate_dim,
                )
                progress.add(len(window))
        cut.warn()

    def count_tokens(self, texts: str | Iterable[str]) -> int | list[int]:
        """Tokens of each text before cutting, [CLS] and [SEP] included; an int for one string."""
        if isinstance(texts, str):
            return len(self.tokenize([texts], truncate=False)[0])
        return [len(tokens) for tokens in self.tokenize(list(texts), truncate=False)]

    def similarity(self, a: ArrayLike, b: ArrayLike) -> Vectors:
        """Cosine of each row of `a` (n, D) with each row of `b` (m, D): (n, m)."""
        rows = [np.atleast_2d(np.asarray(x, np.float32)) for x in (a, b)]
        if rows[0].shape[1] != rows[1].shape[1]:
            raise InputError(
                f"similarity of vectors of length {rows[0].shape[1]} with vectors of length "
                f"{rows[1].shape[1]}: both must come from one model."
            )
        return model.normalize(rows[0]) @ model.normalize(rows[1]).T  # type: ignore[no-any-return]

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        add_special_tokens: bool = True,
        truncate: bool = True,
        truncation_side: str = "right",
    ) -> list[Tokens]:
        """Token ids of each text, cut to the limit unless `truncate` is false."""
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {i} is of type {type(text).__name__}; give strings.")
        if prompt:
            texts = [prompt + text for text in texts]
        return self._tokenizer.tokenize(
            texts, special=add_special_tokens, truncate=truncate, side=truncation_side
        )

    def token_details(
        self, texts: Sequence[str], *, prompt: str | None = None, add_special_tokens: bool = True
    ) -> list[list[Token]]:
        """Each token of each text with its string and its place in the text; nothing is cut."""
        details = self._tokenizer.details
        return [details((prompt or "") + text, special=add_special_tokens) for text in texts]

    def encode_tokens(
        self,
        tokens: Sequence[Tokens],
        *,
        pooling: str | Sequence[str] | None = None,
        normalize: bool = True,
        truncate_dim: int | None = None,
    ) -> Vectors:
        """Vectors (n, D) of texts that `tokenize` has made ids of; `pooling` may differ by text."""
        pooling = pooling or self.pooling
        poolings = [pooling] * len(tokens) if isinstance(pooling, str) else list(pooling)
        check_vectors(poolings, truncate_dim, self.dim)
        pooled_SD = self._encoder.pooled([self._fitting(one) for one in tokens], poolings)
        return self.finish(pooled_SD, normalize=normalize, truncate_dim=truncate_dim)

    def token_embeddings(self, tokens: Sequence[Tokens]) -> list[Vectors]:
        """The last hidden state (L, D) of each text, neither pooled nor normalised."""
        return self._encoder.hidden([self._fitting(one) for one in tokens])

    @staticmethod
    def finish(
        pooled_SD: Vectors, *, normalize: bool = True, truncate_dim: int | None = None
    ) -> Vectors:
        """The last step of `encode`, row by row: keep the first numbers, then to unit length."""
        kept_SD = np.ascontiguousarray(pooled_SD[:, :truncate_dim])
        return model.normalize(kept_SD) if normalize else kept_SD

    def _fitting(self, tokens: Tokens) -> Ids:
        if not 0 < len(tokens) <= self.max_tokens:
            raise TooLong(
                f"{len(tokens)} tokens; this model takes 1 to {self.max_tokens}. "
                "`tokenize` cuts to the limit."
            )
        return tokens.ids

    def close(self) -> None:
        """Ends the threads and releases the weights; the embedder is not usable afterwards."""
        self._encoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Embedder {self.name}: {self.dim} numbers, {self.precision}, threads={self.threads}>"
        )
