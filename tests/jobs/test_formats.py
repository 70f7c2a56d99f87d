"""The same rows as Parquet, JSON lines, a JSON array, CSV and TSV: the same output, bit for bit."""

import bz2
import csv
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.support import job, table, vectors

COUNT = 5000
ROWS = [
    {
        "id": n,
        "title": f"t{n % 7}",
        "text": f'Grüße "{n}", 世界\n' * (n % 3),
        "score": n / 8,
        "even": n % 2 == 0,
        "lang": None if n % 5 == 0 else "en",
    }
    for n in range(COUNT)
]
DECLARED = "score:float64,even:bool"  # what the types of CSV are not told by


def write_separated(path: Path, delimiter: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(ROWS[0])
        writer.writerows(row.values() for row in ROWS)


@pytest.mark.slow
def test_every_format_gives_the_same_table(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.ndjson.xz").write_bytes(lzma.compress(lines, preset=0))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode(), 1))
    write_separated(tmp_path / "a.csv", ",")
    write_separated(tmp_path / "a.tsv", "\t")
    (tmp_path / "b.csv.bz2").write_bytes(bz2.compress((tmp_path / "a.csv").read_bytes()))
    made = {}
    for name in ("a.parquet", "a.jsonl", "a.ndjson.xz", "a.json.gz", "a.csv", "a.tsv", "b.csv.bz2"):
        separated = "sv" in name
        out = tmp_path / f"{name}.out"
        words = ("--text", "{title}: {text}", "--id", "id:int64", "--truncate-dim", 8)
        keep = DECLARED if separated else "score,even,lang"  # CSV has no null
        assert job(tmp_path / name, "-o", out, *words, "--keep", keep) == 0, name
        made[name] = (table(out).drop_columns(["embedding"]), vectors(out))
    first, expected = made["a.parquet"]
    assert first.schema.types == [pa.int64(), pa.float64(), pa.bool_(), pa.string()]
    assert first.num_rows == COUNT
    for name, (columns, found) in made.items():
        np.testing.assert_array_equal(found, expected, err_msg=name)
        assert columns == first.select(columns.column_names), name
        assert columns.num_columns == (3 if "sv" in name else 4)


def test_rejects_and_nulls_are_the_same_and_name_the_id(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "text": None if n % 3 == 0 else f"text {n}"} for n in range(30)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("a.parquet", "a.jsonl"):
        out = tmp_path / f"{name}.out"
        assert job(tmp_path / name, "-o", out, "--id", "id") == 3
        (rejects,) = tmp_path.rglob(f"{name}.out*/**/*rejects-000000-000000.jsonl")
        assert [json.loads(line) for line in rejects.open()] == [
            {"file": str(tmp_path / name), "row": n, "reason": "'text' is null", "id": f"r{n}"}
            for n in range(0, 30, 3)
        ]
        assert table(out).num_rows == 20
        empty = tmp_path / f"{name}.empty"
        assert job(tmp_path / name, "-o", empty, "--id", "id", "--null", "empty") == 0
        assert table(empty).num_rows == 30
