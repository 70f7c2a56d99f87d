"""Each damaged or missing file of an output is named."""

from pathlib import Path

import pytest

from engine import jobs
from engine.errors import EngineError, InputError
from tests.jobs.support import job, texts


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "in.txt").write_text("\n".join(texts(25)))
    assert job(tmp_path / "in.txt", "-o", tmp_path / "out", "--shard-rows", 10, "--quiet") == 0
    return tmp_path / "out"


def test_a_whole_output(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert jobs.main(["--verify", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: 3 shards, ") and said.count("\n") == 1
    assert said.endswith("bytes checked: all right; the job is finished\n")


def test_damaged_and_missing_files_are_named(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed, missing = (out / f"part-000000-00000{part}.parquet" for part in (0, 2))
    data = bytearray(changed.read_bytes())
    data[100] ^= 1
    changed.write_bytes(data)
    missing.unlink()
    assert jobs.main(["--verify", str(out)]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [f"{path} is damaged or missing" for path in (changed, missing)]
    assert "2 problems; rerun the command" in said.out


def test_a_shard_that_the_journal_lost_is_missed(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = out.with_name("out.job") / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    assert jobs.main(["--verify", str(out)]) == 1
    assert "names 2 shards, summary.json 3" in capsys.readouterr().err


def test_an_unfinished_job_is_told(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out.with_name("out.job") / "summary.json").unlink()
    assert jobs.main(["--verify", str(out)]) == 0
    assert capsys.readouterr().out.endswith("all right; the job is not finished\n")


@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl", "summary.json"])
def test_damaged_bookkeeping_is_named(out: Path, name: str) -> None:
    (out.with_name("out.job") / name).write_text("{\n")
    with pytest.raises(EngineError, match=f"{name} is damaged"):
        jobs.main(["--verify", str(out)])


def test_what_is_no_output_or_no_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="is not the output of `bge job`"):
        jobs.main(["--verify", str(tmp_path)])
    with pytest.raises(SystemExit):
        jobs.main(["--verify", str(tmp_path), "in.txt"])
    assert (
        "--verify takes a folder and no other argument; got ['in.txt']" in capsys.readouterr().err
    )
