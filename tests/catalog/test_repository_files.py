"""Names, revisions and paths that are valid, and which files of a repository are read."""

import pytest

from engine.catalog.repository_files import (
    check_revision,
    files_read,
    is_hub_name,
    is_path,
    module_folders,
)
from engine.errors import CheckpointError, InputError

ESCAPES = [
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "/a",
    "a//b",
    "a/",
    "a\\b",
    "..\\x",
    "C:\\x",
    "a\0",
    "a\n",
]


@pytest.mark.parametrize(
    "name",
    ["BAAI/bge-base-en-v1.5", "a/b", "_a/b_", "google-bert/bert-base-uncased", f"o/{'n' * 96}"],
)
def test_names_of_the_hub(name: str) -> None:
    assert is_hub_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *ESCAPES, "bge", "a/b/c", "../a/b", "./a/b", "-a/b", "a/b-", ".a/b", "a/.b", "a/b.git",
        "a--b/c", "a/b--c", "a/b..c", "a/ b", "@cf/baai/x", "a@b/c", "ä/b", "a/b\n",
        f"o/{'n' * 97}", f"{'o' * 97}/n",
    ],
)  # fmt: skip
def test_what_is_no_name_of_the_hub(name: str) -> None:
    assert not is_hub_name(name)


@pytest.mark.parametrize("revision", [None, "main", "a" * 40, "refs/pr/3", "v1.0-rc_1"])
def test_revisions(revision: str | None) -> None:
    check_revision(revision)


@pytest.mark.parametrize("revision", [*ESCAPES, "-x", "a b", "~a", "a..b/../c", 7, b"main"])
def test_what_is_no_revision(revision: str) -> None:
    with pytest.raises(InputError, match="it must be a commit, a branch or a tag"):
        check_revision(revision)


@pytest.mark.parametrize("path", ["config.json", "1_Pooling/config.json", "a..b"])
def test_paths(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize("path", [*ESCAPES, ".git/config", "a/.b"])
def test_paths_that_could_lead_elsewhere(path: str) -> None:
    assert not is_path(path)


def test_folders_of_modules_in_their_order() -> None:
    rows = [{"path": "0_Transformer"}, {"path": "1_Pooling", "type": "x"}, {"path": ""}]
    assert module_folders(rows, "m") == ["0_Transformer", "1_Pooling", ""]
    assert module_folders([], "m") == [""]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, "m is a dict; it must be a list of modules"),
        (None, "m is a NoneType; it must"),
        ([1], "m has a module whose path is a NoneType"),
        ([{}], "whose path is a NoneType"),
        ([{"path": 1}], "whose path is a int"),
        *(([{"path": path}], "whose path is '") for path in ESCAPES if path),
    ],
)
def test_modules_that_are_none(modules: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        module_folders(modules, "m")


def test_only_what_is_read_is_read() -> None:
    root = [
        "config.json", "config_sentence_transformers.json", "modules.json", "tokenizer.json",
        "sentence_bert_config.json", "special_tokens_map.json", "tokenizer_config.json",
        "added_tokens.json", "vocab.txt", "model.safetensors", "adapter_config.json",
        "sentence_xlm-roberta_config.json",
    ]  # fmt: skip
    modules = ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]
    others = [
        "README.md", "pytorch_model.bin", "2_Dense/pytorch_model.bin", "onnx/config.json",
        "onnx/model.onnx", "openvino/config.json", "1_Pooling/deep/config.json", "tf_model.h5",
        "rust_model.ot", "configuration.json", "xconfig.json", "config.json.bak", "/config.json",
        "../config.json", "1_Pooling/../config.json", "1_Pooling//config.json",
    ]  # fmt: skip
    read = files_read([*root, *modules, *others], ["", "1_Pooling", "2_Dense", "3_Normalize"])
    assert read == sorted([*root, *modules])


def test_an_old_layout_is_read_where_modules_json_leads() -> None:
    paths = ["modules.json", "0_Transformer/config.json", "0_Transformer/vocab.txt", "x/vocab.txt"]
    assert files_read(paths, ["0_Transformer", "1_Pooling"]) == sorted(paths[:3])


def test_shards_are_read_where_there_is_no_single_file_beside_them() -> None:
    shards = ["a/model-00001-of-00002.safetensors", "a/model.safetensors.index.json"]
    assert files_read(shards, ["a"]) == shards
    assert files_read([*shards, "model.safetensors"], ["a"]) == [*shards, "model.safetensors"]
    assert files_read([*shards, "a/model.safetensors"], ["a"]) == ["a/model.safetensors"]


def test_a_disk_that_ignores_case_hides_nothing() -> None:
    assert files_read(["Tokenizer_Config.JSON"], [""]) == ["Tokenizer_Config.JSON"]
