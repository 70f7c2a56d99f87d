"""The same job on a Ray cluster of two nodes on this machine, one of which is killed half-way."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine import jobs
from engine.errors import EngineError, InputError
from tests.jobs.support import MODEL, ROOT, TINY, command, results, texts, write_parquet

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # its name for: loopback addresses only
os.environ["PYTHONPATH"] = str(ROOT)

CPUS = 3
SHARD = ("--shard-rows", "150", "--id", "id", "--quiet")
NOTICE_A_DEATH_SOON = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with three logical CPUs each, and a head that only keeps the books."""
    import ray
    from ray.cluster_utils import Cluster

    here = {"node_ip_address": "127.0.0.1", "object_store_memory": 128 << 20}
    head = {**here, "num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(True, head_node_args={**head, "_system_config": NOTICE_A_DEATH_SOON})
    for _ in range(2):
        cluster.add_node(num_cpus=CPUS, **here)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits' worth of files would be 64 MiB; one file with a bad row will do."""
    rows: list[str | None] = [*texts(6000)]
    rows[777] = None
    return write_parquet(tmp_path_factory.mktemp("ray") / "in.parquet", rows)


@pytest.fixture(scope="module")
def alone(corpus: Path) -> dict[str, bytes]:
    """What this machine makes of the corpus without Ray."""
    assert jobs.main([str(corpus), "-o", str(corpus.parent / "alone"), *SHARD, *MODEL]) == 3
    return results(corpus.parent / "alone")


def job(cluster: Any, *words: object) -> int:
    return jobs.main([*map(str, words), *SHARD, *MODEL, "--ray", cluster.address])


def test_a_job_on_two_nodes_makes_the_bytes_of_one_machine(
    cluster: Any, corpus: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    assert job(cluster, corpus, "-o", tmp_path / "out") == 3
    assert results(tmp_path / "out") == alone
    assert "rejects.jsonl" in alone


def test_a_job_begun_here_goes_on_there(
    cluster: Any, corpus: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(EngineError, match="more than --max-rejects 0"):
        jobs.main([str(corpus), "-o", str(out), *SHARD, *MODEL, "--max-rejects", "0"])
    begun = len(list(out.glob("part*")))
    assert 0 < begun < len(alone) - 1
    assert job(cluster, corpus, "-o", out) == 3
    assert results(out) == alone


def test_an_update_on_the_cluster_takes_the_vectors_that_there_are(
    cluster: Any, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[str | None] = [*texts(6000)]
    path, out = write_parquet(tmp_path / "in.parquet", rows), tmp_path / "out"
    assert job(cluster, path, "-o", out) == 0
    before = {part.name: part.stat().st_ino for part in out.iterdir()}
    write_parquet(path, [*rows[:3000], "a new one", *rows[3001:], "and another"])
    words = [str(path), "-o", str(out), *SHARD[:-1], *MODEL, "--ray", cluster.address, "--update"]
    assert jobs.main(words) == 0
    assert "1 new, 1 changed, 5,999 unchanged, 0 removed" in capsys.readouterr().err
    assert len({part.name for part in out.iterdir() if part.stat().st_ino in before.values()}) == 39
    assert jobs.main([str(path), "-o", str(tmp_path / "fresh"), *SHARD, *MODEL]) == 0
    assert results(out) == results(tmp_path / "fresh")


def test_chunks_are_those_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "in.parquet", texts(300))
    assert job(cluster, path, "-o", tmp_path / "out", "--chunk-tokens", 24) == 0
    words = ["-o", str(tmp_path / "alone"), "--chunk-tokens", "24"]
    assert jobs.main([str(path), *words, *SHARD, *MODEL]) == 0
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_errors_of_ours_come_back_as_they_are(cluster: Any, corpus: Path, tmp_path: Path) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"body": "x"}\n' * 200)
    with pytest.raises(InputError, match=r"^none of the first 200 rows is usable"):
        jobs.main([str(lines), "-o", str(tmp_path / "out"), *MODEL, "--ray", cluster.address])
    with pytest.raises(InputError, match="standard input cannot be read by a cluster"):
        job(cluster, "-", "-o", tmp_path / "stdin")
    with pytest.raises(
        EngineError, match=r"no node .* has 10 logical CPUs \(they have \[0, 3, 3\]"
    ):
        jobs.main([str(corpus), "-o", str(tmp_path / "big"), *SHARD, *MODEL, "--threads", "9",
                   "--ray", cluster.address])  # fmt: skip


def test_embed_adds_a_column_in_a_pipeline_of_ones_own(cluster: Any) -> None:
    import ray.data

    from engine.jobs.ray import Embed

    rows = texts(50)
    ray.init(cluster.address, ignore_reinit_error=True, log_to_driver=False)
    try:
        made = ray.data.from_items([{"n": n, "body": row} for n, row in enumerate(rows)])
        options = {"text": "body", "column": "v", "threads": 1}
        embedded = made.map_batches(
            Embed, fn_constructor_args=(str(TINY),), fn_constructor_kwargs=options, batch_size=20,
            compute=ray.data.ActorPoolStrategy(size=2), num_cpus=1,
        ).take_all()  # fmt: skip
    finally:
        ray.shutdown()
    embedded.sort(key=lambda row: row["n"])
    expected = engine.load(TINY).encode_document(rows, on_truncate="ignore")
    np.testing.assert_array_equal(np.array([row["v"] for row in embedded]), expected)
    assert expected.dtype == embedded[0]["v"].dtype


def test_embed_refuses_what_is_no_string() -> None:
    from engine.jobs.ray import Embed

    embed = Embed(str(TINY), threads=1)
    with pytest.raises(InputError, match="row 1 of a batch: column 'text' holds None"):
        embed({"text": np.array(["x", None], object)})


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster responds at '127.0.0.1:1'"),
        ("ray://127.0.0.1:10001", "give host:port of the head node"),
        ("somewhere", "give host:port of the head node"),
    ],
)
def test_an_address_where_no_cluster_is(
    corpus: Path, tmp_path: Path, address: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        jobs.main([str(corpus), "-o", str(tmp_path / "o"), *SHARD, *MODEL, "--ray", address])


def test_ray_local_starts_a_cluster_of_its_own_and_says_nothing_of_it(
    corpus: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = command(corpus, "-o", out, *SHARD, "--ray", "local")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert results(out) == alone


def test_a_node_that_is_killed_half_way_is_made_up_for(
    cluster: Any, corpus: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    """Last in this file: one node is gone after it."""
    out, doomed = tmp_path / "out", list(cluster.worker_nodes)[-1]
    made_before: list[int] = []

    def kill() -> None:
        while len(made := list(out.glob("part*"))) < 4:
            time.sleep(0.02)
        made_before.append(len(made))
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    assert job(cluster, corpus, "-o", out) == 3
    killer.join(timeout=60)
    assert made_before[0] < len(alone) - 1
    assert results(out) == alone
