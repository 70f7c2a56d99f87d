"""The steps of the public API: texts to token ids, and token ids to vectors."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.catalog import registry
from engine.checkpoint.config import Config
from engine.checks import check_finite, checked_ids
from engine.errors import InputError
from engine.literals import SIDES, Side
from engine.options import check_choice, check_prompt, check_texts, check_vectors
from engine.tokenizer.tokens import Token, Tokenizer, Tokens
from engine.vectors.modules import Modules, weight_folders
from engine.vectors.pooling import pool_without_prompt

Vectors = NDArray[np.float32]
Ids = NDArray[np.int32]
Reload = tuple[Callable[..., "TokenEmbedder"], tuple[Any, ...]]


class Encoder(Protocol):
    """What each precision implements: token ids in, float32 out, in the order of the texts."""

    @property
    def target(self) -> str: ...
    @property
    def numerics(self) -> str: ...
    def pooled(self, ids: Sequence[Ids], poolings: Sequence[str]) -> Vectors: ...
    def hidden(self, ids: Sequence[Ids]) -> list[Vectors]: ...
    def close(self) -> None: ...


class TokenEmbedder:
    """The steps of `Embedder`. The service and the jobs call them one by one."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        modules: Modules,
        encoder: Encoder,
        *,
        entry: registry.Entry | None,
        precision: str,
        threads: int,
        reload: Reload,
    ) -> None:
        self.folder, self.config = folder, config
        self.precision, self.threads = precision, threads
        self.name = registry.name_of(folder, entry)
        self.hub_id = entry.hub_id if entry else None
        self.revision = entry.revision if entry else None
        known = entry.prompts if entry else {}
        self.prompts: Mapping[str, str] = {**known, **config.prompts}
        self.default_prompt = self.prompt_for(None)
        self._tokenizer = Tokenizer(
            config.transformer,
            max_tokens=config.max_tokens,
            vocabulary=config.vocabulary,
            do_lower_case=config.do_lower_case,
            threads=threads,
        )
        self._encoder, self._modules, self._reload = encoder, modules, reload

    @property
    def dim(self) -> int:
        """Length of a vector, D, unless a call passes truncate_dim."""
        return min(self._modules.width, self.config.truncate_dim or self._modules.width)

    @property
    def max_tokens(self) -> int:
        """The token limit of a text, including [CLS] and [SEP]."""
        return self.config.max_tokens

    @property
    def truncation_side(self) -> Side:
        """Which side a text over the limit loses, by the checkpoint: "right" or "left"."""
        return self._tokenizer.side

    @property
    def normalizes(self) -> bool:
        """Whether the checkpoint normalises its vectors to unit length."""
        return self._modules.normalize

    @property
    def pooling(self) -> str:
        """The checkpoint's pooling: "mean" or "cls"."""
        return self.config.pooling

    @property
    def target(self) -> str:
        """The kind of CPU that the kernels are compiled for, or "numpy" for the readable model."""
        return self._encoder.target

    @property
    def numerics(self) -> str:
        """What decides a vector's bits beside the checkpoint. Where it is equal, bits are.

        For the compiled kernels it names the arithmetic and the release, and many kinds of CPU
        have the same; for the readable model it names numpy, whose sums depend on the machine.
        """
        return self._encoder.numerics

    @cached_property
    def settings_hash(self) -> str:
        """SHA-256 (hex) of the files that are not weights: settings and tokenizer."""
        return registry.settings_hash(self.folder)

    @cached_property
    def model_hash(self) -> str:
        """SHA-256 (hex) of the weights, including those of the modules after the pooling."""
        folders = [self.config.transformer, *weight_folders(self.config.after_pooling)]
        hashes = [registry.weights_hash(folder) for folder in folders]
        return (
            hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        )

    def prompt_for(self, kind: str | None, prompt: str | None = None) -> str:
        """The text to put before each text, "" for none: the one rule of which prompt applies.

        `prompt`, if given, even an empty one. Else the checkpoint's prompt for `kind`, such as
        "query" or "document"; for None, the checkpoint's default prompt. A kind that the
        checkpoint does not name has none, as in sentence-transformers.
        """
        if prompt is not None:
            return prompt
        name = self.config.default_prompt if kind is None else kind
        return self.prompts.get(name, "") if name else ""

    def tokenize(
        self,
        texts: Iterable[str],
        *,
        prompt: str | None = None,
        add_special_tokens: bool = True,
        truncate: bool = True,
        truncation_side: Side | None = None,
        count_cut: bool = True,
    ) -> list[Tokens]:
        """Token ids of each text, truncated to the limit unless `truncate` is false.

        truncation_side: the side that a long text loses; None means the checkpoint's setting.
        count_cut: without it, `cut` may be less than what a long text loses, but no less than 1:
        a text of 10 MB that loses its end takes milliseconds then, not seconds.
        """
        texts = check_texts(texts)
        check_prompt(prompt)
        if truncation_side is not None:
            check_choice("truncation_side", truncation_side, SIDES)
        tokenize = partial(
            self._tokenizer.tokenize,
            special=add_special_tokens,
            truncate=truncate,
            side=truncation_side,
            count_cut=count_cut,
        )
        tokens = tokenize([(prompt or "") + text for text in texts])
        if not prompt or self.config.include_prompt:
            return tokens
        length = len(tokenize([prompt])[0]) - add_special_tokens  # without [SEP]
        return [replace(one, prompt=length) for one in tokens]

    def token_details(
        self, texts: Iterable[str], *, prompt: str | None = None, add_special_tokens: bool = True
    ) -> list[list[Token]]:
        """Each token of each text with its string and its offsets; nothing is truncated."""
        texts = check_texts(texts)
        check_prompt(prompt)
        details = self._tokenizer.details
        return [details((prompt or "") + text, special=add_special_tokens) for text in texts]

    def encode_tokens(
        self,
        tokens: Sequence[Tokens],
        *,
        pooling: str | Sequence[str] | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
    ) -> Vectors:
        """Vectors (n, D) of tokenised texts; `pooling` may be one for all, or one for each text.

        Raises InputError for ids outside the vocabulary, TooLong, and NotFinite.
        """
        pooling = self.pooling if pooling is None else pooling
        poolings = [pooling] * len(tokens) if isinstance(pooling, str) else list(pooling)
        if len(poolings) != len(tokens):
            raise InputError(
                f"{len(poolings)} poolings for {len(tokens)} texts; give one for each."
            )
        check_vectors(poolings, truncate_dim, self._modules.width)
        tokens = self._checked(tokens)
        if any(one.prompt for one in tokens):
            pooled_SD = pool_without_prompt(self._encoder.hidden, tokens, poolings)
        else:
            pooled_SD = self._encoder.pooled([one.ids for one in tokens], poolings)
        vectors_SD = self._modules(pooled_SD)
        check_finite(vectors_SD)
        if normalize is None and self._modules.normalize:
            vectors_SD = model.normalize(vectors_SD)
        cut = truncate_dim or self.config.truncate_dim
        return self.finish(vectors_SD, normalize=bool(normalize), truncate_dim=cut)

    def token_embeddings(self, tokens: Sequence[Tokens]) -> list[Vectors]:
        """The last hidden state (L, D) of each text, neither pooled nor normalised."""
        hidden = self._encoder.hidden([one.ids for one in self._checked(tokens)])
        check_finite(hidden)
        return hidden

    @staticmethod
    def finish(
        pooled_SD: Vectors, *, normalize: bool = True, truncate_dim: int | None = None
    ) -> Vectors:
        """The last step of `encode`, row by row: truncate to truncate_dim, then normalise."""
        kept_SD = np.ascontiguousarray(pooled_SD[:, :truncate_dim])
        return model.normalize(kept_SD) if normalize else kept_SD

    def _checked(self, tokens: Sequence[Tokens]) -> list[Tokens]:
        vocabulary, limit = self.config.vocabulary, self.max_tokens
        checked = [checked_ids(one.ids, vocabulary, limit) for one in tokens]
        return [
            one if ids is one.ids else replace(one, ids=ids)
            for one, ids in zip(tokens, checked, strict=True)
        ]

    def close(self) -> None:
        """Ends the threads and releases the weights; the embedder cannot be used afterwards."""
        self._encoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Reload:
        return self._reload

    def __repr__(self) -> str:
        return (
            f"<Embedder {self.name}: {self.dim} numbers, {self.precision}, threads={self.threads}>"
        )
