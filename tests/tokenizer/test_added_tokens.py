"""The tokens that a checkpoint adds, in the new layout and in the old one."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import CheckpointError
from tests.tokenizer.tiny_tokenizer import REMOVED, content, generic, ids, load, write

MASK, A, B = 4, 45, 46
GENERIC = "PreTrainedTokenizerFast"
PLAIN = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
SPECIAL = [dict(token) for token in content()["added_tokens"]]


def of(text: str, folder: Path) -> list[int]:
    return ids(load(folder, vocabulary=None), text)


@pytest.mark.parametrize("name", ["BertTokenizer", GENERIC])
def test_the_decoder_of_the_configuration(tmp_path: Path, name: str) -> None:
    """In the order of their ids, each with its flags; their ids are the next free ones."""
    decoder = {
        "10": {"content": "Ab", **PLAIN, "normalized": True},
        "9": {"content": "[X]", **PLAIN, "special": True},
        "8": {"content": "b", **PLAIN, "single_word": True},
    }
    write(tmp_path, added_tokens_decoder=decoder, tokenizer_class=name)
    assert of("aB [X] ab", tmp_path) == [243, 242, 243]
    assert of("[x]", tmp_path)[0] == 27
    if name == "BertTokenizer":  # it takes none from tokenizer.json, but the named ones
        assert of("[MASK]", tmp_path) == [MASK]


def test_bert_takes_them_from_the_configuration_alone(tmp_path: Path) -> None:
    added = [*SPECIAL, {**SPECIAL[0], "id": 81, "content": "the"}]
    write(tmp_path, {"tokenizer.json": generic(added_tokens=added)}, added_tokens_decoder={})
    assert of("thea", tmp_path) == [81, 194]  # the word and its continuation "##a"
    write(tmp_path, {"tokenizer.json": generic(added_tokens=added)})
    assert of("thea", tmp_path) == [81, A]


def test_named_tokens_that_are_missing_are_added_in_order(tmp_path: Path) -> None:
    write(tmp_path, mask_token="<m>", bos_token="<b>", pad_token="a", extra_special_tokens=["<x>"])
    assert of("<b><m><x>", tmp_path) == [242, 243, 244]
    assert of("bab", tmp_path) == [B, A, B]  # a special token is found inside a word
    assert 242 not in of("<B>", tmp_path)  # and is not normalised
    write(tmp_path, bos_token="<b>", extra_special_tokens=["<x>"], split_special_tokens=True)
    assert not {242, 243} & set(of("<b><x>", tmp_path))


def test_flags_of_a_named_token(tmp_path: Path) -> None:
    token = {"__type": "AddedToken", "content": "<m>", **PLAIN, "normalized": True}
    for name in ("BertTokenizer", GENERIC):
        write(tmp_path, mask_token=token, tokenizer_class=name, do_lower_case=True)
        assert of("<M>", tmp_path) == [242]
    decoder = {"7": {"content": "<m>", **PLAIN, "normalized": False, "lstrip": True}}
    write(tmp_path, mask_token=token, added_tokens_decoder=decoder)
    assert 242 not in of("<M>", tmp_path)  # the flags of the decoder are used


def test_a_named_token_is_special(tmp_path: Path) -> None:
    """So that split_special_tokens splits it."""
    decoder = {"4": {"content": "[MASK]", **PLAIN, "special": False}}
    write(tmp_path, added_tokens_decoder=decoder, split_special_tokens=True)
    assert MASK not in of("[MASK]", tmp_path)
    decoder = {"81": {"content": "the", **PLAIN}, "82": {"content": "None", **PLAIN}}
    write(tmp_path, added_tokens_decoder=decoder, split_special_tokens=True, pad_token=None)
    assert of("athea", tmp_path) == [A, 81, A]
    assert of("aNone", tmp_path) == [A, 242]


@pytest.mark.parametrize("key", ["extra_special_tokens", "additional_special_tokens"])
def test_further_special_tokens(tmp_path: Path, key: str) -> None:
    write(tmp_path, **{key: ["<x>", {"__type": "AddedToken", "content": "<y>", **PLAIN}]})
    assert of("<y><x>", tmp_path) == [243, 242]


def test_the_new_name_overrides_the_old_one(tmp_path: Path) -> None:
    write(tmp_path, extra_special_tokens=["<x>"], additional_special_tokens=["<y>"])
    assert of("<x>", tmp_path) == [242] and 242 not in of("<y>", tmp_path)
    write(tmp_path, extra_special_tokens={}, additional_special_tokens=["<y>"])
    assert of("<y>", tmp_path) == [242]


def test_the_special_tokens_map(tmp_path: Path) -> None:
    """It overrides the configuration, but only if that has no added_tokens_decoder."""
    files = {
        "special_tokens_map.json": {
            "mask_token": {"content": "<m>", **PLAIN},
            "sep_token": "b",
            "additional_special_tokens": ["<x>"],
            "extra_special_tokens": ["<y>", {"content": "<z>", **PLAIN}, "<y>"],
        }
    }
    write(tmp_path, files)
    assert of("<m><y><z>", tmp_path) == [242, 243, 244]
    (tokens,) = load(tmp_path, vocabulary=None).tokenize([""])
    assert tokens.ids.tolist() == [2, B]
    write(tmp_path, files, added_tokens_decoder={})
    assert 242 not in of("<m><y><z>", tmp_path)
    (tokens,) = load(tmp_path).tokenize([""])
    assert tokens.ids.tolist() == [2, 3]


def test_the_map_adds_to_the_further_tokens(tmp_path: Path) -> None:
    files = {"special_tokens_map.json": {"extra_special_tokens": ["<x>", "<y>"]}}
    write(tmp_path, files, extra_special_tokens=["<y>"])
    assert of("<y><x>", tmp_path) == [242, 243]


def test_unknown_fields_of_the_map_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"special_tokens_map.json": {"do_lower_case": False}})
    with pytest.raises(CheckpointError, match=r"special_tokens_map.json: do_lower_case is false"):
        load(tmp_path)


def test_added_tokens_json(tmp_path: Path) -> None:
    """Normalised unless special; those of tokenizer.json come last."""
    files = {
        "added_tokens.json": {"Ab": 300, "<Extra>": 299, "[MASK]": 4},
        "special_tokens_map.json": {"extra_special_tokens": ["<Extra>"]},
        "tokenizer.json": REMOVED,
        "vocab.txt": "\n".join(content()["model"]["vocab"]),
    }
    write(tmp_path, files)
    assert of("aB <Extra> [MASK] xAbx", tmp_path) == [243, 242, MASK, 68, 243, 68]
    assert of("a <Extra> b", tmp_path) == [A, 242, B]
    assert 242 not in of("<extra>", tmp_path)


def test_in_the_old_layout_tokenizer_json_overrides_the_others(tmp_path: Path) -> None:
    added = [*SPECIAL, {**SPECIAL[0], "id": 300, "content": "<Extra>"}]
    files = {"added_tokens.json": {"<Extra>": 300}, "tokenizer.json": generic(added_tokens=added)}
    write(tmp_path, files)
    assert of("<Extra>", tmp_path) == [242] and 242 not in of("<extra>", tmp_path)


def test_the_padding_of_the_file_names_the_padding_token(tmp_path: Path) -> None:
    padding = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    files = {"tokenizer.json": generic(padding=padding)}
    write(tmp_path, files, tokenizer_class=GENERIC, pad_token=REMOVED)
    assert of("<pad>", tmp_path) == [242]
    write(tmp_path, files, tokenizer_class=GENERIC)
    assert 242 not in of("<pad>", tmp_path)


@pytest.mark.parametrize("name", ["unk_token", "cls_token", "sep_token"])
def test_a_name_that_is_null(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"tokenizer_config.json: {name} is null"):
        load(write(tmp_path, **{name: None}))


@pytest.mark.parametrize("name", ["pad_token", "mask_token", "bos_token"])
def test_a_name_that_may_be_null(tmp_path: Path, name: str) -> None:
    assert of("a", write(tmp_path, {"special_tokens_map.json": {}}, **{name: None})) == [A]


@pytest.mark.parametrize(
    ("key", "value"),
    [("image_token", "<i>"), ("extra_special_tokens", {"image_token": "<i>"}), ("x_token", {})],
)
def test_other_names_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"config.json: {key} is .*bos_token.*Remove the"):
        load(write(tmp_path, **{key: value}))


def test_values_that_are_not_names_are_ignored(tmp_path: Path) -> None:
    folder = write(tmp_path, add_bos_token=False, image_token=None, extra_special_tokens={})
    assert of("a", folder) == [A]


@pytest.mark.parametrize("value", [3, {"content": "<m>"}, ["<m>"]])
def test_a_token_of_the_wrong_type(tmp_path: Path, value: Any) -> None:
    with pytest.raises(CheckpointError, match=r"mask_token holds .*save_pretrained"):
        load(write(tmp_path, mask_token=value))
    with pytest.raises(CheckpointError, match=r"extra_special_tokens holds .*"):
        load(write(tmp_path, mask_token="[MASK]", extra_special_tokens=[value]))
    with pytest.raises(CheckpointError, match="extra_special_tokens"):
        load(write(tmp_path, extra_special_tokens="<m>"))
