"""Values of the right type, or an error that names file, field and value."""

from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.json_files import JsonObject, read_json, short
from engine.errors import CheckpointError

PATH = Path("some") / "config.json"
SIZES_REFUSED = [0, -1, True, False, "12", 1.0, 1.5, [1], {"a": 1}]


def holding(value: Any) -> JsonObject:
    return JsonObject(PATH, {"key": value})


def refused(call: Any, value: str, allowed: str) -> None:
    """The whole message: where, which field, its value, what is allowed, what to do."""
    with pytest.raises(CheckpointError) as caught:
        call()
    assert str(caught.value) == (
        f"{PATH}: key is {value}; it must be {allowed}. Correct the file, or use another "
        "checkpoint (`bge models` lists those that are known to work)."
    )


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_content_of_a_file(tmp_path: Path) -> None:
    assert read_json(write(tmp_path / "a.json", '{"ä": [1, null]}'.encode())) == {"ä": [1, None]}
    assert read_json(write(tmp_path / "null.json", b"null")) is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None
    assert JsonObject.read(tmp_path / "none.json") is None
    assert JsonObject.read_or_empty(tmp_path / "none.json").content == {}
    assert JsonObject.read(tmp_path / "no folder" / "none.json") is None


UNREADABLE = {
    "empty": (b"", "cannot be read as JSON: Expecting value"),
    "cut short": (b'{"a": 1', "cannot be read as JSON: Expecting ',' delimiter"),
    "not UTF-8": (b'{"a": "\xff"}', "cannot be read as JSON: 'utf-8' codec"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "cannot be read as JSON: 'utf-8' codec"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "cannot be read as JSON: Unexpected UTF-8 BOM"),
    "an integer of 5000 digits": (b"9" * 5000, "cannot be read as JSON: Exceeds the limit"),
    "lists nested deeply": (b"[" * 100_000 + b"]" * 100_000, "is nested too deeply to be read."),
    "objects nested deeply": (b'{"a":' * 100_000, "is nested too deeply to be read."),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_names_the_file(name: str, tmp_path: Path) -> None:
    content, message = UNREADABLE[name]
    path = write(tmp_path / "config.json", content)
    for read in (read_json, JsonObject.read):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} {message}")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        JsonObject.read(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"[]", "list"), (b"null", "NoneType"), (b'"a"', "str"), (b"3", "int"), (b"false", "bool")],
)
def test_what_is_not_an_object_is_refused(content: bytes, kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", content)
    with pytest.raises(CheckpointError) as caught:
        JsonObject.read(path)
    assert str(caught.value) == f"{path} holds a JSON {kind}; it must hold an object, {{...}}."


def test_the_fields_of_an_object(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", b'{"b": 1, "a": null}')
    found = JsonObject.read(path)
    assert found is not None and found.path == path
    assert list(found) == ["b", "a"] and "a" in found and "c" not in found


@pytest.mark.parametrize("value", SIZES_REFUSED)
def test_other_types_are_not_integers(value: Any) -> None:
    with pytest.raises(CheckpointError, match=r"key is .*; it must be an integer of at least 1\."):
        holding(value).integer("key")
    with pytest.raises(CheckpointError, match="an integer of at least 1"):
        holding(value).integer("key", 5)  # a default does not excuse a wrong value


def test_integers_and_their_least() -> None:
    assert holding(1).integer("key") == 1
    assert holding(10**40).integer("key") == 10**40
    assert holding(3).integer("key", least=3) == 3
    refused(lambda: holding(2).integer("key", least=3), "2", "an integer of at least 3")
    refused(lambda: holding(0).integer("key"), "0", "an integer of at least 1")


def test_a_null_is_a_missing_field() -> None:
    for there in (holding(None), JsonObject(PATH, {})):
        assert there.integer("key", 7) == 7
        assert there.integer("key", None) is None
        assert there.fraction("key", 0.5) == 0.5
        assert there.boolean("key", True) is True
        assert there.text("key", "a") == "a"
        assert there.text("key", None) is None
        assert there.texts("key") == {}
        assert there.choice("key", ["a"], "b") == "b"
        there.refuse("key")


def test_a_field_without_a_default_must_be_there() -> None:
    missing = JsonObject(PATH, {})
    refused(lambda: missing.integer("key"), "missing", "an integer of at least 1")
    refused(lambda: missing.text("key"), "missing", "a string")
    refused(lambda: missing.choice("key", ["a"]), "missing", '"a"')
    refused(lambda: holding(None).text("key"), "null", "a string")


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 1.5, 10**400, True, "0.5", [0.5]])
def test_a_fraction_lies_between_0_and_1(value: Any) -> None:
    with pytest.raises(CheckpointError, match=r"key is .*; it must be a number between 0 and 1"):
        holding(value).fraction("key", 0.1)


