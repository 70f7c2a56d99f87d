"""A server whose queue's database cannot be used serves vectors, and batches as soon as it can."""

import time
from pathlib import Path

import pytest

from engine.serve.queue import opening
from tests.serve.serving import Server, fake_server

RUN = "/client/v4/accounts/acc/ai/run/fake?queueRequest=true"
BATCH = {"requests": [{"text": "a"}]}


def is_up(server: Server) -> bool:
    lines = server.ask("/metrics").body.decode().splitlines()
    return "bge_batch_queue_up 1.0" in lines


def test_vectors_come_without_the_database_and_batches_with_it(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()  # so the folder cannot be made
    with fake_server("--queue", f"sqlite:///{tmp_path}/folder/queue.sqlite") as server:
        assert server.ask("/embed", {"inputs": "a"}).status == 200
        assert server.ask("/health").status == 200 and not is_up(server)
        refused = server.ask(RUN, BATCH)
        assert refused.status == 503 and "retry-after" in refused.headers
        assert "batch queue's database cannot be used" in refused.json["errors"][0]["message"]
        assert [b"batches are refused" in line for line in server.raw_log].count(True) == 1
        (tmp_path / "folder").unlink()
        deadline = time.monotonic() + 3 * opening.PAUSE_S
        while not is_up(server) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert server.ask(RUN, BATCH).status == 200


def test_a_server_that_waits_for_its_database_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with fake_server("--queue", f"sqlite:///{tmp_path}/file/queue.sqlite") as server:
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < opening.PAUSE_S


def test_an_unreachable_postgresql_is_no_reason_to_wait() -> None:
    with fake_server("--queue", "postgresql://nobody@127.0.0.1:9/nothing") as server:
        assert server.ask("/embed", {"inputs": "a"}).status == 200
        assert server.ask(RUN, BATCH).status == 503


def test_a_url_that_is_wrong_stops_the_start() -> None:
    with pytest.raises(RuntimeError, match="names mysql:// with database"):
        fake_server("--queue", "mysql://here/there").__enter__()
