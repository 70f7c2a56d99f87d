"""The durable queue behind the asynchronous batch API, on DBOS Transact.

    submit -> (SQLite or PostgreSQL) -> workflow: slice, slice, slice -> status

An accepted request is a workflow in the database, and each slice of it, once computed, a step of
that workflow with its answers. A process that dies loses the slices it was computing, no more.
DBOS lets only the execution that owns a workflow write to it, so every item is answered once,
however often it was computed. Nothing listens, and no connection but the database's is opened.
"""

import asyncio
import hashlib
import logging
import math
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dbos import DBOS, DBOSConfig, WorkflowStatus

from engine.errors import EngineError, Overloaded
from engine.serve.queue.keeper import QUEUE, WORKFLOW, Keeper, Load, admit, rows
from engine.serve.queue.responses import Item, Json, Response, read, sliced, usage
from engine.serve.queue.runner import RunItem, Runner
from engine.serve.queue.store import SCHEMA, Store, default_url, open_store, usable

__all__ = ["BatchQueue", "Status", "default_url"]

log = logging.getLogger(__name__)
T = TypeVar("T")
State = Literal["queued", "running", "done"]

VERSION = "1"  # of the stored form; a process runs only the requests of its own version
MAX_WAITING = 64  # submissions on their way to the database
POLL_S = 0.2
BEAT_S = 1.0
OPEN: dict[str, State] = {"ENQUEUED": "queued", "DELAYED": "queued", "PENDING": "running"}


@dataclass(frozen=True)
class Status:
    """Where a request stands; responses in the order of the items, and usage, once done."""

    state: State
    model: str
    responses: list[Response] | None = None
    usage: dict[str, int] | None = None


