"""Text -> token ids.

Every string is accepted. BERT's normaliser drops NUL and other control characters. A lone surrogate
(half of a character, which UTF-8 cannot encode) is replaced by U+FFFD, which is dropped too. An
empty text is [CLS] [SEP].
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CheckpointError, InputError
from engine.literals import Side
from engine.tokenizer.building import Built, build, library_errors
from engine.tokenizer.long_texts import LongTexts, Piece

LONG = 1 << 16  # characters: longer texts are tokenised in pieces
BATCH = 1 << 17  # characters that one thread passes to the library at a time
MOST_DETAILED = 1_000_000  # characters: a Token takes some 200 bytes

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Tokens:
    """The ids of one text, int32 (L,), and how many tokens were cut to meet the limit.

    With `count_cut=False`, `cut` of a long text may be less, but it is 0 only if nothing was cut.
    `prompt` is the number of tokens at the start that the pooling excludes.
    """

    ids: Ids
    cut: int = 0
    prompt: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Token:
    """One token and its offsets in the text, in characters; None for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Tokenizer:
    """The tokenizer of a checkpoint; `max_tokens` >= 3 is its limit, including special tokens.

    folder: that of the transformer. vocabulary: rows of the embedding table. do_lower_case: the
    field of sentence_bert_config.json. `side`, "right" or "left", is the side that a text over the
    limit loses by default. Raises CheckpointError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_tokens: int,
        vocabulary: int | None = None,
        do_lower_case: bool = False,
        threads: int = 1,
    ) -> None:
        # We use our own threads: the library's pool ignores `threads` and does not survive a fork.
        # It reads this variable at each call. A value that the user has set is kept.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        built = build(folder, do_lower_case=do_lower_case)
        _check_ids(built, folder, vocabulary)
        self._folder, self._tokenizer, self.side = folder, built.tokenizer, built.side
        self.max_tokens, self._threads = max_tokens, threads
        with library_errors(folder):
            self._ends = _ends(built, folder)
            self._long = LongTexts(built.tokenizer)

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        special: bool = True,
        truncate: bool = True,
        side: Side | None = None,
        count_cut: bool = True,
    ) -> list[Tokens]:
        """Token ids of each text; a text over the limit loses its end (side "right") or start.

        Without `count_cut`, what follows the first tokens of a long text is not tokenised.
        """
        side = side or self.side
        limit = self.max_tokens - 2 if special else self.max_tokens
        tokens = self._bare(texts, limit if truncate else None, side, count_cut)
        if not special:
            return tokens
        first, last = self._ends[:1], self._ends[1:]
        return [Tokens(np.concatenate([first, one.ids, last]), one.cut) for one in tokens]

    def count(self, texts: Sequence[str], *, special: bool = True) -> list[int]:
        """How many tokens each text has before truncation."""
        return [one.cut + 2 * special for one in self._bare(texts, 0, "right")]

    def details(self, text: str, *, special: bool = True) -> list[Token]:
        """Each token with its text and offsets, untruncated; InputError over MOST_DETAILED."""
        text = clean(text)
        if len(text) > MOST_DETAILED:
            raise InputError(
                f"The text has {len(text)} characters; tokens with their offsets are listed for at "
                f"most {MOST_DETAILED}. Split the text."
            )
        found = []
        for at, encoding in self.with_offsets(text):
            columns = encoding.ids, encoding.tokens, encoding.offsets
            for id, token, (start, stop) in zip(*columns, strict=True):
                found.append(Token(id, token, False, at + start, at + stop))
        if not special:
            return found
        first, last = (
            Token(id, self._tokenizer.id_to_token(id), True, None, None)
            for id in self._ends.tolist()
        )
        return [first, *found, last]

    def with_offsets(self, text: str) -> Iterator[tuple[int, Any]]:
        """The library's Encoding of each piece of the text, and where the piece begins."""
        for piece in self._pieces(clean(text), exact=True):
            with library_errors(self._folder):
                yield piece.start, self._tokenizer.encode(piece.text, add_special_tokens=False)

    def decode(self, ids: Ids, *, skip_special: bool = True) -> str:
        """The text of token ids that are in the vocabulary, as the library's decoder writes it."""
        with library_errors(self._folder):
            return str(self._tokenizer.decode(ids.tolist(), skip_special_tokens=skip_special))

    def _bare(
        self, texts: Sequence[str], limit: int | None, side: Side, count_cut: bool = True
    ) -> list[Tokens]:
        """Tokens without [CLS] and [SEP]; at most `limit` of each text are kept."""
        parts = list(self._parts([clean(text) for text in texts]))

        def encode(part: list[str]) -> list[Tokens]:
            if len(part) == 1 and len(part[0]) > LONG:
                return [self._encode_long(part[0], limit, side, count_cut)]
            return [_cut(ids, len(ids), limit, side) for ids in self._encode(part)]

        if self._threads == 1 or len(parts) < 2:
            return [tokens for part in parts for tokens in encode(part)]
        with ThreadPoolExecutor(self._threads, "bge-tokenize") as pool:
            return [tokens for part in pool.map(encode, parts) for tokens in part]

    def _parts(self, texts: list[str]) -> Iterator[list[str]]:
        """Groups of texts, bounded in characters; a long text is a group of its own."""
        most = len(texts)
        if most >= 64 and self._threads > 1:
            most = max(32, min(512, most // self._threads))
        part: list[str] = []
        characters = 0
        for text in texts:
            is_long = len(text) > LONG
            if part and (is_long or len(part) == most or characters + len(text) > BATCH):
                yield part
                part, characters = [], 0
            if is_long:
                yield [text]
            else:
                part.append(text)
                characters += len(text)
        if part:
            yield part

    def _encode_long(self, text: str, limit: int | None, side: Side, count_cut: bool) -> Tokens:
        """As `_encode`, piece by piece, so that memory is bounded by a piece and `limit`."""
        kept, total = [np.empty(0, np.int32)], 0
        for piece in self._pieces(text):
            (ids,) = self._encode([piece.text])
            total += len(ids)
            kept.append(ids)
            if limit is not None:
                kept = [_cut(np.concatenate(kept), total, limit, side).ids]
                if total > limit and side == "right" and not count_cut:
                    break
        return Tokens(np.concatenate(kept), total - sum(map(len, kept)))

    def _pieces(self, text: str, *, exact: bool = False) -> Iterator[Piece]:
        if len(text) <= LONG:
            return iter([Piece(text, 0)])
        return self._long.pieces(text, exact=exact)

    def _encode(self, texts: list[str]) -> list[Ids]:
        with library_errors(self._folder):
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            return [np.array(e.ids, np.int32) for e in encodings]


def clean(text: str) -> str:
    """The text, with each lone surrogate replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _cut(ids: Ids, total: int, limit: int | None, side: Side) -> Tokens:
    """The first or last `limit` of `ids`, for a text of `total` tokens."""
    if limit is not None and len(ids) > limit:
        ids = ids[:limit] if side == "right" else ids[len(ids) - limit :]
    return Tokens(ids, total - len(ids))


def _check_ids(built: Built, folder: Path, vocabulary: int | None) -> None:
    """CheckpointError if an id has no row in the embedding table."""
    token, largest = built.largest
    rows = 2**31 if vocabulary is None else vocabulary
    if largest >= rows:
        raise CheckpointError(
            f"{folder}: the tokenizer gives {token!r} the id {largest}, and the table of token "
            f"embeddings has {rows} rows (vocab_size in config.json), for the ids 0 to {rows - 1}. "
            "Resize the table to the tokenizer (resize_token_embeddings) and save both, or use "
            "the tokenizer of these weights."
        )


def _ends(built: Built, folder: Path) -> Ids:
    """The ids of [CLS] and [SEP]; CheckpointError unless every text begins and ends with them."""
    encode = built.tokenizer.encode
    empty = encode("").ids
    for text in ("a", "hello world, \U00010380"):  # the last character is in no vocabulary
        whole, bare = encode(text), encode(text, add_special_tokens=False)
        expected = [*empty[:1], *bare.ids, *empty[1:]]
        if len(empty) != 2 or not bare.ids or whole.ids != expected or any(whole.type_ids):
            raise CheckpointError(
                f"The tokenizer in {folder} gives {empty} for an empty text and {whole.ids} (types "
                f"{whole.type_ids}) for {text!r}; BERT's gives [CLS], the tokens of the text, "
                "[SEP], all of type 0. Use the tokenizer of these weights."
            )
    return np.array(empty, np.int32)
