"""The queue's housekeeping: how much waits, whose process is gone, what was kept long enough.

DBOS itself re-runs a dead process's work only when a process of the same name starts. Here every
start takes a new name, and whoever lives takes over from the names whose process is gone.
"""

import logging
import time
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from dbos import DBOS, WorkflowStatus

from engine.errors import InputError, Overloaded
from engine.serve.queue.store import Store

log = logging.getLogger(__name__)

QUEUE = WORKFLOW = "bge_batch"
CLOSED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
MAX_ATTEMPTS = 100  # after that, it is the request that ends the processes
DELETE_AT_ONCE = 20


def rows(**filters: Any) -> list[WorkflowStatus]:
    """The queue's requests that match, oldest first, without their texts and answers."""
    return DBOS.list_workflows(name=WORKFLOW, load_input=False, load_output=False, **filters)


class Load(NamedTuple):
    """What waits or runs: the number of requests, of their items, and their size in bytes."""

    requests: int
    items: int
    bytes: int


def load_of(store: Store) -> Load:
    """How much is not answered yet, counted in the database."""
    attributes: sa.ColumnClause[Any] = sa.column("attributes", sa.JSON())
    status, name = sa.column("status", sa.Text()), sa.column("queue_name", sa.Text())
    table = sa.table("workflow_status", status, name, attributes, schema=store.schema)
    sums = (
        sa.func.coalesce(sa.func.sum(attributes[key].as_integer()), 0) for key in ("items", "bytes")
    )
    query = (
        sa.select(sa.func.count(), *sums)
        .select_from(table)
        .where(name == QUEUE, status.in_(("ENQUEUED", "PENDING")))
    )
    with store.engine.connect() as connection:
        return Load(*map(int, connection.execute(query).one()))


def admit(store: Store, bounds: Load, new: Load) -> None:
    """Overloaded when the new request does not fit now, InputError when it never will."""
    for what, there, more, bound in zip(Load._fields, load_of(store), new, bounds, strict=True):
        if more > bound:
            raise InputError(f"a batch of {more} {what} never fits; at most {bound} do")
        if there + more > bound:
            raise Overloaded(
                f"the batch queue holds {there} {what} of at most {bound}, and {more} more "
                "do not fit; nothing was accepted, try again later"
            )


class Keeper:
    """Beats once a second or so, on a thread of the queue.

    `in_hand` is the live collection of requests that this process is computing.
    """

    def __init__(
        self, store: Store, executor: str, in_hand: Collection[str], retention_seconds: float
    ) -> None:
        self._store = store
        self._executor = executor
        self._in_hand = in_hand
        self._retention = retention_seconds
        self._orphans: set[str] = set()
        self._next_sweep = 0.0

    def beat(self) -> None:
        """Renew the sign of life, adopt orphans, and now and then delete what has expired."""
        self._store.hold(self._executor)
        self._adopt()
        if time.monotonic() >= self._next_sweep:
            self._sweep()
            self._next_sweep = time.monotonic() + min(60.0, self._retention / 4)

    def _adopt(self) -> None:
        """Requeue what nobody computes; seen so on two beats, as a sign of life may be late."""
        orphans: set[str] = set()
        for executor in {row.executor_id or "" for row in rows(status="PENDING")}:
            with self._vacant(executor) as vacant:
                if vacant:
                    found = self._unattended(executor)
                    _requeue(row for row in found if row.workflow_id in self._orphans)
                    orphans |= {row.workflow_id for row in found}
        self._orphans = orphans

    def _vacant(self, executor: str) -> AbstractContextManager[bool]:
        return nullcontext(True) if executor == self._executor else self._store.vacant(executor)

    def _unattended(self, executor: str) -> list[WorkflowStatus]:
        """What that name has claimed and is not being computed here: read under its lock."""
        claimed = rows(status="PENDING", executor_id=executor)
        return [row for row in claimed if row.workflow_id not in self._in_hand]

    def _sweep(self) -> None:
        """Delete the requests answered longer ago than the retention time, a few at once."""
        limit = datetime.fromtimestamp(time.time() - self._retention, UTC).isoformat()
        while expired := rows(status=CLOSED, completed_before=limit, limit=DELETE_AT_ONCE):
            DBOS.delete_workflows([row.workflow_id for row in expired])
            self._store.tidy()


def _requeue(orphans: Iterable[WorkflowStatus]) -> None:
    for row in orphans:
        attempts = row.attributes["attempts"] + 1 if row.attributes else 1
        if attempts > MAX_ATTEMPTS:
            log.error("batch request %s: given up after %d runs", row.workflow_id, MAX_ATTEMPTS)
            DBOS.cancel_workflow(row.workflow_id)
            continue
        log.warning("batch request %s: taken over from %s", row.workflow_id, row.executor_id)
        DBOS.update_workflow_attributes(row.workflow_id, {"attempts": attempts}, merge=True)
        DBOS.resume_workflow(row.workflow_id, queue_name=QUEUE)
