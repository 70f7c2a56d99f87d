"""Writes weights/tiny/: a two-layer BERT of odd sizes with a small WordPiece vocabulary of its own.

    python -m weights.make_tiny

No two sizes are equal, so that tests notice swapped axes. Its vectors have no meaning: it is for
tests and examples that need a model without a download. The same seed gives the same bytes.
"""

import json
import string
from pathlib import Path

from tests.support.synthetic import write_checkpoint, write_json

FOLDER = Path(__file__).parent / "tiny"
SHAPE = {"hidden": 40, "layers": 2, "heads": 5, "ffn": 37, "positions": 61}
MAX_TOKENS = 59
SEED = 7
PROMPTS = {"query": "query: ", "document": "passage: "}

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*string.ascii_lowercase, *string.digits]
MARKS = [*string.punctuation, "é", "€", "ß", "東", "京", "א", "α", "я"]
WORDS = """
the of and to in is it was for on with he she they we you at by this that not are be have from
or one had but what all were when there can an your which their said if do will each about how
up out them then many some so these would other into has more two like time no make than first
been who its now people my made over did down only way find use may water long little very after
words called just where most know query passage hello world cat kitten dog feline small red
orange cloud story text embedding machine learning question answer weather sunny
"""
ENDINGS = """
s ed ing ly er est ion tion al able ness ment y en e
"""


def vocabulary() -> list[str]:
    """Special tokens, punctuation, letters, words, and ## continuations."""
    continued = ["##" + piece for piece in [*LETTERS, *ENDINGS.split()]]
    return list(dict.fromkeys([*SPECIAL, *MARKS, *LETTERS, *WORDS.split(), *continued]))


def write_tokenizer(folder: Path, vocab: list[str]) -> None:
    """The files that sentence-transformers saves for BERT's uncased WordPiece tokenizer."""
    ids = {token: i for i, token in enumerate(vocab)}
    specials = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    write_json(folder / "tokenizer.json", tokenizer_json(ids))
    write_json(folder / "special_tokens_map.json", specials)
    write_json(
        folder / "tokenizer_config.json",
        {**specials, "do_lower_case": True, "tokenizer_class": "BertTokenizer"},
    )
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", "utf-8")


def tokenizer_json(ids: dict[str, int]) -> dict[str, object]:
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import WordPiece
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return dict(json.loads(tokenizer.to_str()))


def write(folder: Path) -> Path:
    """The whole checkpoint, in `folder`."""
    folder.mkdir(exist_ok=True)
    vocab = vocabulary()
    write_tokenizer(folder, vocab)
    return write_checkpoint(
        folder,
        seed=SEED,
        tokenizer=folder,
        max_tokens=MAX_TOKENS,
        prompts=PROMPTS,
        vocab=len(vocab),
        **SHAPE,
    )


if __name__ == "__main__":
    print(write(FOLDER))
