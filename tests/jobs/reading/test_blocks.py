"""Errors of a file as a whole: a column that is missing or there twice, a file that breaks off."""

import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import EngineError, InputError
from engine.jobs.options import Fields, parse_template
from engine.jobs.reading.blocks import check_columns, reading, shown_id
from engine.jobs.reading.inputs import Source, find


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "rows.csv").write_text("n,text\n1,a\n")
    (found,) = find([str(tmp_path / "rows.csv")], None, "elsewhere")
    return found


def test_a_column_is_there_once(source: Source) -> None:
    wanted = Fields(parse_template("{title} {text}"), "n", ())
    check_columns(source, wanted, ["n", "text", "title", "unused", "unused"])
    with pytest.raises(InputError, match=r"has no column 'title'; it has \['n', 'text'\]"):
        check_columns(source, wanted, ["n", "text"])
    with pytest.raises(InputError, match="has 2 columns 'n'; rename all but one"):
        check_columns(source, wanted, ["n", "text", "title", "n"])


@pytest.mark.parametrize(
    "error", [OSError("bad block"), EOFError("short"), zlib.error("-3"), pa.ArrowInvalid("magic")]
)
def test_a_damaged_file_is_named(source: Source, error: Exception) -> None:
    told = rf"rows\.csv' cannot be read completely: {error}"
    with pytest.raises(EngineError, match=told), reading(source):
        raise error
    with pytest.raises(KeyError), reading(source):  # a mistake of ours stays one
        raise KeyError


@pytest.mark.parametrize(
    ("value", "shown"), [(None, None), ("a", "a"), (5, 5), (b"a", "b'a'"), ([1], "[1]")]
)
def test_an_id_is_shown_as_json_can(value: object, shown: object) -> None:
    assert shown_id(pa.scalar(value)) == shown
