"""Pieces have the tokens of the whole text: for any text, tokenizer and size of a piece."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from engine.errors import InputError
from engine.tokenizer.long_texts import LongTexts, Piece
from tests.tokenizer.folders import VOCABULARY, added_tokens, texts
from tests.tokenizer.tiny_tokenizer import write

IDS = {token: i for i, token in enumerate(VOCABULARY)}
# characters that vanish, that reorder, that are joined, broken, lowercased to two, or stripped
ODD = (
    "a\u200b\x00\x0b\x85\u0301\u302e\U0001d165\u0344İß我 .[]_\u00a0é≠\u226e"
    "🤗\ufe0f\u200d\U0001d15e\U0001d167"
)

rows = st.tuples(st.text(ODD + "newx", min_size=1, max_size=3), st.integers(1, 60)).map(
    lambda row: row[0] * row[1]
)
long_texts = st.lists(texts | rows | st.text(ODD, max_size=12), max_size=12).map("".join)
odd_tokens = st.lists(
    st.tuples(
        st.text(ODD + "new", min_size=1, max_size=4)
        | st.sampled_from(["....", "[x", "x]", " .", ". "]),
        st.fixed_dictionaries(
            {},
            optional={n: st.booleans() for n in ("lstrip", "rstrip", "single_word", "normalized")},
        ),
    ),
    max_size=3,
)
normalizer_options = st.tuples(
    st.booleans(), st.booleans(), st.sampled_from([None, True, False]), st.booleans()
)


def library(
    tokens: Any = (), options: Any = (True, True, None, True), word: int = 5, lower: bool = False
) -> Tokenizer:
    """BERT's pipeline; words of more than `word` characters are [UNK]."""
    tokenizer = Tokenizer(models.WordPiece(IDS, unk_token="[UNK]", max_input_chars_per_word=word))
    tokenizer.normalizer = normalizers.BertNormalizer(*options)
    if lower:
        steps = [normalizers.Lowercase(), tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[MASK]", "[CLS]"])
    # Where a token normalises to nothing, the library panics at each text.
    kept = [AddedToken(c, **f) for c, f in tokens if tokenizer.normalizer.normalize_str(c)]
    tokenizer.add_tokens(kept)
    return tokenizer


def rows_of(tokenizer: Tokenizer, piece: Piece) -> list[tuple[int, str, int, int]]:
    """Id, token, and place in the whole text of each token of a piece."""
    encoding = tokenizer.encode(piece.text, add_special_tokens=False)
    return [
        (id, token, piece.start + start, piece.start + stop)
        for id, token, (start, stop) in zip(
            encoding.ids, encoding.tokens, encoding.offsets, strict=True
        )
    ]


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    long_texts, added_tokens | odd_tokens, normalizer_options, st.integers(2, 40),
    st.integers(1, 6), st.booleans(),
)  # fmt: skip
@example("[我我", [("我", {"rstrip": True})], (False, True, None, False), 2, 1, False)
@example("[\x85\x85", [("\x85", {"rstrip": True})], (False, False, None, False), 2, 1, False)
@example("  ...", [("...", {"lstrip": True})], (False, False, None, False), 2, 1, False)
def test_pieces_have_the_tokens_of_the_whole(
    text: str, tokens: Any, options: Any, size: int, word: int, lower: bool
) -> None:
    tokenizer = library(tokens, options, word, lower)
    cutter = LongTexts(tokenizer, piece=size, uncut=10**6)
    whole = rows_of(tokenizer, Piece(text, 0))
    pieces = list(cutter.pieces(text))
    shortened = sum(len(piece.text) for piece in pieces) < len(text)
    event(f"pieces: {min(len(pieces), 5)}, shortened: {shortened}")
    found = [row for piece in pieces for row in rows_of(tokenizer, piece)]
    assert [row[0] for row in found] == [row[0] for row in whole]
    exact = [row for piece in cutter.pieces(text, exact=True) for row in rows_of(tokenizer, piece)]
    assert exact == whole


def pieces(tokenizer: Tokenizer, text: str, size: int = 8, **options: Any) -> list[str]:
    return [piece.text for piece in LongTexts(tokenizer, size, **options).pieces(text)]


def test_where_a_text_is_cut() -> None:
    """At the last place within a piece: before a space, punctuation, or a Chinese character."""
    assert pieces(library(), "abcd efgh ijkl") == ["abcd", " efgh", " ijkl"]
    assert pieces(library(), "abcd e g i") == ["abcd e g", " i"]
    assert pieces(library(), "........a.") == [".......", ".a."]
    assert pieces(library(), "abcdefgh.") == ["abcdefgh", "."]
    assert pieces(library(), "abcdefgh") == ["abcdefgh"]
    assert pieces(library(), "我" * 9) == ["我" * 8, "我"]
    assert pieces(library(), "") == []
    starts = [piece.start for piece in LongTexts(library(), 8).pieces("abcd efgh ijkl")]
    assert starts == [0, 4, 9]


