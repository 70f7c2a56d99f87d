"""The journal's line of a shard comes back as it was, and nothing else is taken for one."""

import json

import pytest

from engine.jobs.writing.record import Content, Record
from engine.jobs.writing.shards import Key

FILES = {"part-000000-000003.parquet": Content(1234, "a" * 64)}
RECORD = Record(Key(0, 3), False, 5, 60, 1, 2, 900, "d" * 64, FILES)


def test_a_record_comes_back_as_it_was() -> None:
    assert Record.from_json(RECORD.to_json()) == RECORD
    assert Record.from_json(RECORD.to_json().encode()).key == Key(0, 3)


def changed(**values: object) -> str:
    return json.dumps({**json.loads(RECORD.to_json()), **values})


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "\0\0\0", "[]", "3", "null", "{}", "[" * 100_000,
        changed(key=[0]), changed(key=["0", 3]), changed(key=[0, -1]), changed(key=None),
        changed(last=1), changed(rows="5"), changed(rows=True), changed(digest=None),
        changed(files=["a"]), changed(files={"a": 1}), changed(files={"a": ["1", "b"]}),
        changed(files={"a": [-1, "b"]}), changed(files={"a": [1, 2]}), changed(more=1),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(line: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, RecursionError)):
        Record.from_json(line)
