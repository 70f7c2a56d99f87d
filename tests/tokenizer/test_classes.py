"""What each tokenizer class reads from the files.

The ids are those of transformers; tokenizer/test_reference.py compares with the library itself.
"""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import CheckpointError, InputError
from tests.tokenizer.tiny_tokenizer import REMOVED, content, generic, ids, load, vocabulary, write

UNK, MASK, A, B = 1, 4, 45, 46
E, E_ACUTE, EAST, CAPITAL = 49, 37, 40, 41
GENERIC = "PreTrainedTokenizerFast"


def bert(**settings: Any) -> dict[str, Any]:
    """tokenizer.json whose normaliser has the opposite of each default."""
    normalizer = {**content()["normalizer"], **settings}
    return {"tokenizer.json": generic(normalizer=normalizer)}


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({}, "A é", [A, E]),
        ({"do_lower_case": REMOVED}, "A é", [A, E]),
        ({"do_lower_case": False}, "A é", [UNK, E_ACUTE]),
        ({"strip_accents": False}, "A é", [A, E_ACUTE]),
        ({"strip_accents": True, "do_lower_case": False}, "A é", [UNK, E]),
        ({"strip_accents": None, "do_lower_case": False}, "é", [E_ACUTE]),
        ({}, "東京", [EAST, CAPITAL]),
        ({"tokenize_chinese_chars": False}, "東京", [UNK]),
        ({"tokenize_chinese_chars": True}, "a東", [A, EAST]),
        ({}, "a\x00 b", [A, B]),
    ],
)
def test_bert_uses_its_configuration(
    tmp_path: Path, settings: dict[str, Any], text: str, expected: list[int]
) -> None:
    """The normaliser of tokenizer.json is ignored."""
    both = [
        {},
        bert(lowercase=False, strip_accents=True, handle_chinese_chars=False, clean_text=False),
        {"tokenizer.json": REMOVED, "vocab.txt": vocabulary()},
    ]
    found = [
        ids(load(write(tmp_path / str(i), files, **settings)), text) for i, files in enumerate(both)
    ]
    assert found[0] == found[1] == found[2]
    assert found[0] == expected


def test_bert_has_a_word_limit_and_a_prefix_of_its_own(tmp_path: Path) -> None:
    model = {**content()["model"], "max_input_chars_per_word": 1, "continuing_subword_prefix": "@"}
    files = {"tokenizer.json": generic(model=model)}
    assert ids(load(write(tmp_path, files)), "ab") == ids(load(write(tmp_path / "x")), "ab")
    assert ids(load(tmp_path), "a" * 101) == [UNK]
    assert len(ids(load(tmp_path), "a" * 100, truncate=False)) == 100
    assert ids(load(write(tmp_path, files, tokenizer_class=GENERIC)), "ab a") == [UNK, A]


def test_bert_has_a_template_of_its_own(tmp_path: Path) -> None:
    files = {"tokenizer.json": generic(post_processor=None)}
    (tokens,) = load(write(tmp_path, files)).tokenize(["a"])
    assert tokens.ids.tolist() == [2, A, 3]
    (tokens,) = load(write(tmp_path, files, cls_token="b", sep_token="é")).tokenize(["a"])
    assert tokens.ids.tolist() == [B, A, E_ACUTE]
    with pytest.raises(CheckpointError, match=r"gives \[\] for an empty text"):
        load(write(tmp_path, files, tokenizer_class=GENERIC))


def test_bert_has_an_unknown_token_of_its_own(tmp_path: Path) -> None:
    assert ids(load(write(tmp_path, unk_token="b")), "\U00010380") == [B]
    with pytest.raises(CheckpointError, match=r"Missing .UNK. token"):
        load(write(tmp_path, unk_token="none"), vocabulary=None)