def test_fractions() -> None:
    assert holding(1e-300).fraction("key", 0.1) == 1e-300
    assert holding(0.999).fraction("key", 0.1) == 0.999
    for value in (float("nan"), float("inf")):
        refused(
            lambda value=value: holding(value).fraction("key", 0.1),
            str(value),
            "a number between 0 and 1",
        )


def test_booleans() -> None:
    assert holding(True).boolean("key", False) is True
    assert holding(False).boolean("key", True) is False
    for value, shown in ((0, "0"), (1, "1"), ("true", '"true"'), ([], "[]")):
        refused(lambda value=value: holding(value).boolean("key", True), shown, "true or false")


def test_texts_of_one_field() -> None:
    assert holding("").text("key") == ""
    assert holding("a").text("key", "b") == "a"
    for value, shown in ((0, "0"), (True, "true"), (["a"], '["a"]'), ({}, "{}")):
        refused(lambda value=value: holding(value).text("key", "b"), shown, "a string")


def test_an_object_of_texts() -> None:
    assert holding({"a": "x", "b": "", "c": None}).texts("key") == {"a": "x", "b": "", "c": ""}
    assert holding({}).texts("key") == {}
    refused(lambda: holding(["a"]).texts("key"), '["a"]', "an object of strings")
    for wrong in (1, 0, False, [], {}):
        given = {"a": "x", "b": wrong}
        with pytest.raises(CheckpointError, match=r"key is .* an object of strings, and 'b' is"):
            holding(given).texts("key")


def test_a_choice_is_of_the_same_type() -> None:
    """In Python 0 == False and 1 == True == 1.0; in a file they are different values."""
    assert holding("a").choice("key", ["a", "b"]) == "a"
    assert holding(False).choice("key", [False], False) is False
    assert holding({"a": [1]}).choice("key", [{"a": [1]}]) == {"a": [1]}
    assert holding(40).choice("key", [40]) == 40
    for value in (0, 0.0, "", "false"):
        with pytest.raises(CheckpointError, match="it must be false"):
            holding(value).choice("key", [False], False)
    for value in (True, 1.0, "1"):
        with pytest.raises(CheckpointError, match="it must be 1"):
            holding(value).choice("key", [1])


def test_a_choice_lists_what_is_allowed() -> None:
    refused(lambda: holding("c").choice("key", ["a", "b"]), '"c"', 'one of "a", "b"')
    refused(lambda: holding("c").choice("key", ["a"]), '"c"', '"a"')
    refused(lambda: holding([]).choice("key", [True]), "[]", "true")


@pytest.mark.parametrize("empty", [None, {}, [], ""])
def test_an_empty_setting_is_absent(empty: Any) -> None:
    holding(empty).refuse("other", "key")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (False, "false"), ("a", '"a"'), ([0], "[0]"), ({"a": None}, '{"a": null}')],
)
def test_an_unsupported_setting_is_refused(value: Any, shown: str) -> None:
    allowed = "absent, because the engine does not support it"
    refused(lambda: holding(value).refuse("other", "key"), shown, allowed)


def test_unknown_fields_are_refused() -> None:
    holding(1).allow_only({"key", "other"})
    holding(1).allow_only(["key"])
    refused(lambda: holding(1).allow_only({"b", "a"}), "1", "absent; the known fields are a, b")


def test_a_long_value_is_shortened() -> None:
    assert short("a" * 98) == '"' + "a" * 98 + '"'
    assert short("a" * 99) == '"' + "a" * 96 + "..."
    assert len(short("ä" * 99)) == 100


def test_any_value_can_be_shown() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert short(deep) == "a value of type list"
    assert short(float("-inf")) == "-inf"
    assert short([float("nan")]) == "[NaN]"
    assert short(10**5000) == "a value of type int"
    assert short("missing") == "missing"
    assert short("é") == '"é"'
