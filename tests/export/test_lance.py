"""LanceDB: the rows with their types, the nearest rows, and a table that is replaced."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from engine import export
from engine.errors import EngineError, InputError
from engine.export import lance as room
from tests.export.corpus import COLUMNS, DIM, ROWS, VECTORS, output
from tests.search.outputs import unit


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return output(tmp_path / "out")


def opened(folder: Path) -> Any:
    return lancedb.connect(folder).open_table("documents")


def test_the_rows_and_their_types(tmp_path: Path, out: Path) -> None:
    assert export.write(out, f"lancedb:{tmp_path / 'db'}") == ROWS
    found = opened(tmp_path / "db").to_arrow()
    assert found.column("embedding").type == pa.list_(pa.float32(), DIM)
    for name, given in COLUMNS.items():
        expected = pa.table({name: given}).column(name)
        assert found.column(name).to_pylist() == expected.to_pylist(), name


def test_the_nearest_rows(tmp_path: Path, out: Path) -> None:
    export.write(out, f"lancedb:{tmp_path / 'db'}")
    query = unit(1, seed=1)[0]
    found = opened(tmp_path / "db").search(query).where("lang = 'de'").limit(5).to_list()
    german = [row for row in np.argsort(-VECTORS @ query) if row % 2 == 1]
    assert [row["id"] for row in found] == german[:5]


def test_a_table_that_is_there_is_replaced_on_request(tmp_path: Path, out: Path) -> None:
    target = f"lancedb:{tmp_path / 'db'}"
    export.write(out, target)
    with pytest.raises(InputError, match=r"the table documents is there already; .*--replace"):
        export.write(out, target)
    export.write(output(tmp_path / "other", unit(3, 8), columns=None), target, replace=True)
    assert opened(tmp_path / "db").to_arrow().column("id").to_pylist() == [0, 1, 2]


def test_the_old_table_stays_where_the_new_one_is_not_completed(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, batches = f"lancedb:{tmp_path / 'db'}", room._batches
    export.write(out, target)

    def damaged(tables: Any) -> Iterator[pa.RecordBatch]:
        yield from list(batches(tables))[:2]
        raise OSError("the disk is damaged")

    monkeypatch.setattr(room, "_batches", damaged)
    with pytest.raises(EngineError, match=r"cannot be written: .*the disk is damaged\.$"):
        export.write(output(tmp_path / "other", columns=None), target, replace=True)
    assert opened(tmp_path / "db").count_rows() == ROWS
    with pytest.raises(EngineError, match="the disk is damaged"):
        export.write(out, target, table="new")
    monkeypatch.setattr(room, "_batches", batches)
    assert export.write(out, target, table="new") == ROWS


def test_a_folder_that_cannot_be_made(tmp_path: Path, out: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be written"):
        export.write(out, f"lancedb:{tmp_path / 'file' / 'db'}")
