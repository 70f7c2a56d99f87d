"""Where the batch queue keeps its requests: one SQLite file, or a PostgreSQL database.

The library behind the queue does the storing. A store knows what differs between the two: how to
open connections that lose nothing once a write is answered, and which processes are alive.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from engine.errors import EngineError, InputError
from engine.system.folders import expand, user_state

SCHEMA = "bge_queue"  # PostgreSQL only: our tables stay apart from other users of the database

_SQLITE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an accepted request also survives a loss of power
    "PRAGMA busy_timeout = 30000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # an expired text is overwritten, not only unlinked
)
_POSTGRES = (  # a host that vanished gives its locks back within half a minute
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET idle_in_transaction_session_timeout = '60s'",
)


class Store(Protocol):
    """A database for the queue, and the register of the processes that work on it."""

    @property
    def engine(self) -> sa.Engine:
        """Where the queue's library connects."""

    @property
    def schema(self) -> str | None:
        """Where its tables are, in a database that has schemas."""

    def hold(self, executor: str) -> None:
        """Say that this process lives, under the name `executor`, until it ends."""

    def vacant(self, executor: str) -> contextlib.AbstractContextManager[bool]:
        """Whether the process of that name is gone; if so, it stays this caller's to inherit."""

    def tidy(self) -> None:
        """Let go of what deleted requests leave behind."""

    def close(self) -> None:
        """Give up the name and the connections."""


def default_url() -> str:
    """The SQLite file of this user: in the state folder of the platform, outside any cache."""
    path = user_state() / "queue.sqlite"
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


def open_store(url: str) -> Store:
    """The store a URL names: sqlite:///path, or postgresql://user@host/database."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise InputError(_refusal("something that is no URL")) from None
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return SQLiteStore(parsed)
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg") and parsed.database:
        return PostgresStore(parsed.set(drivername="postgresql+psycopg"))
    raise InputError(_refusal(f"{parsed.drivername}:// with database {parsed.database!r}"))


@contextlib.contextmanager
def usable(store: Store) -> Iterator[None]:
    """Turns what the database says against it into an EngineError, without passwords or texts."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        where = store.engine.url.render_as_string(hide_password=True)
        said = getattr(error, "orig", None) or error  # without the statement
        raise EngineError(f"the queue's database {where} cannot be used: {said}") from error


class SQLiteStore:
    """One file, one process: the second process to come is refused."""

    schema = None

    def __init__(self, url: sa.URL) -> None:
        self._path = expand(str(url.database))
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._guard = self._lock()
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # it will hold users' texts
        self.engine = _engine(url.set(database=str(self._path)), _SQLITE, _begin_immediate)

    def _lock(self) -> sqlite3.Connection:
        """A transaction left open on a file beside: the system drops it with the process."""
        guard = sqlite3.connect(
            f"{self._path}.lock", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            guard.close()
            raise EngineError(
                f"the queue {self._path} cannot be locked ({error}): another process seems to "
                "work on it, and a SQLite queue takes one. Stop that process, give this one a "
                "file of its own, or let both share a PostgreSQL database"
            ) from error
        return guard

    def hold(self, executor: str) -> None:
        """Nothing to say: the lock was taken before the file was opened."""

    @contextlib.contextmanager
    def vacant(self, executor: str) -> Iterator[bool]:
        """Always: whoever else left work in this file has ended, or we would not be here."""
        yield True

    def tidy(self) -> None:
        """Empty the write-ahead log, which still holds the deleted pages."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))

    def close(self) -> None:
        """Close the file, and let the next process have it."""
        self.engine.dispose()
        self._guard.close()


class PostgresStore:
    """A database that replicas share; an advisory lock tells that a replica is alive.

    The server drops the lock with the replica's connection, however the replica ended. This
    needs a connection of its own to the server: no pooler that lends one per transaction.
    """

    schema = SCHEMA

    def __init__(self, url: sa.URL) -> None:
        self.engine = _engine(
            url, _POSTGRES, pool_size=12, max_overflow=4, connect_args={"connect_timeout": 10}
        )
        self._line: sa.Connection | None = None

    def hold(self, executor: str) -> None:
        """Take the lock, or take it anew on a new connection if the old one was lost."""
        if self._line is not None and _answers(self._line):
            return
        self._hang_up()
        line = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if line.scalar(sa.select(sa.func.pg_try_advisory_lock(_key(executor)))):
            self._line = line
        else:  # a replica that took us for dead is at work; the next beat tries again
            line.close()

    @contextlib.contextmanager
    def vacant(self, executor: str) -> Iterator[bool]:
        """Try that replica's lock; held until the block ends, so that one survivor inherits."""
        with self.engine.begin() as line:
            yield bool(line.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_key(executor)))))

    def tidy(self) -> None:
        """Nothing to do: the server's autovacuum does it."""

    def close(self) -> None:
        """Drop the lock with its connection, then the pool."""
        self._hang_up()
        self.engine.dispose()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.invalidate()  # a connection given back to the pool would keep the lock
            self._line.close()
            self._line = None


def _engine(
    url: sa.URL,
    statements: Sequence[str],
    prepare: Callable[[Any], None] = lambda connection: None,
    **options: Any,
) -> sa.Engine:
    """An engine whose every new connection runs the statements; its errors show no parameters."""
    engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, **options)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        prepare(connection)
        for statement in statements:
            connection.cursor().execute(statement)
        connection.commit()  # PostgreSQL undoes a SET that was rolled back

    return engine


def _begin_immediate(connection: Any) -> None:
    """Take the write lock at the start of a transaction; upgrading later can deadlock."""
    connection.isolation_level = "IMMEDIATE"


def _answers(line: sa.Connection) -> bool:
    try:
        line.execute(sa.select(1))
    except sa.exc.DBAPIError:
        return False
    return True


def _key(executor: str) -> int:
    """The number of an advisory lock: 64 bits, signed."""
    digest = hashlib.sha256(f"bge-engine queue {executor}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _refusal(seen: str) -> str:
    return (
        f"the queue's URL names {seen}; give sqlite:///path/to/file for one process, or "
        "postgresql://user@host/database to share the queue between processes"
    )
