"""The options of `Embedder.encode`: their types, their defaults, and what they may not be."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from engine.config import Config
from engine.errors import InputError, TooLong, TruncationWarning
from engine.tokens import Tokens

POOLINGS = ("mean", "cls")
ON_TRUNCATE = ("warn", "error", "ignore")


class Options(TypedDict, total=False):
    """As a caller may give them; `Embedder.encode` says what each means."""

    prompt: str | None
    pooling: str | None
    normalize: bool
    truncate_dim: int | None
    on_truncate: str
    show_progress_bar: bool


@dataclass(frozen=True)
class Choice:
    """The same, with the defaults filled in and checked."""

    prompt: str | None = None
    pooling: str | None = None
    normalize: bool = True
    truncate_dim: int | None = None
    on_truncate: str = "warn"
    show_progress_bar: bool = False

    def __post_init__(self) -> None:
        if self.prompt is not None and not isinstance(self.prompt, str):
            raise InputError(f"prompt is {self.prompt!r}; give a string, or None.")
        if self.on_truncate not in ON_TRUNCATE:
            raise InputError(
                f"on_truncate is {self.on_truncate!r}; it may be one of {', '.join(ON_TRUNCATE)}."
            )

    def checked(self, config: Config) -> "Choice":
        check_vectors([self.pooling or config.pooling], self.truncate_dim, config.hidden)
        return self


def check_vectors(poolings: Sequence[str], truncate_dim: int | None, dim: int) -> None:
    """InputError unless each pooling is one of POOLINGS and 1 <= truncate_dim <= dim."""
    for pooling in poolings:
        if pooling not in POOLINGS:
            raise InputError(f"pooling is {pooling!r}; it may be one of {', '.join(POOLINGS)}.")
    if truncate_dim is None:
        return
    if not isinstance(truncate_dim, int) or not 1 <= truncate_dim <= dim:
        raise InputError(f"truncate_dim is {truncate_dim!r}; it may be from 1 to {dim}, or None.")


class CutCount:
    """Counts the texts that were cut, in one call; says so once, or refuses."""

    def __init__(self, max_tokens: int, on_truncate: str) -> None:
        self.max_tokens, self.on_truncate = max_tokens, on_truncate
        self.texts = self.cut_texts = self.cut_tokens = 0

    def add(self, tokens: Sequence[Tokens]) -> None:
        for one in tokens:
            if one.cut and self.on_truncate == "error":
                raise TooLong(
                    f"text {self.texts} has {len(one) + one.cut} tokens; this model takes "
                    f"{self.max_tokens}. Split the text, or cut it with on_truncate='warn'."
                )
            self.texts += 1
            self.cut_texts += one.cut > 0
            self.cut_tokens += one.cut

    def warn(self) -> None:
        if self.cut_texts and self.on_truncate == "warn":
            warnings.warn(
                f"{self.cut_texts} of {self.texts} texts were longer than {self.max_tokens} tokens "
                f"and were cut; {self.cut_tokens} tokens at their ends were left out. "
                "Split long texts, or say on_truncate='ignore'.",
                TruncationWarning,
                stacklevel=4,
            )
