"""Where a shard's rows are from, and what is left when some are rejected."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.jobs.options import Fields, parse_template
from engine.jobs.reading.inputs import find
from engine.jobs.writing import shards as cutting
from engine.jobs.writing.shards import Key, Reject, Shard, output_schema, shards

FIELDS = Fields(parse_template("text"), None, ())
SCHEMA = output_schema(pa.schema([]), FIELDS)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Shard, str, str]:
    """One shard of two files, the second of which comes first by name."""
    late, early = tmp_path / "z.jsonl", tmp_path / "a.jsonl"
    late.write_text('{"text": "one"}\n{\n{"text": "two"}\n')
    early.write_text('{\n{"text": "three"}\n{"text": "four"}\n')
    sources = find([str(late), str(early)], None, "elsewhere")
    (shard,) = shards(0, sources, FIELDS, SCHEMA, 100)
    return shard, str(late), str(early)


def test_each_text_knows_its_file_and_row(both: tuple[Shard, str, str]) -> None:
    shard, late, early = both
    assert shard.files == [late, early]
    assert dict(zip(shard.texts, shard.places, strict=True)) == {
        "one": (0, 0), "two": (0, 2), "three": (1, 1), "four": (1, 2),
    }  # fmt: skip
    assert Shard.from_bytes(shard.to_bytes()) == shard


def test_texts_that_are_rejected_later_stand_among_the_others_in_order(
    both: tuple[Shard, str, str],
) -> None:
    shard, late, early = both
    left = shard.without({1: "no", 2: "never"})
    assert left.texts == ["one", "four"]
    assert left.columns.to_pylist() == [{"file": late, "row": 0}, {"file": early, "row": 2}]
    assert [(reject.file, reject.row) for reject in left.rejects] == [
        (late, 1), (late, 2), (early, 0), (early, 1),
    ]  # fmt: skip
    assert Reject(late, 2, "no") in left.rejects and Reject(early, 1, "never") in left.rejects
    assert left.places == [(0, 0), (1, 2)]
    assert (left.key, left.digest, left.size) == (shard.key, shard.digest, shard.size)
    assert shard.without({}) is shard
    none = shard.without(dict.fromkeys(range(4), "no"))
    assert (none.texts, none.columns.num_rows, len(none.rejects)) == ([], 0, 6)


def test_a_shard_ends_with_the_row_that_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "SHARD_BYTES", 10)
    (tmp_path / "in.txt").write_text("123456789\n1\n12345\n1234\n1\n")
    made = list(shards(2, find([str(tmp_path)], None, "out"), FIELDS, SCHEMA, 100))
    assert [shard.texts for shard in made] == [["123456789", "1"], ["12345", "1234", "1"]]
    assert [shard.key for shard in made] == [Key(2, 0), Key(2, 1)]
    assert str(made[1].key) == "000002-000001"


def cut(path: Path, shard_rows: int, wanted: Fields) -> list[Shard]:
    schema = output_schema(pa.schema([(name, pa.string()) for name in wanted.carried]), wanted)
    return list(cutting.shards(3, find([str(path)], None, "out"), wanted, schema, shard_rows))


LINES = st.lists(st.sampled_from(['{"text": "some words"}', '{"text": 1}', "{", '{"text": "é"}']))


@given(lines=LINES, shard_rows=st.integers(1, 12))
@settings(deadline=None)
def test_shards_are_the_rows_in_order_each_once_the_last_one_marked(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], shard_rows: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "in.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    made = cut(path, shard_rows, Fields(parse_template("text"), None, ()))
    rows = [row for shard in made for row in shard.columns.column("row").to_pylist()]
    rejected = [reject.row for shard in made for reject in shard.rejects]
    assert rows == [row for row, line in enumerate(lines) if "s" in line or "é" in line]
    assert sorted(rows + rejected) == list(range(len(lines)))
    assert [shard.key for shard in made] == [Key(3, part) for part in range(len(made))]
    assert [shard.last for shard in made] == [False] * (len(made) - 1) + [True]
    full = [len(shard.texts) + len(shard.rejects) for shard in made[:-1]]
    assert full == [shard_rows] * len(full)
    assert sum(shard.size for shard in made) == path.stat().st_size


def test_long_texts_make_shards_of_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "SHARD_BYTES", 1000)
    (tmp_path / "in.txt").write_text("\n".join(["x" * 400] * 10))
    made = cut(tmp_path / "in.txt", 100, Fields(parse_template("text"), None, ()))
    assert [len(shard.texts) for shard in made] == [3, 3, 3, 1]


def test_a_shard_travels_as_bytes_and_arrives_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "é", "n": 1}\n{\n{"text": "", "n": "b"}\n')
    (shard,) = cut(tmp_path / "in.jsonl", 10, Fields(parse_template("text"), None, ("n",)))
    assert Shard.from_bytes(shard.to_bytes()) == shard


def test_a_digest_tells_texts_ids_and_rejects_apart(tmp_path: Path) -> None:
    def digest(*rows: dict[str, object]) -> str:
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (shard,) = cut(tmp_path / "in.jsonl", 10, Fields(parse_template("text"), "id", ()))
        return shard.digest

    base = digest({"id": 1, "text": "ab"}, {"id": 2, "text": "c"})
    assert base == digest({"id": 1, "text": "ab"}, {"id": 2, "text": "c"})
    assert base != digest({"id": 1, "text": "a"}, {"id": 2, "text": "bc"})
    assert base != digest({"id": 1, "text": "ab"}, {"id": 3, "text": "c"})
    assert base != digest({"id": 1, "text": "ab"}, {"id": 2, "text": "c"}, {"id": 3})


def test_rejects_carry_the_id(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"text": 1, "id": "a"}\n{"text": "x", "id": "b"}\n{"text": "y"}\n'
    )
    fields = Fields(parse_template("text"), "id", ())
    sources = find([str(tmp_path / "in.jsonl")], None, "elsewhere")
    schema = output_schema(pa.schema([("id", pa.string())]), fields)
    (shard,) = shards(0, sources, fields, schema, 100)
    sent = Shard.from_bytes(shard.to_bytes())
    assert [reject.id for reject in sent.without({0: "not finite"}).rejects] == ["a", "b", None]
