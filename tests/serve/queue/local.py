"""A batch queue in the process of a test, opened and closed around a check."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa

from engine.serve.queue.batch_queue import BatchQueue, Status
from tests.serve.queue.process import ACCOUNT, embed

Check = Callable[[BatchQueue], Awaitable[None]]


def with_queue(url: str, check: Check, run_item: Any = embed, **options: Any) -> None:
    """Run the check with an open queue."""

    async def main() -> None:
        queue = BatchQueue(url, run_item, **options)
        await queue.start()
        try:
            await asyncio.wait_for(check(queue), 60)
        finally:
            await queue.stop(1.0)

    asyncio.run(main())


async def done(queue: BatchQueue, request_id: str) -> Status:
    while True:
        status = await queue.status(ACCOUNT, request_id)
        assert status is not None
        if status.state == "done":
            return status
        await asyncio.sleep(0.02)


async def responses(queue: BatchQueue, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    status = await done(queue, await queue.submit("model", ACCOUNT, items))
    assert status.responses is not None
    return status.responses


def everything(url: str) -> list[Any]:
    """Every value of every table in the database, read past the queue."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    metadata = sa.MetaData(schema="bge_queue" if "postgres" in url else None)
    metadata.reflect(engine)
    with engine.connect() as connection:
        tables = [connection.execute(sa.select(table)) for table in metadata.sorted_tables]
        values = [value for rows in tables for row in rows for value in row]
    engine.dispose()
    return values
