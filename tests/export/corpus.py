"""An output with columns of many types, in three shards, and what a database should give back."""

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.search.outputs import unit, write_output

ROWS, DIM = 120, 24
VECTORS = unit(ROWS, DIM)
DAY = datetime.date(2026, 11, 27)
MOMENT = datetime.datetime(2026, 11, 27, 3, 4, 5, 678, datetime.UTC)

COLUMNS: dict[str, Any] = {
    'title "x"': [None if i % 7 == 0 else f"tab\tand\nline, \\ é {i}" for i in range(ROWS)],
    "year": pa.array([None if i % 5 == 0 else 1900 + i for i in range(ROWS)], pa.int16()),
    "good": [i % 2 == 0 for i in range(ROWS)],
    "price": [i / 3 for i in range(ROWS)],
    "big": pa.array([2**64 - 1] * ROWS, pa.uint64()),
    "day": [DAY] * ROWS,
    "moment": pa.array([MOMENT] * ROWS, pa.timestamp("us", "UTC")),
    "amount": [decimal.Decimal("12.50")] * ROWS,
    "tags": [["a", "é"]] * ROWS,
    "raw": [b"\x00\xff\\"] * ROWS,
    "lang": pa.array(["en", "de"] * (ROWS // 2)).dictionary_encode(),
}


def output(folder: Path, vectors: np.ndarray = VECTORS, **changes: Any) -> Path:
    """A finished job; `columns` among the changes are those beside the id."""
    return write_output(folder, vectors, **{"columns": COLUMNS, **changes})
