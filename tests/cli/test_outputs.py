"""What each format writes, and where it may go."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.cli.outputs import (
    csv_rows,
    json_array,
    jsonl,
    matrix_table,
    one_line,
    opened,
    table,
    write_npy,
    write_parquet,
)
from engine.errors import InputError

BLOCKS = [
    (["a", 'b "q", c'], np.array([[1.0, -0.5], [0.0, 0.25]], np.float32)),
    (["d\ne"], np.array([[3.0, 1e-8]], np.float32)),
]


def test_formats_to_the_letter() -> None:
    assert list(jsonl(BLOCKS)) == [
        '{"text": "a", "embedding": [1, -0.5]}\n',
        '{"text": "b \\"q\\", c", "embedding": [0.0, 0.25]}\n',
        '{"text": "d\\ne", "embedding": [3, 9.99999994e-09]}\n',
    ]
    assert "".join(json_array(BLOCKS[1:])) == (
        '[\n{"text": "d\\ne", "embedding": [3, 9.99999994e-09]}\n]\n'
    )
    assert "".join(csv_rows(BLOCKS, 2)) == (
        'text,e0,e1\r\na,1,-0.5\r\n"b ""q"", c",0.0,0.25\r\n"d\ne",3,9.99999994e-09\r\n'
    )


@pytest.mark.parametrize("form", [jsonl, json_array, lambda blocks: csv_rows(blocks, 2)])
def test_nothing_is_written_before_the_first_vectors(form) -> None:
    def failing():
        raise ValueError("the model failed")
        yield

    written = []
    with pytest.raises(ValueError, match="the model failed"):
        written.extend(form(failing()))
    assert written == []


def test_npy_knows_its_rows_at_the_end_and_needs_a_file_for_that() -> None:
    file = io.BytesIO()
    write_npy(file, iter(BLOCKS), 2)
    file.seek(0)
    assert np.array_equal(np.load(file), np.concatenate([rows for _, rows in BLOCKS]))
    reader, writer = os.pipe()
    with (
        os.fdopen(reader),
        os.fdopen(writer, "wb") as pipe,
        pytest.raises(InputError, match="cannot be written to a pipe"),
    ):
        write_npy(pipe, iter(BLOCKS), 2)


def test_parquet_has_row_groups_of_many_blocks() -> None:
    file = io.BytesIO()
    write_parquet(file, iter(BLOCKS * 20 + [(["\ud800"], BLOCKS[1][1])]), 2)
    read = pq.ParquetFile(file)
    groups = [read.metadata.row_group(i).num_rows for i in range(read.num_row_groups)]
    assert groups == [24, 24, 13]
    rows = read.read().to_pylist()
    assert rows[1] == {"text": 'b "q", c', "embedding": [0.0, 0.25]}
    assert rows[-1] == {"text": "?", "embedding": [3.0, float(np.float32(1e-8))]}


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with opened(str(target)) as file:
        file.write(b"all")
        file.flush()
        assert not target.exists()
        (draft,) = tmp_path.iterdir()
        assert draft.name.startswith(".out.")
    assert target.read_bytes() == b"all" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_file_that_is_not_completed(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(error), opened(str(tmp_path / "out")) as file:
        file.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []

    def create(draft: Path, target: Path) -> None:
        draft.touch()
        raise error  # a signal, as soon as the file is there

    monkeypatch.setattr("engine.cli.outputs._create", create)
    with pytest.raises(error), opened(str(tmp_path / "out")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named_and_not_the_draft(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, opened(str(tmp_path / "no" / "out")):
        pass
    assert raised.value.filename == str(tmp_path / "no" / "out")


def test_a_text_on_one_line() -> None:
    assert one_line("a\tb\x1b[1m  c", 40) == "a b·[1m c"
    assert one_line("word " * 20, 14) == "word word wor…"
    assert one_line("x" * 12, 5) == "x" * 12  # never under twelve


def test_a_matrix_of_long_texts_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for count in (2, 4, 7):
        (made,) = matrix_table(["a long text " * 9] * count, [[-0.5] * count] * count)
        assert max(map(len, made.splitlines())) <= 80


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert table(["n", "name"], [["1", "ab"], ["10", "c"]], right=[0]) == (
        " n  name\n 1  ab\n10  c\n"
    )
