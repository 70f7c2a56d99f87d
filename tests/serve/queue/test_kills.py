"""The batch queue and the death of processes: kill -9, replicas, stops; on both databases."""

import collections
import time
from pathlib import Path

from tests.serve.queue import postgres
from tests.serve.queue.process import QueueProcess, assert_right, batch

REQUESTS = 200


def journal_of(path: Path) -> list[tuple[int, str]]:
    """(process, reference) of every item that was computed, in order of time."""
    lines = (line.split() for line in path.read_text().splitlines()) if path.exists() else ()
    return [(int(process), reference) for process, reference in lines]


def test_killed_in_the_middle_of_200_requests(queue_url: str, tmp_path: Path) -> None:
    journal, batches = tmp_path / "journal", [batch(seed) for seed in range(REQUESTS)]
    with QueueProcess(queue_url, pause=0.02, journal=journal) as first:
        ids = [first.submit(items) for items in batches]
        first.finished(ids[20])
        first.kill()
    before = len(journal_of(journal))
    assert 20 * 8 <= before < REQUESTS * 8, "the kill must come in the middle"
    with QueueProcess(queue_url, journal=journal) as second:
        for items, request_id in zip(batches, ids, strict=True):
            assert_right(items, second.finished(request_id))
            assert_right(items, second.finished(request_id))
        assert second.stop() == 0
    computed = collections.Counter(reference for _, reference in journal_of(journal))
    assert set(computed) == {item["external_reference"] for items in batches for item in items}
    assert max(computed.values()) <= 2, "only what was at hand is computed again"


def test_kills_at_any_moment(queue_url: str) -> None:
    accepted: dict[str, int] = {}
    for kill in range(3):  # bench/queue_kills.py does more
        with QueueProcess(queue_url) as queue:
            deadline = time.monotonic() + 0.2 + 0.2 * kill
            while time.monotonic() < deadline:
                seed = len(accepted)
                accepted[queue.submit(batch(seed))] = seed
            queue.kill()
    with QueueProcess(queue_url) as queue:
        for request_id, seed in accepted.items():
            assert_right(batch(seed), queue.finished(request_id))


def test_a_replica_dies_and_stays_dead(postgres_server: postgres.Server, tmp_path: Path) -> None:
    url, journal = postgres_server.database("replicas"), tmp_path / "journal"
    batches = [batch(seed, size=40) for seed in range(40)]
    with (
        QueueProcess(url, pause=0.01, journal=journal) as doomed,
        QueueProcess(url, pause=0.01, journal=journal) as survivor,
    ):
        ids = [survivor.submit(items) for items in batches]
        while {process for process, _ in journal_of(journal)} != {doomed.pid, survivor.pid}:
            time.sleep(0.05)
        doomed.kill()
        at_hand = postgres_server.psql(
            "SELECT count(*) FROM bge_queue.requests "
            f"WHERE finished_at IS NULL AND claim LIKE '%:{doomed.pid}:%'",
            "replicas",
        )
        assert int(at_hand) > 0, "the dead replica must leave work behind"
        for items, request_id in zip(batches, ids, strict=True):
            assert_right(items, survivor.finished(request_id))


def test_lost_connections_lose_nothing(postgres_server: postgres.Server) -> None:
    url = postgres_server.database("cuts")
    batches = [batch(seed) for seed in range(30)]
    with QueueProcess(url, pause=0.02) as queue:
        ids = [queue.submit(items) for items in batches]
        for _ in range(3):
            time.sleep(0.3)
            postgres_server.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cuts'"
            )
        for items, request_id in zip(batches, ids, strict=True):
            assert_right(items, queue.finished(request_id))


def test_a_crash_of_the_database_loses_nothing(postgres_server: postgres.Server) -> None:
    url = postgres_server.database("crash")
    batches = [batch(seed) for seed in range(40)]
    with QueueProcess(url, pause=0.02) as queue:
        ids = [queue.submit(items) for items in batches]
        queue.finished(ids[2])
        postgres_server.crash(absence=0.5)
        for items, request_id in zip(batches, ids, strict=True):
            assert_right(items, queue.finished(request_id))


def test_a_stop_keeps_what_is_computed_and_hands_back_the_rest(
    queue_url: str, tmp_path: Path
) -> None:
    journal, items = tmp_path / "journal", batch(1, size=200)
    with QueueProcess(queue_url, pause=0.02, journal=journal) as first:
        request_id = first.submit(items)
        while not journal.exists():
            time.sleep(0.02)
        assert first.stop() == 0
    before = len(journal_of(journal))
    assert 0 < before < 200
    with QueueProcess(queue_url, pause=0.0, journal=journal) as second:
        assert_right(items, second.finished(request_id))
    assert len(journal_of(journal)) == 200, "nothing was computed twice"


def test_a_sqlite_file_takes_one_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.sqlite"
    with QueueProcess(url) as first:
        with QueueProcess(url) as second:
            assert "another process" in second.ready["refused"]
        request_id = first.submit(batch(0))
        assert_right(batch(0), first.finished(request_id))
        first.kill()
        with QueueProcess(url) as third:
            assert_right(batch(0), third.finished(request_id))


def test_nothing_listens_and_nothing_leaves_the_machine(tmp_path: Path) -> None:
    with QueueProcess(f"sqlite:///{tmp_path}/queue.sqlite") as queue:
        assert_right(batch(0), queue.finished(queue.submit(batch(0))))
        files = Path(f"/proc/{queue.pid}/fd").iterdir()
        mine = {str(file.readlink())[8:-1] for file in files if "socket:" in str(file.readlink())}
        for table in ("tcp", "tcp6", "udp", "udp6"):
            rows = Path(f"/proc/{queue.pid}/net/{table}").read_text().splitlines()[1:]
            assert mine.isdisjoint(row.split()[9] for row in rows)
