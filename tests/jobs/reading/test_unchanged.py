"""An input that changes while a job reads it ends the job."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.jobs.options import Fields, parse_template
from engine.jobs.reading.inputs import STDIN, Source, find
from engine.jobs.reading.readers import blocks
from engine.jobs.reading.unchanged import check_unchanged
from engine.jobs.writing.manifest import schema_of
from engine.jobs.writing.shards import shards
from tests.jobs.support import texts, write_parquet

FIELDS = Fields(parse_template("text"), None, ())


def test_an_unchanged_file_passes(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "in.parquet", texts(9))
    (source,) = find([str(path)], None, "elsewhere")
    read = sum(len(block.rows) for block in blocks(source, FIELDS))
    check_unchanged(source, source.fingerprint(), read)
    check_unchanged(Source(STDIN, "text", 0), {}, 5)


def test_rows_that_were_not_read_are_missed(tmp_path: Path) -> None:
    (source,) = find([str(write_parquet(tmp_path / "in.parquet", texts(9)))], None, "elsewhere")
    with pytest.raises(EngineError, match="it has 9 rows, of which 3 were read"):
        check_unchanged(source, source.fingerprint(), 3)


@pytest.mark.parametrize("what", ["cut", "appended", "rewritten", "removed"])
def test_a_file_that_changes_on_the_way_ends_before_its_last_shard(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "in.txt"
    whole = "".join(text + "\n" for text in texts(5000))
    path.write_text(whole)
    sources = find([str(path)], None, "elsewhere")
    began = sources[0].fingerprint()
    after = lambda source, rows: check_unchanged(source, began, rows)  # noqa: E731
    made = shards(0, sources, FIELDS, schema_of(sources, FIELDS), 500, after)
    assert not next(made).last
    if what == "removed":
        path.unlink()
    else:
        changed = {"cut": whole[: len(whole) // 2], "appended": whole + "more\n"}
        path.write_text(changed.get(what, whole.swapcase()))
    seen = []
    with pytest.raises(EngineError, match=r"in\.txt' (changed while|cannot be read)"):
        for shard in made:
            seen.append(shard.last)
    assert not any(seen)


def test_a_large_file_is_compared_by_time_and_samples(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    with path.open("wb") as file:
        file.truncate(80 << 20)
    (source,) = find([str(path)], None, "elsewhere")
    began = source.fingerprint()
    check_unchanged(source, began, 1)
    with pytest.raises(EngineError, match="modified_ns was 5, is"):
        check_unchanged(source, {**began, "modified_ns": 5}, 1)
    with pytest.raises(EngineError, match="size was 5, is"):
        check_unchanged(replace(source, size=5), {**began, "size": 5}, 1)
