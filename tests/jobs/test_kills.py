"""kill -9 at random moments, then completion: the bytes are those of an undisturbed run."""

import random
import time
from pathlib import Path

from tests.jobs.support import job, results, running, texts, wait_until, write_parquet

STARTS = (0, 3, 10, 17)  # shards that are there, after which the next kill is due
SHARD = ("--shard-rows", 240, "--id", "id")


def test_kill_9_at_random_moments_then_completion(tmp_path: Path) -> None:
    corpus = write_parquet(tmp_path / "in.parquet", texts(6000))
    assert job(corpus, "-o", tmp_path / "undisturbed", *SHARD) == 0
    out, draw = tmp_path / "out", random.Random(6)
    for start in STARTS:
        with running(corpus, "-o", out, *SHARD) as process:
            wait_until(lambda: len(list(out.glob("part*"))) >= start, process)  # noqa: B023
            time.sleep(draw.uniform(0, 0.15))
        assert len(list(out.glob("part*"))) < 25
    assert job(corpus, "-o", out, *SHARD) == 0
    assert results(out) == results(tmp_path / "undisturbed")
    assert not list(out.glob(".new-*"))
