"""The public API: text -> tokens -> encoder -> pooling -> vectors, in the order of the texts."""

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from engine.checks import not_finite
from engine.errors import NotFinite
from engine.literals import OnTruncate, Pooling
from engine.options import (
    CutCount,
    EncodeKeywords,
    EncodeOptions,
    check_count,
    check_texts,
    each_text,
)
from engine.system.progress import Progress
from engine.token_embedder import TokenEmbedder, Vectors
from engine.tokenizer.tokens import Tokens
from engine.vectors.similarity import similarity

WINDOW = 2048  # texts that are tokenised and computed together


class Embedder(TokenEmbedder):
    """Texts in, vectors out. Made by `engine.load`; safe to share between threads.

    A copy, or one that another process gets, is loaded again from the same folder.
    """

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        on_truncate: OnTruncate = "warn",
        show_progress_bar: bool = False,
    ) -> Vectors:
        """Vectors, float32: (D,) for one string, (n, D) for an iterable of n strings.

        prompt: put before each text; None means the checkpoint's default, if it names one.
        pooling: "mean" or "cls"; None means what the checkpoint says. truncate_dim: keep only the
        first numbers of each vector; None means what the checkpoint says. normalize: True makes
        each vector one of unit length, after the cut to truncate_dim; False leaves it as it is;
        None does what the checkpoint says, which is unit length before the cut for nearly all.
        on_truncate: what to do about a text over the token limit, "warn" (cut it, one warning a
        call), "error" (TooLong) or "ignore". Raises InputError.
        """
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
        return vectors[0] if isinstance(texts, str) else vectors

    def encode_query(
        self, texts: str | Iterable[str], **options: Unpack[EncodeKeywords]
    ) -> Vectors:
        """As `encode`, with the checkpoint's prompt for queries; without one, no prompt at all."""
        options["prompt"] = self.prompt_for("query", options.get("prompt"))
        return self.encode(texts, **options)

    def encode_document(
        self, texts: str | Iterable[str], **options: Unpack[EncodeKeywords]
    ) -> Vectors:
        """As `encode`, with the checkpoint's prompt for documents; without one, no prompt."""
        options["prompt"] = self.prompt_for("document", options.get("prompt"))
        return self.encode(texts, **options)

    def stream(
        self, texts: Iterable[str], *, chunk: int = WINDOW, **options: Unpack[EncodeKeywords]
    ) -> Iterator[Vectors]:
        """Arrays (m, D), m <= `chunk`, in the order of `texts`, which may be endless.

        Memory follows `chunk`, not the number of texts. Options are those of `encode`.
        """
        checked, each = EncodeOptions(**options).checked(self._modules.width), each_text(texts)
        total = len(texts) if isinstance(texts, Sized) else None
        return self._stream(each, check_count("chunk", chunk), checked, total)

    def _stream(
        self, texts: Iterator[str], chunk: int, options: EncodeOptions, total: int | None
    ) -> Iterator[Vectors]:
        cut = CutCount(self.config.max_tokens, options.on_truncate)
        prompt = self.prompt_for(None, options.prompt)
        with Progress(total, options.show_progress_bar) as progress:
            while window := list(itertools.islice(texts, chunk)):
                check_texts(window, cut.texts)
                tokens = self.tokenize(window, prompt=prompt)
                cut.add(tokens)
                yield self._encode_window(tokens, options, cut.texts - len(window))
                progress.add(len(window))
        cut.warn()

    def _encode_window(
        self, tokens: Sequence[Tokens], options: EncodeOptions, first: int
    ) -> Vectors:
        """Vectors of the texts from number `first` on."""
        try:
            return self.encode_tokens(
                tokens,
                pooling=options.pooling,
                normalize=options.normalize,
                truncate_dim=options.truncate_dim,
            )
        except NotFinite as error:
            raise not_finite([first + text for text in error.texts]) from None

    def count_tokens(self, texts: str | Iterable[str]) -> int | list[int]:
        """Tokens of each text before cutting, [CLS] and [SEP] included; an int for one string."""
        counts = self._tokenizer.count(check_texts([texts] if isinstance(texts, str) else texts))
        return counts[0] if isinstance(texts, str) else counts

    def similarity(self, a: ArrayLike, b: ArrayLike) -> Vectors:
        """Each row of `a` (n, D) with each row of `b` (m, D): (n, m).

        The checkpoint's measure: "cosine" unless it says "dot", "euclidean" or "manhattan"; the
        last two count negative. Raises InputError.
        """
        return similarity(self.config.similarity, a, b)
