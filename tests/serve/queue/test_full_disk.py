"""A database without space: batches are refused and nothing is lost. Reads go on, and so do
batches as soon as there is space."""

import asyncio
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.queue import worker
from engine.serve.queue.batch_queue import BatchQueue
from engine.serve.queue.database import DatabaseFull, open_database
from tests.serve.queue import postgres
from tests.serve.queue.local import done, responses, with_queue
from tests.serve.queue.process import ACCOUNT, embed
from tests.serve.serving import Reply, Server, fake_server

RUN = "/client/v4/accounts/acc/ai/run/fake"
SUBMIT = f"{RUN}?queueRequest=true"
SMALL = {"requests": [{"text": "a"}]}
LARGE = {"requests": [{"text": "a " * 100_000}]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with fake_server("--queue", f"sqlite:///{tmp_path}/queue.sqlite") as own:
        yield own


def limit_files(server: Server, size: int) -> None:
    """Lets the process write no file longer than this. -1: any."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def result(server: Server, request_id: str) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        reply = server.ask(RUN, {"request_id": request_id})
        assert reply.status == 200, reply.body
        if "responses" in reply.json["result"]:
            return reply.json["result"]["responses"]
        time.sleep(0.05)
    raise AssertionError("the batch was not computed")


@pytest.mark.slow
def test_a_server_refuses_batches_until_there_is_space(server: Server, tmp_path: Path) -> None:
    def submit(body: Any) -> Reply:
        return server.ask(SUBMIT, body)

    stored = submit(SMALL).json["result"]["request_id"]
    before = result(server, stored)
    limit_files(server, (tmp_path / "queue.sqlite-wal").stat().st_size)
    began = time.monotonic()
    for refused in [submit(LARGE) for _ in range(5)]:
        assert refused.status == 507
        (error,) = refused.json["errors"]
        assert (
            error["code"] == 3040 and "the batch queue's disk is full" in error["message"].lower()
        )
        assert str(tmp_path) not in error["message"]
    assert time.monotonic() - began < 5
    assert result(server, stored) == before
    assert server.ask(RUN, {"text": "a"}).status == 200
    limit_files(server, resource.RLIM_INFINITY)
    accepted = submit(LARGE)
    assert accepted.status == 200
    assert result(server, accepted.json["result"]["request_id"])[0]["success"]
    assert server.stop() == 0
    said = [line for line in server.log if line["event"] == "log"]
    assert [line["level"] for line in said] == ["ERROR"]
    assert f"{tmp_path}/queue.sqlite is full" in said[0]["message"]


def test_computed_results_wait_for_space(
    queue_file: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "RETRY_S", 0.05)
    computed = []

    async def large(model: str, item: dict[str, Any]) -> dict[str, Any]:
        computed.append(item)
        return {"success": True, "result": {"x": "x" * 1_000_000}, "prompt_tokens": 1}

    async def check(queue: BatchQueue) -> None:
        set_most_pages(queue, 20)
        request_id = await queue.submit("model", ACCOUNT, [{"text": "a"}])
        while "is full" not in caplog.text:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        status = await queue.status(ACCOUNT, request_id)
        assert status is not None and status.state == "running"
        set_most_pages(queue, 1_000_000)
        await done(queue, request_id)
        assert len(computed) == 1 and len(caplog.records) == 1

    with_queue(queue_file, check, large)


def set_most_pages(queue: BatchQueue, pages: int) -> None:
    with queue._store.database.engine.connect() as connection:
        connection.execute(sa.text(f"PRAGMA max_page_count = {pages}"))


def test_a_full_sqlite_file_keeps_what_it_has(queue_file: str) -> None:
    async def check(queue: BatchQueue) -> None:
        first = await queue.submit("model", ACCOUNT, [{"text": "a"}])
        await done(queue, first)
        set_most_pages(queue, 20)
        with pytest.raises(HTTPError, match="nothing was accepted") as raised:
            await queue.submit("model", ACCOUNT, [{"text": "a" * 1_000_000}])
        assert raised.value.kind is ErrorKind.QUEUE_DISK_FULL
        assert queue._store.claim(8) == []
        await done(queue, first)
        assert await responses(queue, [{"text": "small enough"}])

    with_queue(queue_file, check, embed)


def test_the_log_of_sqlite_needs_space_in_the_file_too(queue_file: str, tmp_path: Path) -> None:
    database = open_database(queue_file)
    with database.transaction() as connection:
        connection.execute(sa.text("CREATE TABLE texts (text TEXT)"))
        connection.execute(sa.text("INSERT INTO texts VALUES (:text)"), {"text": "x" * 100_000})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(DatabaseFull, match="disk I/O error"):
            database.erase_deleted()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    database.erase_deleted()
    assert (tmp_path / "queue.sqlite-wal").stat().st_size == 0
    database.close()


def test_postgresql_says_it_with_its_own_code(postgres_server: postgres.Server) -> None:
    database = open_database(postgres_server.database("full"))
    statement = sa.text(
        "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
    )
    with pytest.raises(DatabaseFull, match="no space left"), database.transaction() as connection:
        connection.execute(statement)
    with database.transaction() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    database.close()
