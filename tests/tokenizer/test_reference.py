"""The same ids as sentence-transformers loading the same folder, or a refusal.

The folders are written by the installed transformers, with random settings, so that this cannot
become outdated. Texts are random too.
"""

import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.errors import CheckpointError
from engine.tokenizer.tokens import Tokenizer
from tests.tokenizer import folders as folders

pytestmark = pytest.mark.reference

LIMIT = 16


@cache
def bert() -> Path:
    """A tiny BERT: sentence-transformers needs one next to the tokenizer."""
    from transformers import BertConfig, BertModel

    folder = Path(tempfile.mkdtemp())
    config = BertConfig(
        vocab_size=folders.ROWS, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, max_position_embeddings=LIMIT,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def expected(folder: Path, texts: Sequence[str], do_lower_case: bool) -> list[list[int]]:
    from sentence_transformers.sentence_transformer.modules import Transformer

    module = Transformer(str(folder), max_seq_length=LIMIT, do_lower_case=do_lower_case)
    found = module.preprocess(list(texts))
    pairs = zip(found["input_ids"].tolist(), found["attention_mask"].tolist(), strict=True)
    return [[id for id, real in zip(*pair, strict=True) if real] for pair in pairs]


def compare(folder: Path, texts: Sequence[str], do_lower_case: bool = False) -> str:
    """The outcome: "same", or which side refused; AssertionError if the ids differ."""
    shutil.copytree(bert(), folder, dirs_exist_ok=True)
    try:
        theirs = expected(folder, texts, do_lower_case)
    except Exception as error:
        theirs = None
        reason = repr(error)
    try:
        ours = Tokenizer(
            folder, max_tokens=LIMIT, vocabulary=folders.ROWS, do_lower_case=do_lower_case
        ).tokenize(texts)
    except CheckpointError as error:
        return f"refused: {error}" if theirs else "both refuse"
    if theirs is None:
        return f"they refuse: {reason}"
    assert [tokens.ids.tolist() for tokens in ours] == theirs
    return "same"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(folders.texts, min_size=1, max_size=8),
    folders.settings,
    folders.added_tokens,
    folders.settings,
    folders.classes,
    folders.layouts,
    st.sampled_from([None, "left", "right"]),
    st.booleans(),
)
def test_random_settings(
    texts: list[str],
    written: dict[str, Any],
    tokens: list[Any],
    changed: dict[str, Any],
    tokenizer_class: str | None,
    layout: str,
    baked_side: str | None,
    do_lower_case: bool,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders.write(folder, written, tokens, changed, tokenizer_class, layout, baked_side)
        event(compare(folder, texts, do_lower_case)[:90])


def test_xlm_roberta(tmp_path: Path) -> None:
    from transformers import XLMRobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abehlno", "▁he", "ll", "▁hello", "<mask>"]
    vocabulary = [(piece, -float(i)) for i, piece in enumerate(pieces)]
    XLMRobertaTokenizer(vocab=vocabulary).save_pretrained(tmp_path)
    texts = ["hello hell", "<mask> a<mask>", "xyz  b", "", "hello " * 20, "</s>a", "é"]
    for do_lower_case in (False, True):
        assert compare(tmp_path, texts, do_lower_case) == "same"


def test_the_embedding_table_has_rows_for_all_that_is_compared() -> None:
    assert len(folders.VOCABULARY) + 8 < folders.ROWS
