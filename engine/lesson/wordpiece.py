"""WordPiece, BERT's tokenizer, to read. The engine itself uses the `tokenizers` library.

Both give the same tokens, except around some characters that are newer than Unicode 8, which the
library's tables do not know. Special tokens that a text spells out, such as "[MASK]", are not
looked for here. Method: Wu et al. 2016; the rules for characters: Devlin et al. 2018.
"""

from collections.abc import Container
from unicodedata import category, normalize

LONGEST = 100  # characters of a word; a longer one is unknown
UNKNOWN = "[UNK]"
CHINESE = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def clean(text: str) -> str:
    """Small letters without accents; every kind of space is " ", nothing is invisible."""
    kept = ""
    for c in text:
        if c in "\t\n\r" or category(c) in ("Zs", "Zl", "Zp"):  # spaces
            kept += " "
        elif any(first <= ord(c) <= last for first, last in CHINESE):
            kept += f" {c} "  # each is a word of its own
        elif category(c) not in ("Cc", "Cf", "Co") and c != "\ufffd":  # visible
            kept += c
    parts = normalize("NFD", kept)  # "é" becomes "e" and an accent, "Mn"
    return "".join(c.lower() for c in parts if category(c) != "Mn")


def words(cleaned: str) -> list[str]:
    """What stands between spaces, with each punctuation mark by itself."""
    spaced = ""
    for c in cleaned:
        marks = category(c)[0] == "P" or c in "$+<=>^`|~"
        spaced += f" {c} " if marks else c
    return spaced.split()


def pieces(word: str, vocabulary: Container[str]) -> list[str]:
    """The longest beginning that is in the vocabulary, and so on with the rest."""
    if len(word) > LONGEST:
        return [UNKNOWN]
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:  # not even one character is known
            return [UNKNOWN]
        found.append(piece)
        start = end
    return found


def tokenize(text: str, vocabulary: Container[str]) -> list[str]:
    """The tokens of a text, without [CLS] and [SEP]."""
    return [piece for word in words(clean(text)) for piece in pieces(word, vocabulary)]
