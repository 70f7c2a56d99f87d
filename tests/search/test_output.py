"""What a search accepts as the output of a job."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError, InputError
from engine.jobs.writing.folders import Folders
from engine.search.output import read_output
from tests.search.outputs import unit, write_output


def test_shards_come_in_the_order_of_the_input(tmp_path: Path) -> None:
    output = read_output(write_output(tmp_path / "out", unit(120)))
    assert [(shard.first, shard.rows) for shard in output.shards] == [(0, 50), (50, 50), (100, 20)]
    assert output.rows == 120 and output.manifest["dim"] == 24
    assert all(shard.file(".parquet").is_file() for shard in output.shards)


def test_a_shard_that_was_computed_again_counts_once(tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", unit(120))
    (folder / "part-000000-000001.parquet").unlink()
    write_output(folder, unit(120))
    assert read_output(folder).rows == 120


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the output of `bge job`"):
        read_output(tmp_path)
    with pytest.raises(InputError, match="is not the output of `bge job`"):
        read_output(tmp_path / "missing")


def test_an_unfinished_job_is_refused(tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", unit(60), finish=False)
    with pytest.raises(EngineError, match="has not finished"):
        read_output(folder)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", unit(60))
    part = folder / "part-000000-000001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(EngineError, match=rf"000001.parquet has {len(whole) - 1} bytes, not"):
        read_output(folder)
    part.unlink()
    with pytest.raises(EngineError, match=r"000001.parquet is missing. Rerun"):
        read_output(folder)


@pytest.mark.parametrize("changes", [{"dtype": "float64"}, {"format": None}], ids=str)
def test_a_damaged_manifest_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_output(tmp_path / "out", unit(60))
    path = Folders.of(folder).job / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(EngineError, match=r"manifest.json is damaged: its dtype or format"):
        read_output(folder)


@pytest.mark.parametrize("damage", ["journal", "lines", "summary", "count"])
def test_a_damaged_record_is_named(tmp_path: Path, damage: str) -> None:
    folder = write_output(tmp_path / "out", unit(60))
    journal, summary = (Folders.of(folder).job / name for name in ("journal.jsonl", "summary.json"))
    if damage == "journal":
        journal.write_text("{}\n")
    elif damage == "lines":
        journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    elif damage == "summary":
        summary.write_text("{")
    else:
        summary.write_text('{"rows": 61}')
    with pytest.raises(EngineError, match="Rerun the same `bge job` command"):
        read_output(folder)
