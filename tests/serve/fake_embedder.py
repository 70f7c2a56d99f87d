"""An Embedder without a model: the tokens of a text are the lengths of its words. It records its
calls, and can be slow, fail, or raise NotFinite for some texts."""

import itertools
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine import Embedder, model
from engine.errors import InputError, NotFinite, TooLong
from engine.tokenizer.tokens import LONG

DIM, VOCABULARY = 16, 600  # ids of 666 and 777 have a meaning, see `_work`


@dataclass(frozen=True)
class FakeTokens:
    ids: np.ndarray
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class FakeToken:
    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class FakeEmbedder:
    """Each word is a token, and its id is the word's length. The first id is 1, the last is 2."""

    hub_id = revision = None
    config = SimpleNamespace(vocabulary=VOCABULARY)
    dim, max_tokens, pooling, precision, threads = DIM, 64, "cls", "fake", 1
    truncation_side, normalizes = "right", True
    model_hash, settings_hash, numerics = "f" * 64, "e" * 64, "fake"
    finish = staticmethod(Embedder.finish)
    similarity = Embedder.similarity

    def __init__(
        self, name: str = "fake", *, seconds_a_batch: float = 0.0, seconds_a_token: float = 0.0
    ) -> None:
        self.name = name
        self.prompts = {"query": "question: "}
        self.default_prompt: str | None = None
        self.seconds_a_batch, self.seconds_a_token = seconds_a_batch, seconds_a_token
        self.batches: list[list[int]] = []  # the lengths of the texts of each
        self.tokenised: list[list[str]] = []
        self.counted: list[bool] = []  # the argument count_cut of each
        self.free = threading.Event()  # cleared, every batch waits
        self.free.set()
        self.closed = False

    def prompt_for(self, kind: str | None, prompt: str | None = None) -> str:
        if prompt is not None:
            return prompt
        return self.prompts.get(kind, "") if kind else self.default_prompt or ""

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        truncation_side: str | None = None,
        count_cut: bool = True,
        **_: object,
    ) -> list[FakeTokens]:
        self.tokenised.append(list(texts))
        self.counted.append(count_cut)
        found = [self._tokens(text, truncation_side or "right") for text in texts]
        for i, text in enumerate(texts):
            if len(text) > LONG and not count_cut:
                found[i] = replace(found[i], cut=min(found[i].cut, 1))
        return found

    def _tokens(self, text: str, side: str = "right") -> FakeTokens:
        words = [len(word) for word in text.split()]
        room = self.max_tokens - 2
        kept = words[:room] if side == "right" else words[-room:]
        return FakeTokens(np.array([1, *kept, 2], np.int32), len(words) - len(kept))

    def tokens_of(self, ids: Sequence[int], *, truncate: bool = True) -> FakeTokens:
        for each in ids:
            if not 0 <= each < VOCABULARY:
                raise InputError(f"token id {each} is not in the vocabulary")
        if len(ids) > self.max_tokens and not truncate:
            raise TooLong(f"a text has {len(ids)} tokens")
        return FakeTokens(np.array(ids[: self.max_tokens], np.int32))

    def chunk_spans(
        self,
        text: str,
        *,
        chunk_tokens: int | None = None,
        overlap: float = 0.0,
        prompt: str | None = None,
    ) -> np.ndarray:
        """Chunks of whole words, without overlap."""
        room = (chunk_tokens or self.max_tokens) - 2 - len(self.prompt_for(None, prompt).split())
        if room < 1 or (chunk_tokens or 0) > self.max_tokens:
            raise InputError(f"chunk_tokens is {chunk_tokens}")
        if type(overlap) not in (int, float) or not 0 <= overlap <= 0.5:
            raise InputError(f"overlap is {overlap!r}")
        words = [(word.start(), word.end()) for word in re.finditer(r"\S+", text)]
        groups = [words[i : i + room] for i in range(0, len(words), room)]
        return np.array([(group[0][0], group[-1][1]) for group in groups] or [(0, len(text))])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Words of as many letters as the ids say."""
        tokens = self.tokens_of(ids[: self.max_tokens]).ids.tolist()
        return " ".join("w" * each for each in tokens if each > 2 or not skip_special_tokens)

    def token_details(
        self, texts: Sequence[str], *, add_special_tokens: bool = True, **_: object
    ) -> list[list[FakeToken]]:
        return [self._details(text, add_special_tokens) for text in texts]

    def _details(self, text: str, special: bool) -> list[FakeToken]:
        found, at = [], 0
        for word in text.split():
            start = text.index(word, at)
            at = start + len(word)
            found.append(FakeToken(len(word), word, False, start, at))
        ends = [FakeToken(1, "[CLS]", True, None, None), FakeToken(2, "[SEP]", True, None, None)]
        return [ends[0], *found, ends[1]] if special else found

    def encode_tokens(
        self,
        tokens: Sequence[FakeTokens],
        *,
        pooling: str | Sequence[str] | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
    ) -> np.ndarray:
        self._work(tokens)
        pooling = pooling or self.pooling
        poolings = [pooling] * len(tokens) if isinstance(pooling, str) else pooling
        rows = np.stack([self._pooled(one, how) for one, how in zip(tokens, poolings, strict=True)])
        if normalize is None:
            rows = model.normalize(rows)
        return self.finish(rows, normalize=bool(normalize), truncate_dim=truncate_dim)

    def _pooled(self, tokens: FakeTokens, pooling: str) -> np.ndarray:
        row = np.zeros(DIM, np.float32)
        np.add.at(row, np.arange(len(tokens)) % (DIM - 1), tokens.ids)
        row[-1] = {"cls": 3.0, "mean": 5.0}[pooling]
        return row

    def token_embeddings(self, tokens: Sequence[FakeTokens]) -> list[np.ndarray]:
        self._work(tokens)
        return [np.repeat(one.ids.astype(np.float32)[:, None], DIM, axis=1) for one in tokens]

    def _work(self, tokens: Sequence[FakeTokens]) -> None:
        self.batches.append([len(one) for one in tokens])
        if any(666 in one.ids for one in tokens):  # a word of 666 letters
            raise RuntimeError("the fake model fails on this text")
        bad = [i for i, one in enumerate(tokens) if 777 in one.ids]  # a word of 777 letters
        if bad:
            raise NotFinite(f"vectors that are not finite: of texts {bad}", bad)
        self.free.wait()
        time.sleep(self.seconds_a_batch + self.seconds_a_token * sum(map(len, tokens)))

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        on_truncate: str = "warn",
    ) -> np.ndarray:
        one = isinstance(texts, str)
        tokens = [self._tokens(text) for text in ([texts] if one else texts)]
        vectors = self.encode_tokens(
            tokens, pooling=pooling, normalize=normalize, truncate_dim=truncate_dim
        )
        return vectors[0] if one else vectors

    def stream(self, texts: Iterable[str], *, chunk: int = 2048, **options: Any) -> Iterator[Any]:
        options.pop("show_progress_bar", None)
        options.pop("prompt", None)
        left = iter(texts)
        while window := list(itertools.islice(left, chunk)):
            yield self.encode(window, **options)

    def __enter__(self) -> "FakeEmbedder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
