"""The limits of the batch queue, and what it leaves in its database."""

import asyncio
import base64
import binascii
import json
import math
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from engine.errors import EngineError, InputError, Overloaded
from engine.serve.queue.batch_queue import BatchQueue, default_url
from engine.serve.queue.responses import SLICE_ITEMS
from tests.serve.queue import postgres
from tests.serve.queue.local import done, everything, responses, with_queue
from tests.serve.queue.process import ACCOUNT, batch, embed


@pytest.mark.slow
def test_an_expired_answer_is_gone_from_the_database(queue_url: str) -> None:
    async def check(queue: BatchQueue) -> None:
        items = [{"text": "expiring words", "external_reference": "expiring reference"}]
        submitted = time.monotonic()
        request_id = await queue.submit("model", ACCOUNT, items)
        await done(queue, request_id)
        assert any("expiring words" in str(value) for value in everything(queue_url))
        while await queue.status(ACCOUNT, request_id) is not None:
            await asyncio.sleep(0.05)
        assert time.monotonic() - submitted > 3
        while any(
            "expiring" in str(value) or value == request_id for value in everything(queue_url)
        ):
            await asyncio.sleep(0.1)
        if queue_url.startswith("sqlite"):
            folder = Path(sa.make_url(queue_url).database or "").parent
            while any(b"expiring" in file.read_bytes() for file in folder.iterdir()):
                await asyncio.sleep(0.1)

    with_queue(queue_url, check, retention_seconds=3)


def test_a_full_queue_says_so(queue_url: str) -> None:
    gate = asyncio.Event()

    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        await gate.wait()
        return await embed(model, item)

    async def check(queue: BatchQueue) -> None:
        one = [{"text": "a"}]
        ids = [await queue.submit("model", ACCOUNT, one * 2) for _ in range(3)]
        with pytest.raises(Overloaded, match="holds 3 requests of at most 3"):
            await queue.submit("model", ACCOUNT, one)
        gate.set()
        for request_id in ids:
            await done(queue, request_id)
        gate.clear()
        await queue.submit("model", ACCOUNT, one * 8)
        with pytest.raises(Overloaded, match="holds 8 items of at most 10, and 3 more"):
            await queue.submit("model", ACCOUNT, one * 3)
        with pytest.raises(Overloaded, match="bytes of at most 1000"):
            await queue.submit("model", ACCOUNT, [{"text": "x" * 900}])
        with pytest.raises(InputError, match="a batch of 11 items never fits; at most 10 do"):
            await queue.submit("model", ACCOUNT, one * 11)
        gate.set()

    with_queue(
        queue_url, check, run_item, max_pending=3, max_pending_items=10, max_pending_bytes=1000
    )


@pytest.mark.slow
def test_ten_megabytes_are_not_the_loops_work(queue_url: str) -> None:
    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        result = {"length": len(item["text"]), "data": np.ones((3000, 768), np.float32)}
        return {"success": True, "result": result, "error": None, "prompt_tokens": 1}

    async def check(queue: BatchQueue) -> None:
        items = [{"text": "é" * 2_500_000}, {"text": "word " * 1_000_000}]
        spent = time.thread_time()
        got = await responses(queue, items)
        spent = time.thread_time() - spent
        assert [response["result"]["length"] for response in got] == [2_500_000, 5_000_000]
        assert all((response["result"]["data"] == 1).all() for response in got)
        assert spent < 0.1

    with_queue(queue_url, check, run_item)


def test_too_many_submitters_are_turned_away(queue_file: str) -> None:
    async def check(queue: BatchQueue) -> None:
        submits = (queue.submit("model", ACCOUNT, [{"text": "a"}]) for _ in range(200))
        outcomes = await asyncio.gather(*submits, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        accepted = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert (len(accepted), len(refused)) == (64, 136)
        for request_id in accepted:
            await done(queue, request_id)

    with_queue(queue_file, check)


def test_nothing_stored_is_a_pickle(queue_url: str) -> None:
    async def check(queue: BatchQueue) -> None:
        await responses(queue, [*batch(0, size=400), {"text": "bad"}])
        values = everything(queue_url)
        texts = [value for value in values if isinstance(value, str)]
        assert len(texts) > 20
        assert {type(value) for value in values} == {str, int, float}
        assert sum(value.startswith("[") for value in texts) == 2 * math.ceil(401 / SLICE_ITEMS)
        for value in texts:
            if value.startswith("["):
                assert isinstance(json.loads(value), list)
            try:
                decoded = base64.b64decode(value, validate=True)
            except (ValueError, binascii.Error):
                continue
            assert not decoded.startswith(b"\x80"), value

    with_queue(queue_url, check)


def test_two_queues_in_a_process_need_two_files(queue_file: str, tmp_path: Path) -> None:
    async def check(queue: BatchQueue) -> None:
        with pytest.raises(EngineError, match="another process seems to use it"):
            await BatchQueue(queue_file, embed).start()
        other = BatchQueue(f"sqlite:///{tmp_path}/other.sqlite", embed)
        await other.start()
        assert await responses(other, [{"text": "a"}])
        await other.stop()
        assert await responses(queue, [{"text": "a"}])

    with_queue(queue_file, check)


def test_a_stopped_queue_takes_nothing_and_can_be_opened_again(queue_url: str) -> None:
    stopped: list[BatchQueue] = []
    ids: list[str] = []

    async def first(queue: BatchQueue) -> None:
        stopped.append(queue)
        ids.append(await queue.submit("model", ACCOUNT, [{"text": "a"}]))

    async def second(queue: BatchQueue) -> None:
        with pytest.raises(Overloaded):
            await stopped[0].submit("model", ACCOUNT, [{"text": "b"}])
        await done(queue, ids[0])

    with_queue(queue_url, first)
    with_queue(queue_url, second)


def test_the_sqlite_file_is_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "state" / "queue.sqlite"

    async def check(queue: BatchQueue) -> None:
        await queue.submit("model", ACCOUNT, [{"text": "a"}])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with queue._store.database.engine.connect() as connection:
            pragmas = ("journal_mode", "synchronous", "busy_timeout", "secure_delete")
            found = [connection.execute(sa.text(f"PRAGMA {name}")).scalar() for name in pragmas]
        assert found == ["wal", 2, 30000, 1]

    with_queue(f"sqlite:///{path}", check)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    "url",
    ["", "queue.sqlite", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/db", "redis:"],
)
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"give sqlite:///path") as refusal:
        with_queue(url, lambda queue: asyncio.sleep(0))
    assert "secret" not in str(refusal.value)


def test_an_unusable_database_is_refused_without_its_password(
    postgres_server: postgres.Server, tmp_path: Path
) -> None:
    url = f"postgresql://nobody:secret@127.0.0.1:{postgres_server.port}/nowhere"
    with pytest.raises(EngineError, match="cannot be used") as refusal:
        with_queue(url, lambda queue: asyncio.sleep(0))
    assert "secret" not in str(refusal.value)
    (tmp_path / "text").write_text("this is no database, and it is long enough to be read as one")
    with pytest.raises(EngineError, match="file is not a database"):
        with_queue(f"sqlite:///{tmp_path}/text", lambda queue: asyncio.sleep(0))


def test_the_default_is_a_file_of_this_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "odd ?name"))
    url = sa.make_url(default_url())
    assert url.database == str(tmp_path / "odd ?name" / "bge-engine" / "queue.sqlite")
