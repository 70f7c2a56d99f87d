"""Different texts and ids have different hashes, and are found by them."""

import datetime

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.writing.row_hashes import ROW, Hashes, find, hash_ids, hash_texts, rows_of


@given(st.lists(st.text()), st.lists(st.text()))
def test_find_is_a_dictionary(among: list[str], wanted: list[str]) -> None:
    first = {text: place for place, text in reversed(list(enumerate(among)))}
    found = find(hash_texts(among), hash_texts(wanted))
    assert found.tolist() == [first.get(text, -1) for text in wanted]


def test_hashes_that_end_in_zeros_are_told_apart() -> None:
    """NumPy drops zero bytes at the end of a string, which are no difference in length here."""
    hashes = np.array([b"a" * 15 + b"\0", b"a" * 14 + b"\0\0"], "S16")
    assert find(hashes, hashes).tolist() == [0, 1]


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abcd")))
def test_hashes_that_begin_alike_are_told_apart(among: list[str], wanted: list[str]) -> None:
    first = {name: place for place, name in reversed(list(enumerate(among)))}

    def hashes(names: list[str]) -> Hashes:
        return np.array([f"the same {name:>7}".encode() for name in names], "S16")

    expected = [first.get(name, -1) for name in wanted]
    assert find(hashes(among), hashes(wanted)).tolist() == expected


def test_ids_are_hashed_by_type_and_value() -> None:
    values = [1, "1", 1.5, None, datetime.date(2020, 1, 1), b"1"]
    hashes = [hash_ids(pa.table({"id": [value], "b": [0]}), "id")[0] for value in values]
    assert len(set(hashes)) == len(values)
    first, second, third = hash_ids(pa.table({"file": ["a", "a", "b"], "row": [0, 1, 0]}), None)
    assert len({first, second, third}) == 3


def test_a_row_takes_few_bytes() -> None:
    rows = rows_of(hash_texts(["a", "b"]), [3, 4], [False, True])
    assert rows.dtype == ROW and ROW.itemsize == 37
    assert rows["tokens"].tolist() == [3, 4] and rows["cut"].tolist() == [False, True]
