"""kill -9 at random moments, then completion: the bytes are those of an undisturbed run."""

import random
import time
from pathlib import Path

from tests.jobs.support import job, results, running, texts, wait_until, write_parquet

UPDATE_STARTS = (0, 6, 20)
STARTS = (0, 3, 10, 17)  # shards that are there, after which the next kill is due
SHARD = ("--shard-rows", 240, "--id", "id")


def test_kill_9_during_an_update_leaves_the_old_table_or_the_new_one(tmp_path: Path) -> None:
    rows, draw, kills = texts(6000), random.Random(8), 0
    out, corpus = tmp_path / "out", write_parquet(tmp_path / "in.parquet", rows)
    words = (corpus, "-o", out, *SHARD, "--update")
    assert job(*words) == 0
    old = results(out)
    write_parquet(corpus, [*rows[:3000], *texts(3000, seed=1), "one more"])
    assert job(corpus, "-o", tmp_path / "fresh", *SHARD) == 0
    new, parts = results(tmp_path / "fresh"), tmp_path / "out.job" / "next" / "data"
    for start in UPDATE_STARTS:
        with running(*words) as process:
            done = lambda: results(out) == new or len([*parts.glob("part*")]) >= start  # noqa: B023, E731
            wait_until(done, process)
            time.sleep(draw.uniform(0, 0.15))
            kills += process.poll() is None
        assert results(out) in (old, new)
    assert job(*words) == 0
    assert results(out) == new
    assert not list(tmp_path.rglob(".new-*")) and not parts.parent.exists()
    assert kills


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
