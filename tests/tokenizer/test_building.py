"""Damaged and hostile tokenizer files: CheckpointError or a tokenizer that works, nothing else."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CheckpointError
from engine.tokenizer.building import library_errors
from tests.tokenizer.tiny_tokenizer import REMOVED, content, generic, ids, load, vocabulary, write

A, B, UNK, E_ACUTE = 45, 46, 1, 37
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
PROCESSORS = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
REFUSED = (
    "auto_map", "processor_class", "chat_template", "fast_tokenizer_files", "init_inputs", "vocab",
    "merges", "post_processor", "tokenizer_object", "tokenizer_truncation", "tokenizer_padding",
    "gguf_file", "model_specific_special_tokens",
)  # fmt: skip
NESTED = "[" * 100_000 + "]" * 100_000


def refused(folder: Path, *parts: str, **options: Any) -> None:
    """Asserts a CheckpointError that says all of `parts`."""
    with pytest.raises(CheckpointError) as caught:
        load(folder, **options)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize("file", [*FILES, *PROCESSORS, "config.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', NESTED, "\ufeff{}", "NaN"])
def test_a_file_that_is_no_object(tmp_path: Path, file: str, text: str) -> None:
    refused(write(tmp_path, {file: text}), str(tmp_path / file))


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_utf8(tmp_path: Path, file: str) -> None:
    write(tmp_path)
    (tmp_path / file).write_bytes(b'{"a": "\xff"}')
    refused(tmp_path, str(tmp_path / file), "cannot be read as JSON")


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").mkdir()
    refused(tmp_path, "tokenizer.json cannot be read")


def test_no_file_at_all(tmp_path: Path) -> None:
    refused(tmp_path, f"{tmp_path} has neither tokenizer.json nor vocab.txt", "Copy the")


WRONG = (None, True, 1, -1, 1.5, "text", [], ["a"], {}, {"a": 1}, [[1, 2]])


@pytest.mark.parametrize(
    "name", ["BertTokenizer", "PreTrainedTokenizerFast", "XLMRobertaTokenizer"]
)
@pytest.mark.parametrize("key", [*content(), *(f"model.{key}" for key in content()["model"])])
def test_a_value_of_the_wrong_type(tmp_path: Path, name: str, key: str) -> None:
    for i, value in enumerate(WRONG):
        damaged = content()
        place = damaged
        if key.startswith("model."):
            place = damaged["model"] = dict(damaged["model"])
        place[key.removeprefix("model.")] = value
        works(write(tmp_path / str(i), {"tokenizer.json": damaged}, tokenizer_class=name))


CONFIG = (
    "do_lower_case", "strip_accents", "tokenize_chinese_chars", "truncation_side", "unk_token",
    "cls_token", "sep_token", "pad_token", "mask_token", "bos_token", "tokenizer_class",
    "split_special_tokens", "added_tokens_decoder", "extra_special_tokens", "model_input_names",
    "additional_special_tokens", *REFUSED,
)  # fmt: skip


@pytest.mark.parametrize("key", CONFIG)
def test_a_setting_of_the_wrong_type(tmp_path: Path, key: str) -> None:
    for i, value in enumerate((*WRONG, {"__type": "AddedToken"}, {"1": {"content": 3}}, "\ud800")):
        works(write(tmp_path / str(i), **{key: value}))


def works(folder: Path) -> bool:
    """Whether the tokenizer can be loaded; asserts that it then works."""
    try:
        tokenizer = load(folder)
    except CheckpointError as error:
        assert str(folder) in str(error)
        return False
    try:
        tokens = tokenizer.tokenize(["hello, [MASK] É 東 x\u200b" + "y" * 200, ""])
    except CheckpointError:
        return False
    assert all(0 <= id < 242 for one in tokens for id in one.ids.tolist())
    return True


@pytest.mark.parametrize("name", ["BertTokenizer", "PreTrainedTokenizerFast"])
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "vocab.txt"])
def test_random_bytes(tmp_path: Path, name: str, file: str) -> None:
    """100 times one to four bytes are changed, removed or added; 600 in all."""
    files = {"tokenizer.json": REMOVED, "vocab.txt": vocabulary()} if file == "vocab.txt" else {}
    write(tmp_path, files, tokenizer_class=name if file != "vocab.txt" else "BertTokenizer")
    whole = (tmp_path / file).read_bytes()
    draw = random.Random(f"{name} {file}")
    loaded = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(damaged))
            damaged[place : place + draw.randint(0, 2)] = draw.randbytes(draw.randint(0, 2))
        (tmp_path / file).write_bytes(damaged)
        loaded += works(tmp_path)
    assert 0 < loaded < 100


def test_a_panic_of_the_library_is_a_checkpoint_error(tmp_path: Path) -> None:
    """A normalised token that normalises to nothing: the library panics at each text."""
    decoder = {"5": {"content": "\u200b", "normalized": True}}
    write(tmp_path, added_tokens_decoder=decoder)
    refused(tmp_path, "PanicException", str(tmp_path), vocabulary=None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_errors_not_caused_by_the_file_are_not_converted(error: type[BaseException]) -> None:
    with pytest.raises(error), library_errors(Path("folder")):
        raise error


def test_all_other_errors_become_checkpoint_errors() -> None:
    said = r"in folder does not work: ValueError: x. Save the"
    with pytest.raises(CheckpointError, match=said), library_errors(Path("folder")):
        raise ValueError("x")
    with pytest.raises(CheckpointError, match=r"^own$"), library_errors(Path("folder")):
        raise CheckpointError("own")


@pytest.mark.parametrize("key", REFUSED)
def test_an_unsupported_setting(tmp_path: Path, key: str) -> None:
    refused(write(tmp_path / "1", **{key: ["x"]}), f"tokenizer_config.json: {key} is", "absent")
    assert works(write(tmp_path / "2", **{key: None}))
    assert works(write(tmp_path / "3", **{key: []}))


@pytest.mark.parametrize("file", PROCESSORS)
def test_another_processor(tmp_path: Path, file: str) -> None:
    assert works(write(tmp_path, {file: {"size": 3}}))
    for key in ("processor_class", "auto_map"):
        refused(write(tmp_path, {file: {key: "X"}}), f'{file}: {key} is "X"')
    (tmp_path / file).unlink()
    refused(
        write(tmp_path, {"config.json": {"processor_class": "X"}}), "config.json: processor_class"
    )


def test_a_chat_template(tmp_path: Path) -> None:
    refused(write(tmp_path, {"chat_template.jinja": "{{ x }}"}), "chat_template.jinja: a chat")
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "additional_chat_templates").mkdir()
    refused(tmp_path, "additional_chat_templates: a chat template would")


def test_model_input_names(tmp_path: Path) -> None:
    right = ["attention_mask", "input_ids"]
    assert works(write(tmp_path, model_input_names=right))
    for names in (right[:1], right[1:], "input_ids attention_mask", dict.fromkeys(right, 1)):
        refused(write(tmp_path, model_input_names=names), "model_input_names is", "a list with")


@pytest.mark.parametrize(
    ("in_settings", "in_config", "expected"),
    [
        (REMOVED, None, "BertTokenizer"),
        ("BertTokenizerFast", "PreTrainedTokenizerFast", "BertTokenizer"),
        ("DistilBertTokenizer", None, "BertTokenizer"),
        ("MobileBertTokenizerFast", None, "BertTokenizer"),
        (REMOVED, "PreTrainedTokenizerFast", "generic"),
        ("", "TokenizersBackend", "generic"),
        ("PreTrainedTokenizerFast", "BertTokenizer", "generic"),
    ],
)
def test_which_class(
    tmp_path: Path, in_settings: Any, in_config: str | None, expected: str
) -> None:
    """BertTokenizer has its own normaliser; the generic class has the file's, which keeps case."""
    cased = generic(normalizer={**content()["normalizer"], "lowercase": False})
    files = {"tokenizer.json": cased, "config.json": {"tokenizer_class": in_config}}
    folder = write(tmp_path, files, tokenizer_class=in_settings)
    assert ids(load(folder), "A") == ([A] if expected == "BertTokenizer" else [UNK])


