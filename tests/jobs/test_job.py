"""A planned job: the same shards in every run, none made twice, and none made of other rows."""

import dataclasses
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.jobs.arguments import parse
from engine.jobs.embedding import How
from engine.jobs.job import MAX_LEADING_REJECTS, Job
from engine.jobs.options import Options
from engine.jobs.reading import inputs
from engine.jobs.writing.manifest import schema_of
from tests.jobs.support import texts, write_parquet


def plan(tmp_path: Path, lines: list[str], *words: str) -> Job:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    options: Options = parse([str(path), "-o", str(tmp_path / "out"), "--shard-rows", "2", *words])
    sources = inputs.find(options.inputs, options.input_format, options.output)
    how = How(None, "mean", None, None)
    schema = schema_of(sources, options.fields)
    fingerprints = {facts["name"]: facts for facts in inputs.fingerprints(sources)}
    return Job(options, how, inputs.splits(sources), schema, fingerprints)


GOOD = ['{"text": "a"}', '{"text": "b"}', '{"text": "c"}', '{"text": "d"}', '{"text": "e"}']


def test_shards_that_are_done_are_left_out(tmp_path: Path) -> None:
    job = plan(tmp_path, GOOD)
    made = list(job.shards(0, {}))
    assert [list(shard.texts) for shard in made] == [["a", "b"], ["c", "d"], ["e"]]
    left = list(job.shards(0, {1: made[1].digest}))
    assert left == [made[0], made[2]]
    assert job.total_bytes == (tmp_path / "in.jsonl").stat().st_size


def test_rows_are_counted_where_the_format_knows_them(tmp_path: Path) -> None:
    job = plan(tmp_path, GOOD)
    assert job.total_rows is None
    names = [str(write_parquet(tmp_path / name, texts(7))) for name in ("a.parquet", "b.parquet")]
    splits = inputs.splits(inputs.find(names, None, "elsewhere"))
    assert dataclasses.replace(job, splits=splits).total_rows == 14


def test_a_shard_that_was_made_of_other_rows_is_refused(tmp_path: Path) -> None:
    done = {0: next(iter(plan(tmp_path, GOOD).shards(0, {}))).digest}
    other = plan(tmp_path, ['{"text": "z"}', *GOOD[1:]])
    with pytest.raises(InputError, match=r"was made from rows that have changed in .*in\.jsonl"):
        list(other.shards(0, done))


def test_a_first_shard_without_a_usable_row_ends_the_job(tmp_path: Path) -> None:
    bad = ['{"body": "a"}'] * MAX_LEADING_REJECTS
    rows = ("--shard-rows", str(MAX_LEADING_REJECTS))
    with pytest.raises(InputError, match=f"none of the first {MAX_LEADING_REJECTS} rows is usable"):
        list(plan(tmp_path, bad, *rows).shards(0, {}))
    assert len(list(plan(tmp_path, bad[1:], *rows).shards(0, {}))) == 1  # one less
    assert len(list(plan(tmp_path, [*bad[1:], GOOD[0]], *rows).shards(0, {}))) == 1
    job = plan(tmp_path, bad, *rows)
    allowed = dataclasses.replace(job, options=dataclasses.replace(job.options, max_rejects=500))
    assert len(list(allowed.shards(0, {}))) == 1