def test_an_added_token_is_not_cut() -> None:
    tokenizer = library([("...", {"normalized": False}), ("[x y", {"normalized": True})])
    assert pieces(tokenizer, "[MASK][MASK].") == ["[MASK]", "[MASK]."]
    assert pieces(tokenizer, "abcdefg....") == ["abcdefg", "...."]
    assert pieces(tokenizer, "abcd [X Y") == ["abcd ", "[X Y"]


def test_a_long_word_is_shortened() -> None:
    """One character more than a word may have is kept, and at its end as many as a token has."""
    assert pieces(library(word=20), "x" * 500, 8) == ["x" * (1 + 21 + 7)]
    assert pieces(library(word=1), "x" * 500, 8) == ["x" * (1 + 7 + 7)]
    assert pieces(library(word=1), "x" * 15, 8) == ["x" * 15]
    assert pieces(library(word=1), "x" * 16, 8) == ["x" * 15]
    text = ". " + "\u200b" * 500 + "a" + "\u200b" * 500 + "."
    assert pieces(library(), text, 8) == [".", " " + "\u200b" * 14 + "a" + "\u200b" * 14, "."]


def test_a_word_with_a_token_inside_is_not_shortened() -> None:
    for flags in ({"normalized": False}, {"normalized": True}):
        tokenizer = library([("new", flags)])
        text = "x" * 300 + "new" + "x" * 300
        assert pieces(tokenizer, text) == [text]
        with pytest.raises(InputError, match="more than 600 characters, from character 1 on, with"):
            pieces(tokenizer, ". " + text, uncut=600)
        assert pieces(tokenizer, text, uncut=603) == [text]


def test_exact_pieces_are_not_shortened() -> None:
    cutter = LongTexts(library(), 8, uncut=100)
    assert [piece.text for piece in cutter.pieces("x" * 100, exact=True)] == ["x" * 100]
    with pytest.raises(InputError, match="more than 100 characters, from character 0 on"):
        list(cutter.pieces("x" * 101, exact=True))


def test_exact_pieces_keep_the_whitespace_that_a_token_takes() -> None:
    tokenizer = library([("[X]", {"lstrip": True, "rstrip": True, "normalized": False})])
    text = "[X]     [X]      b"
    assert pieces(tokenizer, text, 6) == ["[X]   ", "  [X] ", "     b"]
    cutter = LongTexts(tokenizer, 6)
    assert [piece.text for piece in cutter.pieces(text, exact=True)] == [text]
    text = "a   b    [X]   c   d"
    exact = [piece.text for piece in cutter.pieces(text, exact=True)]
    assert exact == ["a   b", "    [X]   c", "   d"]


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": normalizers.NFC()},
        {"normalizer": normalizers.Sequence([normalizers.NFD(), normalizers.BertNormalizer()])},
        {"normalizer": normalizers.Lowercase()},
        {"normalizer": None},
        {"pre_tokenizer": pre_tokenizers.Whitespace()},
        {"model": models.WordLevel(IDS, unk_token="[UNK]")},
    ],
)
def test_only_berts_pipeline_is_cut(part: dict[str, Any]) -> None:
    tokenizer = library()
    for name, value in part.items():
        setattr(tokenizer, name, value)
    assert pieces(tokenizer, "a " * 50, uncut=100) == ["a " * 50]
    with pytest.raises(InputError, match=r"has 101 characters; .* takes at most 100. Split"):
        pieces(tokenizer, "a " * 50 + ".", uncut=100)


GIANTS = {
    "dots": ".", "letters": "abcdefghij", "spaces": " ", "marks": "\u0301", "joined": "a\u0301",
    "chinese": "我喜欢", "emoji": "🤗👩\u200d👧", "zero width": "\u200b", "nul": "\x00",
    "masks": "[MASK]", "brackets": "[", "words": "hello world ", "between": "a\u200b",
    "surrogates": "\ud800", "hangul": "한국어",
    "mixed": "hello ...我[MASK] \u200bé" + "x" * 200 + "🤗",
}  # fmt: skip
MEASURE = """
import json, resource, sys
from pathlib import Path
from engine.tokenizer.tokens import Tokenizer

tokenizer = Tokenizer(Path(sys.argv[1]), max_tokens=64, threads=2)
tokenizer.tokenize(["hello"])
found, idle = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, unit in json.loads(sys.argv[2]).items():
    texts = [unit * (int(sys.argv[3]) // len(unit.encode("utf-8", "surrogatepass")))] * 2
    right = tokenizer.tokenize(texts)[0]
    left = tokenizer.tokenize(texts[:1], side="left")[0]
    assert len(right) + right.cut == len(left) + left.cut
    found[name] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_giant_text_takes_little_memory(tmp_path: Path) -> None:
    """Less than 40 MiB for 400 kB of each kind; the library takes 150 to 250 for the whole."""
    call = [sys.executable, "-c", MEASURE, write(tmp_path), json.dumps(GIANTS), "400000"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == set(GIANTS)
    assert {name: size for name, size in found.items() if size > 40} == {}
