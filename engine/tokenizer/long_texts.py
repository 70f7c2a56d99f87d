"""Splits long texts into pieces whose tokens, concatenated, are those of the whole text.

The library holds some 500 bytes for each character of a text, so a text of 10 MB would take
gigabytes. This file decides where a text may be cut, and what may be left out, without changing any
token id. It supports BERT's pipeline (Lowercase, BertNormalizer, BertPreTokenizer, WordPiece),
which works character by character. Let n be the normaliser:

1. Added tokens that are not normalised are searched in the text, leftmost and longest first.
2. The text between them is normalised. n(text) = n(c1) n(c2) n(c3) ..., except that adjacent
   combining marks may be reordered (canonical order).
3. Added tokens that are normalised are searched in the normalised text.
4. The rest is split at whitespace, and before and after each punctuation character.
5. WordPiece tokenises each word separately. A word of more than `max_input_chars_per_word`
   characters (100) becomes one [UNK].

**Where a text may be cut** (`_may_cut`): between the characters b and c if n(c) begins with
whitespace or punctuation, and no added token contains b and c side by side (nor, if normalised, the
last character of n(b) and the first of n(c)). Then no word and no added token spans the cut, and
both sides have the same words and added tokens as in the whole text. An added token with
`single_word` depends on the character next to it, which a cut would hide, so c must also not be a
letter or digit, nor begin such a token. Tokens with `lstrip` or `rstrip` include adjacent
whitespace. It has no ids of its own, but for exact offsets it must not be separated from them.

**What may be left out** (`_shorten`): let R be a run of characters that vanish in n or stay inside
a word, and L the length of the longest added token. If every added token contains another kind of
character, no token lies inside R, and a token that overlaps an end of R overlaps at most L
characters of it. So consecutive vanishing characters may be shortened if L are kept at each end.
If more than 100 of the other characters are kept, the word is still one [UNK], whatever is left out
of its middle.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.tokenizer.classes import normalizer_steps

PIECE = 1 << 14  # characters of a piece
UNCUT = 1 << 18  # most characters of a piece without a place for a cut: some 130 MB
VANISHES, INSIDE, BREAKS, OTHER = 1, 2, 3, 4  # kinds of characters; 0: not yet known
CODEPOINTS = 0x110000


class Piece(NamedTuple):
    """A part of a text, and its offset in the text."""

    text: str
    start: int


class LongTexts:
    """Splits long texts for one tokenizer of the library."""

    def __init__(self, tokenizer: Any, piece: int = PIECE, uncut: int = UNCUT) -> None:
        self._tokenizer, self._piece, self._uncut = tokenizer, piece, uncut
        self.possible = _is_bert(tokenizer)
        if not self.possible:
            return
        self._kinds: NDArray[np.uint8] = np.zeros(CODEPOINTS, np.uint8)  # by code point
        self._longest_word = tokenizer.model.max_input_chars_per_word
        added = [t for t in tokenizer.get_added_tokens_decoder().values() if t.content]
        raw = [token.content for token in added if not token.normalized]
        normalized = [self._n(token.content) for token in added if token.normalized]
        self._pairs, self._n_pairs = _pairs(raw), _pairs(normalized)
        self._single_starts = {form[:1] for form in self._forms(t for t in added if t.single_word)}
        self._strips = [token for token in added if token.lstrip or token.rstrip]
        self._takes_tokens = any(form.strip() != form for form in self._forms(self._strips))
        self._token_starts = {form[:1] for form in self._forms(added)}
        self._token_ends = {form[-1:] for form in self._forms(added)}
        self._margin = max(map(len, raw), default=0)
        self._shortens = not normalized and not any(map(self._is_inside, raw))

    def pieces(self, text: str, *, exact: bool = False) -> Iterator[Piece]:
        """Pieces of `text` with the same tokens; if `exact`, with the same offsets too.

        InputError if more than `uncut` characters in a row have no place for a cut.
        """
        if not self.possible and len(text) > self._uncut:
            raise InputError(
                f"A text has {len(text)} characters; the tokenizer of this checkpoint takes at "
                f"most {self._uncut}. Split the text."
            )
        start = 0
        while self.possible and len(text) - start > self._piece:
            cut = self._last_cut(text, start + 1, start + self._piece + 1, exact)
            if cut:
                yield Piece(text[start:cut], start)
            else:
                piece, cut = self._stretch(text, start, exact)
                yield Piece(piece, start)
            start = cut
        if start < len(text):
            yield Piece(text[start:], start)

    def _last_cut(self, text: str, low: int, high: int, exact: bool) -> int:
        """The last place in low..high-1 where the text may be cut, or 0."""
        places = self._backwards(text, low, high, BREAKS)
        return next((place for place in places if self._may_cut(text, place, exact)), 0)

    def _backwards(self, text: str, low: int, high: int, kind: int) -> Iterator[int]:
        """The indices in low..high-1 of characters of one kind, in reverse order."""
        size = 64
        while high > low:
            begin = max(low, high - size)
            found = np.flatnonzero(self._kinds_of(text[begin:high]) == kind)
            yield from reversed((begin + found).tolist())
            high, size = begin, min(size * 4, PIECE)

    def _may_cut(self, text: str, place: int, exact: bool) -> bool:
        """Whether the text may be cut before `place`, where a character of kind BREAKS is."""
        before, after = text[place - 1], text[place]
        if before + after in self._pairs:
            return False
        if self._n_pairs and not self._apart(before, after):
            return False
        if self._single_starts and (
            _is_wordlike(after) or {after, self._n(after)[0]} & self._single_starts
        ):
            return False
        if self._takes_tokens and (n := self._n(before + after)).strip() != n:
            return False  # a token of spaces would be taken by another
        return not (exact and self._strips) or not self._may_take(before, after)

    def _may_take(self, before: str, after: str) -> bool:
        """Whether a token may take spaces across the place: its offsets then cover them.

        Spaces may also come from the normaliser, which puts them around Chinese characters.
        """
        n_before, n_after = self._n(before), self._n(after)
        if after.isspace() or n_after[:1].isspace():
            return before.isspace() or bool({before, n_before[-1:]} & self._token_ends)
        if before.isspace() or n_before[-1:].isspace():
            return bool({after, n_after[:1]} & self._token_starts)
        return False

    def _forms(self, tokens: Iterable[Any]) -> Iterator[str]:
        """Each added token as it is written, and normalised."""
        return (form for t in tokens for form in (t.content, self._n(t.content)))

    def _apart(self, before: str, after: str) -> bool:
        """Whether no added token contains the normalised forms of both, side by side."""
        if self._kind(before) == VANISHES:
            return False  # in the normalised text an earlier character precedes `after`
        if unicodedata.combining(unicodedata.normalize("NFD", before)[-1]):
            return False  # a combining mark may be reordered
        return self._n(before)[-1] + self._n(after)[0] not in self._n_pairs

    def _stretch(self, text: str, start: int, exact: bool) -> tuple[str, int]:
        """The text from `start` to the next place for a cut, shortened; and that index."""
        parts, size, place = [], 0, start
        while True:
            end = self._first(text, place + 1, len(text), VANISHES, INSIDE)
            part = text[place:end] if exact else self._shorten(text, place, end)
            parts.append(part)
            size, place = size + len(part), end
            if size > self._uncut:
                raise InputError(
                    f"A text has more than {self._uncut} characters, from character {start} on, "
                    "without a space or another place to cut it. Split the text."
                )
            if end == len(text) or (
                self._kind(text[end]) == BREAKS and self._may_cut(text, end, exact)
            ):
                return "".join(parts), end

    def _first(self, text: str, low: int, high: int, *but: int) -> int:
        """The first index in low..high-1 whose kind is not in `but`, or `high`."""
        size = 64
        while low < high:
            kinds = self._kinds_of(text[low : min(high, low + size)])
            found = np.flatnonzero(~np.isin(kinds, but))
            if len(found):
                return low + int(found[0])
            low, size = low + len(kinds), min(size * 4, PIECE)
        return high

    def _shorten(self, text: str, begin: int, end: int) -> str:
        """The character at `begin`, and what is kept of the run begin+1..end-1."""
        margin = self._margin + 1
        needed = max(self._longest_word + 1, margin)
        if not self._shortens or end - begin <= needed + margin:
            return text[begin:end]
        parts, place, inside = [text[begin]], begin + 1, 0
        while place < end and inside < needed:
            row_end = self._first(text, place, end, VANISHES)
            if row_end - place > 2 * margin:
                parts.append(text[place : place + margin])
                place = row_end - margin
            word_end = self._first(text, row_end, min(end, row_end + needed - inside), INSIDE)
            parts.append(text[place:word_end])
            inside += word_end - row_end
            place = word_end
        return "".join(parts) + text[max(place, end - margin) : end]

    def _kinds_of(self, text: str) -> NDArray[np.uint8]:
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        for code in np.unique(codes[self._kinds[codes] == 0]):
            self._kinds[code] = self._find_kind(chr(code))
        return self._kinds[codes]

    def _kind(self, character: str) -> int:
        return int(self._kinds_of(character)[0])

    def _find_kind(self, character: str) -> int:
        """Determined by tokenising the character between two letters."""
        form = self._n(character)
        if not form:
            return VANISHES
        words = self._words(f"a{form}a")
        if words == [f"a{form}a"]:
            return INSIDE
        return BREAKS if words[0] == "a" else OTHER

    def _is_inside(self, token: str) -> bool:
        """Whether a token could lie inside a run of such characters."""
        return bool(np.isin(self._kinds_of(token), (VANISHES, INSIDE)).all())

    def _n(self, text: str) -> str:
        return str(self._tokenizer.normalizer.normalize_str(text))

    def _words(self, text: str) -> list[str]:
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def _is_bert(tokenizer: Any) -> bool:
    """Whether the tokenizer is BERT's pipeline, the only one that this file supports."""
    from tokenizers import models, normalizers, pre_tokenizers

    steps = normalizer_steps(tokenizer.normalizer)
    return (
        any(isinstance(step, normalizers.BertNormalizer) for step in steps)
        and all(isinstance(s, normalizers.BertNormalizer | normalizers.Lowercase) for s in steps)
        and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
        and isinstance(tokenizer.model, models.WordPiece)
    )


def _pairs(tokens: list[str]) -> set[str]:
    """All pairs of neighbouring characters in the tokens."""
    return {token[i : i + 2] for token in tokens for i in range(len(token) - 1)}


def _is_wordlike(character: str) -> bool:
    """Whether \\w of a regular expression may match it; true for unassigned characters."""
    category = unicodedata.category(character)
    return category == "Pc" or not (category[0] in "PSZ" or character.isspace())