class BatchQueue:
    """Requests in, answers later; one queue open in a process at a time (DBOS is a singleton).

    `run_item(model, item)` computes one item on the loop that called `start`, and gives
    {"success", "result", "error", "prompt_tokens"}; float32 arrays in the result are kept as
    such. Whatever else it raises fails the item, but Overloaded means: again, a little later.
    At most `concurrency` items are computed at once. An answer is kept `retention_seconds`
    from its completion. `executor_name` is for the logs; names need not be stable or distinct.
    Replicas on one PostgreSQL database should agree on the rest.
    """

    _opened: "BatchQueue | None" = None

    def __init__(
        self,
        url: str,
        run_item: RunItem,
        *,
        executor_name: str = "bge",
        concurrency: int = 8,
        retention_seconds: float = 86400.0,
        max_pending: int = 1000,
        max_pending_items: int = 50_000,
        max_pending_bytes: int = 1 << 30,
    ) -> None:
        self._url = url
        self._run_item = run_item
        self._executor = f"{executor_name}-{uuid.uuid4()}"
        self._concurrency = concurrency
        self._retention = retention_seconds
        self._bounds = Load(max_pending, max_pending_items, max_pending_bytes)
        self._waiting = 0
        self._stopping = False

    async def start(self) -> None:
        """Open the database and begin to work; EngineError when another process has the file."""
        if BatchQueue._opened is not None:
            raise EngineError("a batch queue is open in this process already; stop it first")
        BatchQueue._opened = self
        self._runner = Runner(self._run_item, self._concurrency)
        self._writer = ThreadPoolExecutor(1, "queue-writer")  # one, so that bounds are exact
        self._reader = ThreadPoolExecutor(3, "queue-reader")
        try:
            self._store: Store = await _on(self._writer, self._open)
        except BaseException:
            self._release()
            raise
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Finish the slices at hand if the grace allows; hand every unfinished request back."""
        self._stopping = True
        self._keeping.cancel()
        self._runner.stop()
        timer = asyncio.get_running_loop().call_later(grace_seconds, self._runner.abandon)
        await _on(self._writer, self._close, grace_seconds)  # its turn is after every submission
        timer.cancel()
        self._runner.abandon()
        self._release()

    async def submit(self, model: str, account: str, items: list[Item]) -> str:
        """Store a request and give its id, a UUID: from then on it survives this process.

        Overloaded when the queue is full, InputError for what can never be stored, another
        EngineError when the database does not answer.
        """
        if self._stopping or self._waiting >= MAX_WAITING:
            raise Overloaded("the batch queue takes nothing just now; try again in a moment")
        self._waiting += 1
        try:
            return await _on(self._writer, self._use, self._enqueue, model, account, items)
        finally:
            self._waiting -= 1

    async def status(self, account: str, request_id: str) -> Status | None:
        """The state and, once done, the answers; None for an id unknown to this account."""
        return await _on(self._reader, self._use, self._status, account, request_id)

    def _release(self) -> None:
        self._reader.shutdown(wait=False)
        self._writer.shutdown(wait=False)
        BatchQueue._opened = None

    def _open(self) -> Store:
        store = open_store(self._url)
        try:
            with usable(store):
                store.hold(self._executor)
                self._launch(store)
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            store.close()
            raise
        return store

    def _launch(self, store: Store) -> None:
        if not (logger := logging.getLogger("dbos")).handlers:
            logger.addHandler(logging.NullHandler())  # or it prints by itself
        DBOS(config=self._config(store))
        answer = self._runner.answer
        register = DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        register(lambda model, slices: answer(model, slices))
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=2 * self._concurrency,  # requests; no slot idles until the next poll
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )

    def _config(self, store: Store) -> DBOSConfig:
        return {
            "name": "bge-engine",
            "application_version": VERSION,
            "executor_id": self._executor,
            "system_database_engine": store.engine,
            "dbos_system_schema": SCHEMA,
            "serializer": Json(),
            "use_listen_notify": False,  # nothing here waits for a notification,
            "notification_listener_polling_interval_sec": POLL_S,  # but a stop waits for its thread
            "enable_otlp": False,
            "log_level": "ERROR",  # an outage is reported by the housekeeping, once a second
        }

    def _close(self, grace_seconds: float) -> None:
        patience = math.ceil(grace_seconds) + 1 if self._runner.in_hand else 0
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience)
        self._store.close()

    def _use(self, do: Callable[..., T], *args: Any) -> T:
        with usable(self._store), self._store.engine.connect():  # or DBOS would try for ever
            return do(*args)

    def _enqueue(self, model: str, account: str, items: list[Item]) -> str:
        slices, size = sliced(items)
        admit(self._store, self._bounds, Load(1, len(items), size))
        request_id = str(uuid.uuid4())
        about = {"account": _mark(account), "model": model, "items": len(items), "bytes": size}
        DBOS.enqueue_workflow_with_options(
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": request_id,
                "attributes": {**about, "attempts": 0},
            },
            model,
            slices,
        )
        return request_id

    def _status(self, account: str, request_id: str) -> Status | None:
        row = self._row(account, request_id)
        if row is None or row.attributes is None:
            return None
        model = row.attributes["model"]
        if row.status in OPEN:
            return Status(OPEN[row.status], model)
        responses, tokens = read(row)
        if len(responses) != row.attributes["items"]:
            return None  # expired, and deleted between the two reads
        return Status("done", model, responses, usage(tokens))

    def _row(self, account: str, request_id: str) -> WorkflowStatus | None:
        try:
            found = rows(workflow_ids=[str(uuid.UUID(request_id))])
        except ValueError:
            return None
        for row in found:
            expired = row.completed_at and row.completed_at / 1000 + self._retention < time.time()
            if (row.attributes or {}).get("account") == _mark(account) and not expired:
                return row
        return None

    async def _keep(self) -> None:
        keeper = Keeper(self._store, self._executor, self._runner.in_hand, self._retention)
        while True:
            try:
                await _on(self._reader, self._use, keeper.beat)
            except EngineError as error:
                log.warning("the batch queue's housekeeping waits: %s", error)
            except Exception:
                log.exception("the batch queue's housekeeping failed; it goes on")
            await asyncio.sleep(BEAT_S)


async def _on(threads: ThreadPoolExecutor, do: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, do, *args)


def _mark(account: str) -> str:
    """An account as stored: any string, and not itself."""
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:32]
