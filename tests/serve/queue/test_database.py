"""Which database a URL names, and what the queue says when it cannot be used."""

import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.errors import EngineError, InputError
from engine.serve.queue.database import default_url, open_database
from tests.serve.queue import postgres


@pytest.mark.parametrize("name", ["postgres", "postgresql", "postgresql+psycopg"])
def test_urls_of_postgresql(name: str) -> None:
    database = open_database(f"{name}://user:secret@127.0.0.1:1/db")
    assert database.shared and database.engine.url.drivername == "postgresql+psycopg"
    refused = pytest.raises(EngineError, match=r"database .* cannot be used")
    with refused as raised, database.transaction():
        pass
    assert "secret" not in str(raised.value)
    database.close()


def test_a_sqlite_file_takes_one_process_and_is_free_afterwards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/queue.sqlite"
    database = open_database(url)
    with pytest.raises(EngineError, match="another process seems to use it"):
        open_database(url)
    database.close()
    open_database(url).close()


@pytest.mark.parametrize(
    "url",
    ["", "x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://h", "mysql://h/d"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="give sqlite:///path/to/file"):
        open_database(url)


def test_the_default_is_in_the_users_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = sa.make_url(default_url()).database
    assert path == str(tmp_path / "bge-engine" / "queue.sqlite")


def test_a_transaction_is_kept_whole_or_not_at_all(queue_url: str) -> None:
    database = open_database(queue_url)
    numbers = sa.Table("numbers", sa.MetaData(), sa.Column("n", sa.Integer))
    with database.transaction() as connection:
        numbers.create(connection)
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute(sa.insert(numbers).values(n=1))
        raise ZeroDivisionError
    with database.transaction() as connection:
        connection.execute(sa.insert(numbers).values(n=2))
    with database.transaction() as connection:
        assert connection.scalars(sa.select(numbers.c.n)).all() == [2]
    database.close()


def test_a_transaction_of_sqlite_begins_as_the_only_writer(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/queue.sqlite")
    other = sqlite3.connect(tmp_path / "queue.sqlite", timeout=0, isolation_level=None)
    with database.transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    database.close()


def test_the_clock_is_in_seconds_since_1970(queue_url: str) -> None:
    database = open_database(queue_url)
    with database.transaction() as connection:
        assert abs(database.now(connection) - time.time()) < 5
    database.close()


def test_postgresql_ends_a_transaction_that_a_vanished_host_left_open(
    postgres_server: postgres.Server,
) -> None:
    database = open_database(postgres_server.database("vanished"))
    with database.transaction() as connection:
        shown = connection.scalar(sa.text("SHOW idle_in_transaction_session_timeout"))
    assert shown == "30s"
    database.close()
