"""The options of `Embedder.encode`: types, defaults, validation."""

import operator
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np

from engine.errors import InputError, TooLong, TruncationWarning, UnknownOption
from engine.literals import ON_TRUNCATE, POOLINGS, OnTruncate, Pooling
from engine.tokenizer.tokens import Tokens

PACKAGE = str(Path(__file__).parent) + os.sep

# Options of other libraries' `encode`, and what to do here instead.
ELSEWHERE = {
    "batch_size": "leave it out: texts are computed in batches of the best size",
    "convert_to_numpy": "leave it out: vectors are numpy arrays",
    "convert_to_tensor": "call torch.from_numpy with the vectors",
    "device": "leave it out: the engine computes on CPUs",
    "normalize_embeddings": "use normalize",
    "output_value": "for the vectors of tokens, call token_embeddings",
    "pool": "leave it out: threads use all cores (threads of engine.load)",
    "precision": "call engine.quantize with the vectors",
    "show_progress": "use show_progress_bar",
    "task": "call encode_query or encode_document, or use prompt_name",
}


@dataclass(frozen=True)
class EncodeOptions:
    """The keyword arguments of `Embedder.encode`, which says what each means, with their defaults.

    The signature of `encode` and EncodeArgs repeat the names for readers and type checkers; a
    test compares the three.
    """

    prompt: str | None = None
    prompt_name: str | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    truncate_dim: int | None = None
    on_truncate: OnTruncate = "warn"
    show_progress_bar: bool = False

    def checked(self, dim: int) -> Self:
        """Itself, or InputError; `dim` is the length of the model's vectors."""
        check_prompt(self.prompt)
        check_choice("on_truncate", self.on_truncate, ON_TRUNCATE)
        check_vectors([] if self.pooling is None else [self.pooling], self.truncate_dim, dim)
        if self.normalize is not None and not isinstance(self.normalize, bool | np.bool_):
            raise InputError(f"normalize is {self.normalize!r}; give True, False, or None.")
        return self


class EncodeArgs(TypedDict, total=False):
    """EncodeOptions as **keywords, for methods that pass them on."""

    prompt: str | None
    prompt_name: str | None
    pooling: Pooling | None
    normalize: bool | None
    truncate_dim: int | None
    on_truncate: OnTruncate
    show_progress_bar: bool


class ChunkArgs(EncodeArgs, total=False):
    """The **keywords of `Embedder.encode_chunks`."""

    chunk_tokens: int | None
    overlap: float


def check_known(names: Iterable[str]) -> None:
    """UnknownOption unless `encode` has all options of these names."""
    known = [field.name for field in fields(EncodeOptions)]
    for name in names:
        if name not in known:
            advice = f"the options are {', '.join(known)}."
            if name in ELSEWHERE:
                advice = f"{ELSEWHERE[name]}. Or use engine.compat.SentenceTransformer."
            raise UnknownOption(f"encode has no option {name}: {advice}")


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """InputError unless the value is one of those allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")


def check_prompt(prompt: object) -> None:
    """InputError unless the prompt is a string or None."""
    if prompt is not None and not isinstance(prompt, str):
        raise InputError(f"prompt is {prompt!r}; give a string, or None.")


def check_count(name: str, value: object, most: int | None = None) -> int:
    """The value as an int of at least 1, and at most `most`; numpy's integers are accepted."""
    try:
        count = 0 if isinstance(value, bool | np.bool_) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if count < 1 or (most is not None and count > most):
        allowed = "a positive integer" if most is None else f"an integer from 1 to {most}"
        raise InputError(f"{name} is {value!r}; it must be {allowed}.")
    return count


def check_vectors(poolings: Sequence[str], truncate_dim: int | None, dim: int) -> None:
    """InputError unless each pooling is one of POOLINGS and 1 <= truncate_dim <= dim."""
    for pooling in poolings:
        check_choice("pooling", pooling, POOLINGS)
    if truncate_dim is not None:
        check_count("truncate_dim", truncate_dim, dim)


def each_text(texts: Iterable[str]) -> Iterator[str]:
    """An iterator over the texts; InputError unless it is an iterable, and not one string."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InputError(f"texts is {type(texts).__name__}; give an iterable of strings.")
    try:
        return iter(texts)
    except TypeError as error:  # such as a numpy array without axes
        raise InputError(f"texts cannot be iterated ({error}); give strings.") from error


def check_texts(texts: Iterable[Any], first: int = 0) -> list[str]:
    """The texts; InputError unless all are strings. `first` is the index of the first text."""
    found = list(each_text(texts))
    for i, text in enumerate(found, first):
        if not isinstance(text, str):
            raise InputError(f"text {i} is of type {type(text).__name__}; give strings.")
    return found


class CutCount:
    """Counts the truncated texts of one call, for one warning at its end."""

    def __init__(self, max_tokens: int, on_truncate: str) -> None:
        self.max_tokens, self.on_truncate = max_tokens, on_truncate
        self.texts = self.cut_texts = self.cut_tokens = 0

    def add(self, tokens: Sequence[Tokens]) -> None:
        """Counts the next texts; TooLong if one was truncated and on_truncate is "error"."""
        for one in tokens:
            if one.cut and self.on_truncate == "error":
                raise TooLong(
                    f"text {self.texts} has {len(one) + one.cut} tokens; this model takes "
                    f"{self.max_tokens}. Split the text, or truncate it with on_truncate='warn'."
                )
            self.texts += 1
            self.cut_texts += one.cut > 0
            self.cut_tokens += one.cut

    def warn(self) -> None:
        """One warning for the whole call, if a text was truncated."""
        if self.cut_texts and self.on_truncate == "warn":
            warnings.warn(
                f"{self.cut_texts} of {self.texts} texts were longer than {self.max_tokens} tokens "
                f"and were truncated; {self.cut_tokens} tokens were dropped. "
                "Split long texts, or pass on_truncate='ignore'.",
                TruncationWarning,
                stacklevel=callers_level(),
            )


def callers_level() -> int:
    """The `stacklevel` with which a warning names the caller's line, outside this package.

    Call it in the function that warns. (Python 3.12 has `skip_file_prefixes` for this.)
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
