"""The columns of rows, and conditions on them."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from engine.errors import InputError
from engine.search.columns import Columns, all_of
from engine.search.output import Shard, read_output
from tests.search.outputs import FORMATS, unit, write_output

COLUMNS: dict[str, Any] = {
    "lang": ["en", "de", None, "it's", "a=b", "en"],
    "year": [1999, 2000, 2001, None, 2003, 2004],
    "price": [0.5, -1.0, 2.5, 10.0, None, 1e3],
    "size": ["9", "10", "-1.5", "big", None, "1e2"],  # as text files have numbers
    "new": [True, False, True, None, False, True],
}


@pytest.fixture(params=FORMATS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Columns, Shard]:
    write_output(tmp_path / "out", unit(6), columns=COLUMNS, format=request.param)
    output = read_output(tmp_path / "out")
    return Columns(output), output.shards[0]


def rows(opened: tuple[Columns, Shard], where: Any) -> list[int]:
    columns, shard = opened
    return np.flatnonzero(columns.mask(shard, where)).tolist()


def test_the_columns_of_rows_in_the_order_asked(opened: tuple[Columns, Shard]) -> None:
    columns, shard = opened
    found = columns.of_rows(shard, np.array([4, 0]))
    assert [list(row) for row in found] == [["id", *COLUMNS]] * 2
    assert [(row["id"], row["lang"]) for row in found] == [(4, "a=b"), (0, "en")]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("lang=en", [0, 5]), ("lang = 'en'", [0, 5]), ('lang == "en"', [0, 5]),
        ("lang!=en", [1, 3, 4]), ("lang=it's", [3]), ("lang=a=b", [4]), ("lang=", []),
        ("lang<en", [1, 4]), ("year>=2003", [4, 5]), ("year<2000", [0]), ("year <= 2000", [0, 1]),
        ("year=1999", [0]), ("price>1", [2, 3, 5]), ("price = 1000", [5]), ("new=true", [0, 2, 5]),
        ("size>9", [1, 5]), ("size<=9", [0, 2]), ("size=10", [1]), ("size>=b", [3]),
        (["lang=en", "year>2000"], [5]), (["year>2000", "year<2003"], [2]),
        ([], [0, 1, 2, 3, 4, 5]),
        (pc.field("lang").isin(["de", "en"]) & (pc.field("year") > 1999), [1, 5]),
        (pc.field("lang").is_null(), [2]),
    ],
    ids=str,
)  # fmt: skip
def test_conditions(opened: tuple[Columns, Shard], where: Any, found: list[int]) -> None:
    assert rows(opened, where) == found


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("lang", "'lang' is not a condition; write COLUMN=VALUE"),
        ("=en", "'=en' is not a condition"),
        ("Lang=en", "no column 'Lang'; it has id, lang, year, price, size, new. `bge job --keep`"),
        ("embedding=1", "no column 'embedding'"),
        ("year=soon", "'soon' is not a value of column 'year', which is int64"),
        ("new=5.5", "'5.5' is not a value of column 'new', which is bool"),
        (pc.field("size") > 5, "Columns: id, lang"),
        (pc.field("nothing") > 5, "Columns: id, lang"),
        (pc.field("year") + 1, "where is of type int64; give a condition"),
    ],
    ids=str,
)
def test_what_is_no_condition(opened: tuple[Columns, Shard], where: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows(opened, where)


def test_dates() -> None:
    days = [datetime.date(2020, 1, day) for day in (1, 2, 3)]
    table = pa.table({"day": days})
    expression = all_of("day>=2020-01-02", table.schema)
    assert table.filter(expression).column("day").to_pylist() == days[1:]


def test_a_shard_without_values_meets_nothing(tmp_path: Path) -> None:
    """JSON has no types: a column of which a shard has no value is of no type there."""
    columns = {"year": [None, None, 3, 4]}
    write_output(tmp_path / "out", unit(4), columns=columns, format="npy", shard_rows=2)
    output = read_output(tmp_path / "out")
    found = [Columns(output).mask(shard, "year>3").tolist() for shard in output.shards]
    assert found == [[False, False], [False, True]]