def test_vocab_txt_alone(tmp_path: Path) -> None:
    """Spaces and carriage returns at the end of a line are not part of the token."""
    text = vocabulary().replace("\na\n", "\na \r\n")
    files = {"tokenizer.json": REMOVED, "tokenizer_config.json": REMOVED, "vocab.txt": text}
    tokenizer = load(write(tmp_path, files))
    assert ids(tokenizer, "A [MASK] é") == [A, MASK, E]
    assert tokenizer.side == "right"
    for name in (GENERIC, "XLMRobertaTokenizer"):
        write(tmp_path, {**files, "tokenizer_config.json": {"tokenizer_class": name}})
        with pytest.raises(CheckpointError, match=f"tokenizer.json is missing; {name} needs it"):
            load(tmp_path)


def test_tokenizer_json_is_preferred_to_vocab_txt(tmp_path: Path) -> None:
    assert ids(load(write(tmp_path, {"vocab.txt": "[UNK]"})), "a") == [A]


@pytest.mark.parametrize("name", ["tokenizer.model", "my-tokenizer.model.v3", "tekken.json"])
def test_another_vocabulary_next_to_vocab_txt_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"tokenizer.json": REMOVED, "vocab.txt": vocabulary(), name: "x"})
    with pytest.raises(CheckpointError, match=f"{name}: transformers would use this"):
        load(tmp_path)
    assert ids(load(write(tmp_path)), "a") == [A]


def test_the_oldest_files_do_not_name_the_type(tmp_path: Path) -> None:
    model = {key: value for key, value in content()["model"].items() if key != "type"}
    for name in ("BertTokenizer", GENERIC):
        files = {"tokenizer.json": generic(model=model)}
        assert ids(load(write(tmp_path, files, tokenizer_class=name)), "a b") == [A, B]


@pytest.mark.parametrize("model", [
    {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    {"type": "BPE", "vocab": {"[UNK]": 0}, "merges": []},
    {"type": "Unigram", "vocab": [["[UNK]", 0.0]], "unk_id": 0},
])  # fmt: skip
def test_bert_with_another_model(tmp_path: Path, model: Any) -> None:
    write(tmp_path, {"tokenizer.json": generic(model=model)})
    with pytest.raises(
        CheckpointError, match=r"model is .*a WordPiece model for this tokenizer_cl"
    ):
        load(tmp_path)


def test_dropout_is_refused(tmp_path: Path) -> None:
    vocab = {"[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 45}
    for dropout in (0.1, None, 0.0):
        model = {
            "type": "BPE",
            "vocab": vocab,
            "merges": [],
            "dropout": dropout,
            "unk_token": "[UNK]",
        }
        write(tmp_path, {"tokenizer.json": generic(model=model)}, tokenizer_class=GENERIC)
        if dropout:
            with pytest.raises(CheckpointError, match=r"model is .*without dropout"):
                load(tmp_path)
        else:
            assert ids(load(tmp_path), "a") == [A]


def unigram(**changes: Any) -> dict[str, Any]:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁a", "ab", "▁ab"]
    vocab = [[piece, -float(i)] for i, piece in enumerate(pieces)]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}
    added = [token for token in content()["added_tokens"] if token["id"] == 4]
    added = [{**token, "content": "<mask>", "id": 10} for token in added]
    return generic(model=model, added_tokens=added, normalizer=None, post_processor=None, **changes)


def test_xlm_roberta(tmp_path: Path) -> None:
    plain = {
        "tokenizer.json": unigram(),
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizerFast"},
    }
    tokenizer = load(write(tmp_path, plain))
    (tokens,) = tokenizer.tokenize(["ab a <mask>"])
    assert tokens.ids.tolist() == [0, 9, 7, 10, 2]
    assert ids(tokenizer, "\U00010380") == [4, 3]
    plain["tokenizer_config.json"]["add_prefix_space"] = False
    assert ids(load(write(tmp_path, plain)), "ab") == [8]
    plain["tokenizer.json"] = content()
    with pytest.raises(CheckpointError, match="a Unigram model for this tokenizer_class"):
        load(write(tmp_path, plain))


def test_other_pipelines_refuse_giant_texts(tmp_path: Path) -> None:
    files = {
        "tokenizer.json": unigram(),
        "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer"},
    }
    tokenizer = load(write(tmp_path, files))
    assert tokenizer.count(["a " * 40_000]) == [40_002]
    with pytest.raises(InputError, match="has 262146 characters; the"):
        tokenizer.count(["a " * 131_073])
