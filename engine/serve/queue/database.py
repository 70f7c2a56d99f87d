"""The database of the batch queue: one SQLite file, or a PostgreSQL database.

What differs between the two is here: how to connect so that a committed write is not lost, who may
connect, and which clock counts.
"""

import contextlib
import logging
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.errors import EngineError, InputError
from engine.system.folders import expand, user_state

log = logging.getLogger(__name__)

SCHEMA = "bge_queue"  # PostgreSQL only: our tables stay apart from other users of the database

_SQLITE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an accepted request also survives a loss of power
    "PRAGMA busy_timeout = 30000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # an expired text is overwritten, not only unlinked
)
# the locks of a host that vanished in the middle of a transaction are released
_POSTGRES = "SET idle_in_transaction_session_timeout = '30s'"
# A full disk; a limit on the file's size or the user's quota; no room for the index of the log.
_SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
_POSTGRES_FULL = "53100"
_SAY_AGAIN_S = 60.0


class DatabaseFull(EngineError):
    """There is no space to write; what is stored can still be read."""


@dataclass
class Database:
    """Connections to one database; the lock keeps other processes away from a SQLite file."""

    engine: sa.Engine
    lock: sqlite3.Connection | None = None
    _said_full: float = -math.inf  # when the log last said so

    @property
    def shared(self) -> bool:
        """Whether other processes may use it now: PostgreSQL, and not SQLite."""
        return self.lock is None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Commits at the end. EngineError, without passwords or texts, where that fails;
        DatabaseFull, also in the log, where there is no space."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error  # without the statement
            raise self._failure(reason) from error

    def _failure(self, reason: BaseException) -> EngineError:
        where = self.engine.url.render_as_string(hide_password=True)
        if not _is_full(reason):
            return EngineError(f"the queue's database {where} cannot be used: {reason}")
        if time.monotonic() - self._said_full >= _SAY_AGAIN_S:  # however many requests are refused
            self._said_full = time.monotonic()
            log.error(
                "the queue's database %s is full (%s): batches are refused and results wait until "
                "there is space. All else is served.",
                where,
                reason,
            )
        return DatabaseFull(f"the queue's database {where} is full: {reason}")

    def now(self, connection: sa.Connection) -> float:
        """Seconds since 1970, by the clock that all replicas share."""
        if not self.shared:
            return time.time()
        clock = sa.extract("epoch", sa.func.clock_timestamp())
        return float(connection.scalar(sa.select(clock)) or 0)

    def erase_deleted(self) -> None:
        """Empty SQLite's write-ahead log, which still holds what was deleted. EngineError as in
        `transaction`."""
        if self.shared:
            return
        try:
            with contextlib.closing(self.engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the connections, and let another process open the file."""
        self.engine.dispose()
        if self.lock:
            self.lock.close()


def _is_full(reason: BaseException) -> bool:
    """Whether the driver's error says that there is no space."""
    if isinstance(reason, sqlite3.Error):
        return reason.sqlite_errorcode in _SQLITE_FULL
    return getattr(reason, "sqlstate", None) == _POSTGRES_FULL


def default_url() -> sa.URL:
    """The SQLite file of this user: in the state folder of the platform, outside any cache."""
    return sa.URL.create("sqlite", database=str(user_state() / "queue.sqlite"))


def open_database(url: str | sa.URL) -> Database:
    """The database a URL names: sqlite:///path, or postgresql://user@host/database."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise InputError(_refusal("something that is no URL")) from None
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        try:
            return _open_sqlite(parsed)
        except (OSError, sqlite3.Error) as error:  # a folder, its rights, a full disk
            raise EngineError(
                f"the queue's database {parsed.database} cannot be opened: {error}"
            ) from error
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg") and parsed.database:
        return _open_postgres(parsed.set(drivername="postgresql+psycopg"))
    raise InputError(_refusal(f"{parsed.drivername}:// with database {parsed.database!r}"))


def _refusal(seen: str) -> str:
    return (
        f"the queue's URL names {seen}; give sqlite:///path/to/file for one process, or "
        "postgresql://user@host/database to share the queue between processes"
    )


def _open_sqlite(url: sa.URL) -> Database:
    path = expand(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(path)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it will hold users' texts
    engine = sa.create_engine(
        url.set(database=str(path)),
        hide_parameters=True,
        pool_size=1,  # threads wait for their turn here, and not in SQLite, which sleeps and polls
        max_overflow=0,
        execution_options={"schema_translate_map": {SCHEMA: None}},
    )

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # sqlite3 begins no transactions; `begin` does
        for statement in _SQLITE:
            connection.execute(statement)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # to begin as a reader can deadlock

    return Database(engine, lock)


def _lock(path: Path) -> sqlite3.Connection:
    """A transaction left open on a file beside: the system ends it with the process."""
    lock = sqlite3.connect(f"{path}.lock", timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise EngineError(
            f"the queue {path} cannot be locked ({error}): another process seems to use it, and "
            "a SQLite queue takes one process. Stop the other, give this one a file of its own, "
            "or let both share a PostgreSQL database"
        ) from error
    return lock


def _open_postgres(url: sa.URL) -> Database:
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        # a server that vanished is noticed within a minute
        connect_args={"connect_timeout": 10, "keepalives_idle": 10, "tcp_user_timeout": 30_000},
    )

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.execute(_POSTGRES)
        connection.commit()

    return Database(engine)
