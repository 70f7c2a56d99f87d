"""The public API: text -> tokens -> encoder -> pooling -> vectors, in the order of the texts."""

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import partial
from typing import Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.checks import checked_ids, not_finite
from engine.errors import InputError, NotFinite
from engine.literals import OnTruncate, Pooling
from engine.options import (
    ChunkArgs,
    CutCount,
    EncodeArgs,
    EncodeOptions,
    check_count,
    check_known,
    check_texts,
    each_text,
)
from engine.system.progress import Progress
from engine.token_embedder import TokenEmbedder, Vectors
from engine.tokenizer.tokens import Tokens
from engine.vectors.chunks import Chunks, spans_within
from engine.vectors.similarity import similarity

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]
WINDOW = 2048  # texts that are tokenised and computed together, at least
# Queries of 9 tokens make 4 batches for each thread, so that the last ones leave few threads idle.
WINDOW_A_THREAD = 256


class Embedder(TokenEmbedder):
    """Texts in, vectors out. Made by `engine.load`; safe to share between threads.

    Copying or unpickling one loads the same folder again.
    """

    @overload  # a str is an Iterable[str] too; type checkers take the first that fits
    def encode(self, texts: str, **options: Unpack[EncodeArgs]) -> Vector: ...  # type: ignore[overload-overlap]
    @overload
    def encode(self, texts: Iterable[str], **options: Unpack[EncodeArgs]) -> Matrix: ...
    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        on_truncate: OnTruncate = "warn",
        show_progress_bar: bool = False,
        **unknown: object,
    ) -> Vectors:
        """Vectors, float32: (D,) for one string, (n, D) for an iterable of n strings.

        prompt: put before each text; None means the checkpoint's prompt called prompt_name, or
        else its default prompt, if it has one. pooling: "mean" or "cls"; None means the
        checkpoint's. truncate_dim: keep only the first components of each vector; None means the
        checkpoint's setting. normalize: True scales each vector to unit length after truncate_dim
        is applied; False does not; None follows the checkpoint, and most checkpoints normalise
        before truncate_dim is applied.
        on_truncate: for a text over the token limit, "warn" (truncate it, one warning per call),
        "error" (raise TooLong) or "ignore" (truncate it). Raises InputError.
        """
        check_known(unknown)
        parts = list(
            self.stream(
                [texts] if isinstance(texts, str) else texts,
                chunk=max(WINDOW, WINDOW_A_THREAD * self.threads),
                prompt=prompt,
                prompt_name=prompt_name,
                pooling=pooling,
                normalize=normalize,
                truncate_dim=truncate_dim,
                on_truncate=on_truncate,
                show_progress_bar=show_progress_bar,
            )
        )
        vectors = np.concatenate(parts) if parts else np.empty((0, truncate_dim or self.dim), "f4")
        return vectors[0] if isinstance(texts, str) else vectors

    @overload
    def encode_query(self, texts: str, **options: Unpack[EncodeArgs]) -> Vector: ...  # type: ignore[overload-overlap]
    @overload
    def encode_query(self, texts: Iterable[str], **options: Unpack[EncodeArgs]) -> Matrix: ...
    def encode_query(self, texts: str | Iterable[str], **options: Unpack[EncodeArgs]) -> Vectors:
        """As `encode`, with the checkpoint's prompt for queries, or none if it has none."""
        options["prompt"] = self._prompt("query", options)
        return self.encode(texts, **options)

    @overload
    def encode_document(self, texts: str, **options: Unpack[EncodeArgs]) -> Vector: ...  # type: ignore[overload-overlap]
    @overload
    def encode_document(self, texts: Iterable[str], **options: Unpack[EncodeArgs]) -> Matrix: ...
    def encode_document(self, texts: str | Iterable[str], **options: Unpack[EncodeArgs]) -> Vectors:
        """As `encode`, with the checkpoint's prompt for documents, or none if it has none."""
        options["prompt"] = self._prompt("document", options)
        return self.encode(texts, **options)

    async def aencode(self, texts: str | Iterable[str], **options: Unpack[EncodeArgs]) -> Vectors:
        """As `encode`, in another thread, for asyncio: the event loop goes on meanwhile."""
        import asyncio  # not with the library: few callers need it

        return await asyncio.to_thread(lambda: self.encode(texts, **options))

    def _prompt(self, kind: str | None, options: EncodeArgs) -> str:
        """The text of `prompt`, else of `prompt_name`, else the checkpoint's prompt for `kind`."""
        prompt, name = options.get("prompt"), options.get("prompt_name")
        if prompt is not None or name is None:
            return self.prompt_for(kind, prompt)
        if not isinstance(name, str) or name not in self.prompts:
            raise InputError(
                f"prompt_name is {name!r}; the prompts of this model are {[*self.prompts]}. "
                "Give one of them, or the text itself as prompt."
            )
        return self.prompts[name]

    def stream(
        self, texts: Iterable[str], *, chunk: int = WINDOW, **options: Unpack[EncodeArgs]
    ) -> Iterator[Vectors]:
        """Yields arrays (m, D), m <= `chunk`, in the order of `texts`, which may be infinite.

        Memory use depends on `chunk`, not on the number of texts. Options are those of `encode`.
        """
        check_known(options)
        options["prompt"] = self._prompt(None, options)
        checked, each = EncodeOptions(**options).checked(self._modules.width), each_text(texts)
        total = len(texts) if isinstance(texts, Sized) else None
        return self._stream(each, check_count("chunk", chunk), checked, total)

    def _stream(
        self, texts: Iterator[str], chunk: int, options: EncodeOptions, total: int | None
    ) -> Iterator[Vectors]:
        cut = CutCount(self.config.max_tokens, options.on_truncate)
        with Progress(total, options.show_progress_bar) as progress:
            while window := list(itertools.islice(texts, chunk)):
                check_texts(window, cut.texts)
                tokens = self.tokenize(window, prompt=options.prompt)
                cut.add(tokens)
                yield self._encode_window(tokens, options, cut.texts - len(window))
                progress.add(len(window))
        cut.warn()

    def _encode_window(self, tokens: list[Tokens], options: EncodeOptions, first: int) -> Vectors:
        """Vectors of one window; `first` is the index of its first text in the call.

        Texts of the same tokens are computed once.
        """
        keys = [(one.ids.tobytes(), one.prompt) for one in tokens]
        distinct = dict(zip(keys, tokens, strict=True))
        rows = {key: row for row, key in enumerate(distinct)}
        try:
            vectors = self.encode_tokens(
                list(distinct.values()),
                pooling=options.pooling,
                normalize=options.normalize,
                truncate_dim=options.truncate_dim,
            )
        except NotFinite as error:
            failed = [text for text, key in enumerate(keys) if rows[key] in error.texts]
            raise not_finite([first + text for text in failed]) from None
        return vectors if len(rows) == len(keys) else vectors[[rows[key] for key in keys]]

    def chunk_spans(
        self,
        text: str,
        *,
        chunk_tokens: int | None = None,
        overlap: float = 0.0,
        prompt: str | None = None,
    ) -> NDArray[np.int64]:
        """Where to divide a text that is over the limit: (n, 2), the chunks text[start:stop].

        chunk_tokens: how many tokens a chunk may have, the special ones and the prompt's included;
        None means the limit of the model. Chunks end with words; only a word that is longer than a
        chunk is divided. overlap: the share of a chunk that the next one repeats, at most, in whole
        words: 0 to 0.5. A short text is one chunk. Raises InputError.
        """
        check_texts([text])
        if chunk_tokens is not None:
            chunk_tokens = check_count("chunk_tokens", chunk_tokens, self.max_tokens)
        prompt = self.prompt_for(None, prompt)
        return spans_within(self._tokenizer, text, chunk_tokens, overlap, prompt)

    @overload
    def encode_chunks(self, texts: str, **options: Unpack[ChunkArgs]) -> Chunks: ...  # type: ignore[overload-overlap]
    @overload
    def encode_chunks(self, texts: Iterable[str], **options: Unpack[ChunkArgs]) -> list[Chunks]: ...
    def encode_chunks(
        self,
        texts: str | Iterable[str],
        *,
        chunk_tokens: int | None = None,
        overlap: float = 0.0,
        **options: Unpack[EncodeArgs],
    ) -> Chunks | list[Chunks]:
        """The vectors of all parts of long texts: Chunks for one string, else a list of them.

        chunk_tokens and overlap are those of `chunk_spans`, the options those of `encode`.
        """
        given = check_texts([texts] if isinstance(texts, str) else texts)
        prompt = self._prompt(None, options)
        divide = partial(self.chunk_spans, chunk_tokens=chunk_tokens, overlap=overlap)
        spans = [divide(text, prompt=prompt) for text in given]
        parts = [text[a:b] for text, of in zip(given, spans, strict=True) for a, b in of.tolist()]
        vectors = self.encode(parts, **options)
        counts = self._tokenizer.count([prompt + part for part in parts])
        chunks = Chunks.of_texts(spans, vectors, counts)
        return chunks[0] if isinstance(texts, str) else chunks

    @overload
    def count_tokens(self, texts: str) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def count_tokens(self, texts: Iterable[str]) -> list[int]: ...
    def count_tokens(self, texts: str | Iterable[str]) -> int | list[int]:
        """Tokens of each text before truncation, with [CLS] and [SEP]; an int for one string."""
        counts = self._tokenizer.count(check_texts([texts] if isinstance(texts, str) else texts))
        return counts[0] if isinstance(texts, str) else counts

    def tokens_of(self, ids: Sequence[int], *, truncate: bool = True) -> Tokens:
        """Token ids that somebody else has made, special tokens included, for `encode_tokens`.

        Too many are cut in front of the last one, [SEP]. Raises InputError for an id outside the
        vocabulary; TooLong for too many, if `truncate` is false.
        """
        cut = max(0, len(ids) - self.max_tokens)
        kept = [*ids[: self.max_tokens - 1], ids[-1]] if cut and truncate else ids
        return Tokens(checked_ids(kept, self.config.vocabulary, self.max_tokens), cut)

    def decode(self, ids: ArrayLike, *, skip_special_tokens: bool = True) -> str:
        """The text of token ids (L,), L >= 1, of any length. Raises InputError.

        It is not always the text that was tokenised: case, accents and spaces may be lost.
        """
        checked = checked_ids(ids, self.config.vocabulary, np.iinfo(np.int32).max)
        return self._tokenizer.decode(checked, skip_special=skip_special_tokens)

    def similarity(self, a: ArrayLike, b: ArrayLike) -> Vectors:
        """Similarity of each row of `a` (n, D) to each row of `b` (m, D): (n, m).

        By the checkpoint's function: "cosine" unless it names "dot", "euclidean" or "manhattan".
        Distances are negated, so that larger means more similar. Raises InputError.
        """
        return similarity(self.config.similarity, a, b)