@pytest.mark.parametrize("name", ["BertJapaneseTokenizer", "TokenizersBackendFast", "Bert", "bert"])
def test_a_class_that_is_not_known(tmp_path: Path, name: str) -> None:
    refused(
        write(tmp_path, tokenizer_class=name),
        f'tokenizer_config.json: tokenizer_class is "{name}"',
        "BertTokenizer, DistilBertTokenizer",
    )
    files = {"config.json": {"tokenizer_class": name}}
    refused(write(tmp_path, files, tokenizer_class=REMOVED), "config.json: tokenizer_class is")


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_truncation_in_the_file_says_the_side_only(tmp_path: Path, side: str) -> None:
    baked = {"direction": side.title(), "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    for name in ("BertTokenizer", "PreTrainedTokenizerFast"):
        files = {"tokenizer.json": generic(truncation=baked, padding=padding)}
        tokenizer = load(write(tmp_path, files, tokenizer_class=name))
        assert tokenizer.side == side
        assert ids(tokenizer, "a a a b") == [A, A, A, B]
        assert len(tokenizer.tokenize(["a a a b"])[0]) == 6
        other = load(write(tmp_path, files, tokenizer_class=name, truncation_side="right"))
        assert other.side == "right"


@pytest.mark.parametrize("side", ["Left", "middle", 3])
def test_another_side_is_refused(tmp_path: Path, side: Any) -> None:
    refused(write(tmp_path, truncation_side=side), "truncation_side is", '"right", "left"')


def test_do_lower_case_of_sentence_transformers(tmp_path: Path) -> None:
    cased = write(tmp_path, do_lower_case=False)
    assert ids(load(cased), "A É") == [UNK, UNK]
    assert ids(load(cased, do_lower_case=True), "A É") == [A, E_ACUTE]


@pytest.mark.parametrize("given", ["Lowercase", "Sequence", "BertNormalizer", None])
def test_lowercase_goes_first_once(tmp_path: Path, given: str | None) -> None:
    steps = [{"type": "Replace", "pattern": {"String": "A"}, "content": "b"}, {"type": "Lowercase"}]
    normalizers = {
        None: None,
        "Lowercase": {"type": "Lowercase"},
        "Sequence": {"type": "Sequence", "normalizers": steps},
        "BertNormalizer": {**content()["normalizer"], "lowercase": False},
    }
    files = {"tokenizer.json": generic(normalizer=normalizers[given])}
    folder = write(tmp_path, files, tokenizer_class="PreTrainedTokenizerFast")
    assert ids(load(folder, do_lower_case=True), "A") == ([B] if given == "Sequence" else [A])
    if given == "Sequence":  # without its last step there is no Lowercase, and ours goes first
        files = {
            "tokenizer.json": generic(normalizer={"type": "Sequence", "normalizers": steps[:1]})
        }
        write(tmp_path, files, tokenizer_class="PreTrainedTokenizerFast")
        assert ids(load(folder, do_lower_case=True), "A") == [A]


def test_a_token_may_be_split(tmp_path: Path) -> None:
    assert ids(load(write(tmp_path)), "[MASK]") == [4]
    split = ids(load(write(tmp_path, split_special_tokens=True)), "[MASK]")
    assert (
        len(split) > 2
        and split[0] == json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"]["["]
    )
