"""Vectors of an earlier output, found by text and taken by row."""

from pathlib import Path

import numpy as np
import pytest

from engine.jobs.writing.earlier import Earlier
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.journal import latest, read_journal
from engine.jobs.writing.manifest import read
from engine.jobs.writing.stored import convert
from tests.search.outputs import DTYPES, FORMATS, unit, write_output


def earlier(folder: Path) -> Earlier:
    folders = Folders.of(folder)
    records = latest(read_journal(folders.job / "journal.jsonl")[0])
    return Earlier(folders, read(folders.job / "manifest.json"), [*records.values()])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_many_shards_come_in_the_order_asked_for(
    tmp_path: Path, format: str, dtype: str
) -> None:
    vectors = unit(430)
    found = earlier(write_output(tmp_path / "out", vectors, format=format, dtype=dtype))
    rows = np.random.default_rng(1).permutation(430)[:200]
    rows[7] = rows[3]
    values, scales = found.take(rows).vectors
    expected, expected_scales = convert(vectors, dtype)
    assert np.array_equal(values, expected[rows])
    if expected_scales is not None:
        assert scales is not None and np.array_equal(scales, expected_scales[rows])


def test_columns_come_from_the_same_rows(tmp_path: Path) -> None:
    found = earlier(write_output(tmp_path / "out", unit(120), columns={"n": range(1, 121)}))
    rows = np.array([0, 49, 50, 119])
    assert found.columns(rows).to_pylist() == [{"id": n, "n": n + 1} for n in rows.tolist()]


def test_an_output_without_rows(tmp_path: Path) -> None:
    found = earlier(write_output(tmp_path / "out", unit(0)))
    assert found.column("id").shape == (0,)
