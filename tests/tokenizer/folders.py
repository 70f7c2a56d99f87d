"""Folders with a tokenizer, written by transformers itself, and changed as users change them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

LETTERS = "abcdehilmnorstuwx" + "ABDIS" + "éÉüßſıİǅνς我東" + "".join(map(str, range(4)))
PIECES = ["he", "##l", "##lo", "wor", "##ld", "new", "New", "##word", "tok", "##en", "\u0301"]
VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"!?.,-[]()_'«。", *LETTERS,
    *(f"##{letter}" for letter in LETTERS), *PIECES, "i̇", "##i̇", "unused", "<s>", "</s>",
]  # fmt: skip
ROWS = 400  # of the embedding table, more than any vocabulary here
SNIPPETS = (
    "hello world", "Hello WORLD", "new", "NewWord", "newword", "tok en", "[MASK]", "[mask]",
    "[CLS]", "[SEP]", "[NEW]", "[new]", "<s>", "İstanbul", "straße", "É", "e\u0301", "我東",
    "x" * 101,
    "#hash", "  ", "\t\n", "\x0b", "\u200b", "\x00", "\ufffd", "\u00a0", "\u3000", "🤗",
    "👩‍👩‍👧", "...",
)  # fmt: skip

texts = st.lists(
    st.sampled_from(SNIPPETS)
    | st.text(LETTERS + " .[]-_\u0301", max_size=8)
    | st.text(max_size=5),
    max_size=14,
).map("".join)  # fmt: skip

flags = st.fixed_dictionaries(
    {},
    optional={
        name: st.booleans() for name in ("lstrip", "rstrip", "single_word", "normalized", "special")
    },
)
contents = st.sampled_from(
    [
        "newword",
        "NewWord",
        "[NEW]",
        "tok en",
        "É",
        "我",
        "unused",
        "...",
        "new",
        "<s>",
        " x ",
        "[MASK]",
    ]
)
added_tokens = st.lists(st.tuples(contents, flags), max_size=3)

# settings of tokenizer_config.json, other than added tokens
settings = st.fixed_dictionaries(
    {},
    optional={
        "do_lower_case": st.booleans(),
        "strip_accents": st.sampled_from([True, False, None]),
        "tokenize_chinese_chars": st.booleans(),
        "truncation_side": st.sampled_from(["left", "right"]),
        "padding_side": st.just("right"),
        "split_special_tokens": st.booleans(),
        "model_max_length": st.sampled_from([8, 512]),
        "mask_token": st.sampled_from(["[MASK]", "<mask>", "new"]),
        "bos_token": st.sampled_from(["<s>", "[CLS]"]),
    },
)
classes = st.sampled_from(
    [
        "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "MobileBertTokenizerFast",
        "PreTrainedTokenizerFast", "TokenizersBackend", None,
    ]
)  # fmt: skip
layouts = st.sampled_from(["saved", "vocab.txt", "old", "no config", "bare json"])


def write(
    folder: Path,
    written: Mapping[str, Any],
    tokens: Sequence[tuple[str, Mapping[str, bool]]],
    changed: Mapping[str, Any],
    tokenizer_class: str | None,
    layout: str,
    baked_side: str | None = None,
) -> None:
    """Saves a BertTokenizer made with `written`, then puts `changed` into its configuration.

    baked_side: the side of a truncation in tokenizer.json, which then has a padding too.
    """
    from tokenizers import AddedToken
    from transformers import BertTokenizer

    ids = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = BertTokenizer(vocab=ids, **written)
    tokenizer.add_tokens([AddedToken(content, **flags) for content, flags in tokens])
    tokenizer.save_pretrained(folder)
    if baked_side:
        bake(folder / "tokenizer.json", baked_side)
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), **changed, "tokenizer_class": tokenizer_class}
    if tokenizer_class is None:
        del config["tokenizer_class"]
    if layout == "old":  # before transformers 4.34
        decoder = config.pop("added_tokens_decoder", {})
        names = {key: config[key] for key in ("unk_token", "cls_token", "sep_token")}
        names["additional_special_tokens"] = [
            t["content"] for t in decoder.values() if t["special"]
        ]
        names["mask_token"] = {**as_map("[MASK]"), "lstrip": True}
        (folder / "special_tokens_map.json").write_text(json.dumps(names))
        extra = {token["content"]: int(i) for i, token in decoder.items()}
        (folder / "added_tokens.json").write_text(json.dumps(extra))
    path.write_text(json.dumps(config))
    if layout in ("vocab.txt", "old"):
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    if layout == "vocab.txt":
        (folder / "tokenizer.json").unlink()
    if layout == "no config":
        path.unlink()
    if layout == "bare json":
        path.write_text(json.dumps({"tokenizer_class": tokenizer_class or "BertTokenizer"}))


def as_map(content: str) -> dict[str, Any]:
    """A token as special_tokens_map.json has it."""
    return {"content": content, **dict.fromkeys(("lstrip", "rstrip", "single_word"), False),
            "normalized": False}  # fmt: skip


def bake(path: Path, side: str) -> None:
    """A truncation to 8 tokens and a padding to 12, as old checkpoints have them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(8, direction=side)
    tokenizer.enable_padding(length=12, pad_token="[PAD]", direction="left")
    tokenizer.save(str(path))
