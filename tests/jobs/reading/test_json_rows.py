"""Arrays of objects, and objects that lose a value."""

import json
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.jobs.reading import json_rows, lines
from tests.jobs.reading.reads import put, read

OBJECTS = [{"text": f'text {n} \\ " 世界', "n": n, "deep": {"a": [1, {}]}} for n in range(300)]
TEXTS = [each["text"] for each in OBJECTS]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("mark", ["", "\ufeff \n"])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_an_array_gives_the_rows_that_its_lines_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, mark: str, chunk: int
) -> None:
    monkeypatch.setattr(json_rows, "CHUNK", chunk)
    path = put(tmp_path / "a.json", mark + json.dumps(OBJECTS, indent=indent) + "\n")
    if chunk > 1 or not mark:  # to peek takes more than a byte where the file begins with a mark
        texts, reasons, columns = read(path, keep="n")
        assert texts == TEXTS and not reasons
        assert columns == [{"n": n} for n in range(300)]


def test_a_json_file_may_hold_lines(tmp_path: Path) -> None:
    content = "".join(json.dumps(each) + "\n" for each in OBJECTS)
    assert read(put(tmp_path / "a.json", content))[0] == TEXTS


def test_bad_elements_are_rejected_and_an_empty_array_has_none(tmp_path: Path) -> None:
    content = '[{"text": "a"}, 5, {"text": 1}, {"text": "\\ud800"}, {"text": "b"}]'
    texts, reasons, _ = read(put(tmp_path / "a.json", content))
    assert texts == ["a", "b"]
    assert reasons[1] == "the row is a JSON int, not an object" and list(reasons) == [1, 2, 3]
    assert read(put(tmp_path / "b.json", " [ ] ")) == ([], {}, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"text": "a"}', "at row 0: it ends too early"),
        ('[{"text": "a"},', "at row 1: "),
        ('[{"text": "a"}, {"text": "b', "at row 1: Unterminated string"),
        ('[{"text": "a"} {"text": "b"}]', "at row 0: '{' follows a row"),
        ('[{"text": "a"}, ]', "at row 1: Expecting value"),
        ('[{"text": "a"}] [', "at row 1: more data follows"),
        ("[" * 100_000, "at row 0: "),
        ("[", "at row 0: it ends too early"),
    ],
)
def test_a_malformed_array_is_an_error_by_row(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(EngineError, match=r"a\.json': the JSON array is malformed ") as raised:
        read(put(tmp_path / "a.json", content))
    assert told in str(raised.value)


def test_an_element_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 1000)
    monkeypatch.setattr(json_rows, "CHUNK", 100)
    path = put(tmp_path / "a.json", '[{"text": "' + "x" * 9000 + '"}]')
    with pytest.raises(EngineError, match="at row 0: the row is longer than"):
        read(path)


@pytest.mark.parametrize("content", ['{"text": "a", "text": "b"}', '[{"text":"a","text":"b"}]'])
def test_a_key_that_is_there_twice_rejects_the_row(tmp_path: Path, content: str) -> None:
    texts, reasons, _ = read(put(tmp_path / "a.json", content))
    assert not texts and reasons == {0: "the key 'text' is there twice"}
