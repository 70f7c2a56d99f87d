"""Text -> token ids. The only file that knows `tokenizers`.

Every string is accepted: NUL and other control characters are dropped by BERT's own cleaning, a
lone surrogate (half of a character, which no encoding can carry) counts as U+FFFD and is dropped
with them, and an empty text is [CLS] [SEP].
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CheckpointError, InputError


@dataclass(frozen=True)
class Tokens:
    """The ids of one text, int32 (L,), and how many were cut off to meet the limit.

    `prompt` is the number of tokens at the start that the pooling leaves out.
    """

    ids: NDArray[np.int32]
    cut: int = 0
    prompt: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Token:
    """One token and where in its text it stands, in characters; None for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Tokenizer:
    """WordPiece as tokenizer.json describes it, cut to `max_tokens` (special tokens included)."""

    def __init__(self, folder: Path, max_tokens: int, threads: int = 1) -> None:
        # Threads are ours: the library's own pool ignores `threads` and does not survive a fork.
        # It looks at this variable at each call; what the user has set stays.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._tokenizer = _read(folder / "tokenizer.json")
        self.max_tokens = max_tokens
        self._threads = threads
        empty = self._tokenizer.encode("").ids
        if len(empty) != 2:
            raise CheckpointError(
                f"{folder}/tokenizer.json gives {empty} for an empty text; BERT's gives two "
                "tokens, [CLS] and [SEP]."
            )
        self._ends = np.array(empty, np.int32)

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        special: bool = True,
        truncate: bool = True,
        side: str = "right",
    ) -> list[Tokens]:
        """Token ids of each text; a text over the limit loses its end (side "right") or start."""
        if side not in ("right", "left"):
            raise InputError(f'truncation_side is {side!r}; it may be "right" or "left".')
        limit = self.max_tokens - 2 if special else self.max_tokens
        out = []
        for ids in self._bare_ids([clean(text) for text in texts]):
            kept = ids if not truncate else ids[:limit] if side == "right" else ids[-limit:]
            cut = len(ids) - len(kept)
            if special:
                kept = np.concatenate([self._ends[:1], kept, self._ends[1:]])
            out.append(Tokens(kept, cut))
        return out

    def details(self, text: str, *, special: bool = True) -> list[Token]:
        """Each token with its text and place, not cut."""
        encoding = self._tokenizer.encode(clean(text), add_special_tokens=special)
        columns = encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets
        return [
            Token(id, token, True, None, None) if special else Token(id, token, False, *span)
            for id, token, special, span in zip(*columns, strict=True)
        ]

    def _bare_ids(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """Ids without [CLS] and [SEP], uncut. Large inputs are shared among our threads."""
        if self._threads == 1 or len(texts) < 64:
            return self._encode(texts)
        size = max(32, min(512, len(texts) // self._threads))
        parts = [texts[i : i + size] for i in range(0, len(texts), size)]
        with ThreadPoolExecutor(self._threads, "bge-tokenize") as pool:
            return [ids for part in pool.map(self._encode, parts) for ids in part]

    def _encode(self, texts: list[str]) -> list[NDArray[np.int32]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(e.ids, np.int32) for e in encodings]


def clean(text: str) -> str:
    """The text itself where it is valid Unicode; else with each lone surrogate as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer as Library

    if not path.is_file():
        raise CheckpointError(f"{path} is missing: the tokenizer belongs to the checkpoint.")
    try:
        tokenizer = Library.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{path} is not a tokenizer that can be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
