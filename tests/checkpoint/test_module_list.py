"""modules.json, and the folders that it names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.module_list import Module, list_modules
from engine.errors import CheckpointError

KINDS = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
MODELS = "sentence_transformers.models."
FIRST = [
    {"idx": 0, "name": "0", "path": "", "type": MODELS + "Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": MODELS + "Pooling"},
]


def write(folder: Path, content: Any) -> Path:
    (folder / "modules.json").write_text(json.dumps(content), "utf-8")
    return folder


def chain(*kinds: str) -> list[dict[str, str]]:
    return [{"path": f"{i}", "type": MODELS + kind} for i, kind in enumerate(kinds)]


def test_no_file_lists_nothing(tmp_path: Path) -> None:
    assert list_modules(tmp_path) == []


def test_the_modules_in_order_with_their_folders(tmp_path: Path) -> None:
    write(tmp_path, chain("Transformer", "Pooling", "Dense", "Normalize", "Dense", "LayerNorm"))
    assert list_modules(tmp_path) == [
        Module("Transformer", tmp_path / "0"),
        Module("Pooling", tmp_path / "1"),
        Module("Dense", tmp_path / "2"),
        Module("Normalize", tmp_path / "3"),
        Module("Dense", tmp_path / "4"),
        Module("LayerNorm", tmp_path / "5"),
    ]


def test_an_empty_path_is_the_folder_itself(tmp_path: Path) -> None:
    assert list_modules(write(tmp_path, FIRST))[0] == Module("Transformer", tmp_path)


def test_a_path_may_lie_deeper(tmp_path: Path) -> None:
    listed = [FIRST[0], {"path": "modules/1_Pooling", "type": MODELS + "Pooling"}]
    assert list_modules(write(tmp_path, listed))[1].folder == tmp_path / "modules" / "1_Pooling"


def test_dropout_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, chain("Transformer", "Pooling", "Dropout", "Dense", "Dropout"))
    assert [m.kind for m in list_modules(tmp_path)] == ["Transformer", "Pooling", "Dense"]


@pytest.mark.parametrize(
    "place",
    [
        "models",
        "models.Dense",
        "base.modules",
        "base.modules.dense",
        "sentence_transformer.modules",
        "sentence_transformer.modules.dense",
    ],
)
@pytest.mark.parametrize("kind", KINDS[2:])
def test_class_paths_of_all_versions(place: str, kind: str, tmp_path: Path) -> None:
    listed = [*FIRST, {"path": "2", "type": f"sentence_transformers.{place}.{kind}"}]
    kinds = [module.kind for module in list_modules(write(tmp_path, listed))]
    assert kinds[2:] == ([] if kind == "Dropout" else [kind])


@pytest.mark.parametrize(
    "kind",
    [
        "sentence_transformers.models.CNN",
        "sentence_transformers.models.dense.x.Dense",
        "sentence_transformers.models.Dense ",
        "sentence_transformers.models.WeightedDense",
        "sentence_transformers.modelsXDense",
        "sentence_transformers.Dense",
        "my.sentence_transformers.models.Dense",
        "pylate.models.Dense",
        "Dense",
        "",
    ],
)
def test_another_class_is_refused(kind: str, tmp_path: Path) -> None:
    write(tmp_path, [*FIRST, {"path": "2", "type": kind}])
    with pytest.raises(CheckpointError) as caught:
        list_modules(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path / 'modules.json'}: type is {json.dumps(kind)}; it must be a Transformer, "
        "Pooling, Dense, LayerNorm, Normalize or Dropout of sentence_transformers; other modules "
        "are not supported."
    )


@pytest.mark.parametrize(
    "path",
    ["/etc", "..", "../x", "a/../../x", "C:\\x", "C:x", "\\x", "a\\..\\b", "\\\\host\\s", "a\0b"],
)
def test_a_path_outside_of_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    write(tmp_path, [FIRST[0], {"path": path, "type": MODELS + "Pooling"}])
    with pytest.raises(CheckpointError, match=r"json: path is \".*; it must be a folder inside"):
        list_modules(tmp_path)


@pytest.mark.parametrize("content", [{}, None, "x", 3, [1], [FIRST[0], None], [[]]])
def test_what_is_not_a_list_of_objects_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        list_modules(write(tmp_path, content))
    shown = json.dumps(content)
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    message = f"{tmp_path / 'modules.json'} is {shown}; it must be a list of objects."
    assert str(caught.value) == message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "modules.json"))):
        list_modules(tmp_path)


@pytest.mark.parametrize(
    "entry", [{"path": ""}, {"type": MODELS + "Pooling"}, {"path": 1, "type": MODELS + "Pooling"}]
)
def test_type_and_path_must_be_strings(entry: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"(type|path) is (missing|1); it must be a string"):
        list_modules(write(tmp_path, [FIRST[0], entry]))


@pytest.mark.parametrize(
    "kinds",
    [
        [],
        ["Transformer"],
        ["Pooling", "Transformer"],
        ["Transformer", "Dense"],
        ["Transformer", "Dropout", "Pooling"],
        ["Dense", "Transformer", "Pooling"],
        ["Transformer", "Pooling", "Pooling"],
        ["Transformer", "Pooling", "Dense", "Transformer"],
    ],
)
def test_another_order_is_refused(kinds: list[str], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        list_modules(write(tmp_path, chain(*kinds)))
    assert str(caught.value) == (
        f"{tmp_path / 'modules.json'} lists {', '.join(kinds) or 'no modules'}; the engine "
        "supports a Transformer, then a Pooling, then any of Dense, LayerNorm, Normalize and "
        "Dropout."
    )
