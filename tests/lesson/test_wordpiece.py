"""WordPiece as it is shown in the lesson gives the tokens of the library `tokenizers`."""

import ast
import random
from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from engine.lesson import wordpiece
from engine.lesson.chapters.words import CHAPTER
from tests.conftest import Load
from tests.support.paths import ROOT
from tests.support.texts import AWKWARD, SENTENCES

COUNT = 1000
SPECIAL = {"[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]"}
PARTS = (
    *" ".join(SENTENCES).split(),
    "Unbelievably", "antidisestablishmentarianism", "e\u0301tude", "café", "ÅNGSTRÖM", "Straße",
    "İstanbul", "ΣΟΦΟΣ", "ﬁne", "ＦＵＬＬ", "x²", "½", "naïve", "Zürich", "ĳssel", "ё", "й", "Ѝ",
    "東京", "我喜欢在雨天读书", "カタカナ", "ひらがな", "오늘은", "𠀀", "豈", "الكتاب", "मुझे", "ไทย",
    "🤗", "👩‍👩‍👧", "🇧🇷", "☕", "❤️", "a🙂b",
    "!", "?!", "...", "mis-spelled", "it's", "«quoted»", "“so”", "—", "¿qué?", "$5", "5€", "a+b=c",
    "<html>", "^_^", "~", "`x`", "|", "、", "。", "·", "§", "#tag", "user@example.org",
    "\x00", "\x07", "\x1b[0m", "\x7f", "\x85", "\x0b", "\x1c", "\u200b", "\u00ad", "\ufeff",
    "\ufffd", "\ue000", "\u0378", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\u2029",
    "x" * 99, "ab" * 50, "y" * 101, "word" * 40, "é" * 60, "##ing", "##s",
)  # fmt: skip


def texts() -> Iterator[str]:
    """COUNT texts, always the same: the difficult ones, then parts in any order."""
    difficult = [text for text in AWKWARD if not any(name in text for name in SPECIAL)]
    yield from difficult
    draw = random.Random(20).random
    for _ in range(COUNT - len(difficult)):
        yield "".join(
            PARTS[int(draw() * len(PARTS))] + (" " if draw() < 0.7 else "")
            for _ in range(3 + int(draw() * 12))
        )


@pytest.fixture(scope="module")
def vocabulary(load: Load) -> dict[str, int]:
    embedder = load("minilm", "reference")
    ids = range(embedder.config.vocabulary)
    return {embedder.decode([i], skip_special_tokens=False): i for i in ids}


def test_it_gives_the_tokens_of_the_library(vocabulary: dict[str, int]) -> None:
    library = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    seen = set()
    for text in texts():
        expected = library.encode(text, add_special_tokens=False).tokens
        assert wordpiece.tokenize(text, vocabulary) == expected, repr(text)
        seen.update(expected)
    assert len(list(texts())) == len(set(texts())) == COUNT
    assert len(seen) > 300 and "[UNK]" in seen
    assert f"{COUNT:,} texts" in " ".join(CHAPTER.pages[0].text.split())


def test_it_gives_the_ids_of_the_engine(vocabulary: dict[str, int], load: Load) -> None:
    given = [*texts()]
    found = load("minilm", "reference").tokenize(given, truncate=False)
    for text, tokens in zip(given, found, strict=True):
        ids = [vocabulary[token] for token in wordpiece.tokenize(text, vocabulary)]
        assert ids == tokens.ids[1:-1].tolist(), repr(text)


def test_every_character_of_latin_greek_and_cyrillic_alone_and_in_a_word() -> None:
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    for code in (*range(0x530), *range(0x2000, 0x2070), *range(0x3000, 0x30FF)):
        text = f"a{chr(code)}b {chr(code)}"
        cleaned = normalizer.normalize_str(text)
        assert wordpiece.clean(text) == cleaned, hex(code)
        words = [word for word, _ in splitter.pre_tokenize_str(cleaned)]
        assert wordpiece.words(cleaned) == words, hex(code)


def test_a_word_over_the_limit_is_unknown() -> None:
    limit = wordpiece.LONGEST
    assert wordpiece.pieces("x" * limit, {"x", "##x"}) == ["x"] + ["##x"] * (limit - 1)
    assert wordpiece.pieces("x" * (limit + 1), {"x", "##x"}) == ["[UNK]"]


def test_it_is_40_lines_of_code() -> None:
    """Functions without docstrings and comments."""
    path = ROOT / "engine" / "lesson" / "wordpiece.py"
    source = path.read_text("utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    lines = [line for function in functions for line in ast.unparse(function).splitlines()]
    assert len(functions) == 4 and len(lines) - len(functions) <= 40  # less the docstrings
