"""Which database a URL names, and what is said when it cannot be used."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.errors import EngineError, InputError
from engine.serve.queue.store import (
    PostgresStore,
    SQLiteStore,
    _key,
    default_url,
    open_store,
    usable,
)


@pytest.mark.parametrize("name", ["postgres", "postgresql", "postgresql+psycopg"])
def test_urls_of_postgresql(name: str) -> None:
    store = open_store(f"{name}://user:secret@127.0.0.1:1/db")
    assert isinstance(store, PostgresStore) and store.schema == "bge_queue"
    assert store.engine.url.drivername == "postgresql+psycopg"
    assert "secret" not in repr(store.engine.url)
    with pytest.raises(EngineError, match=r"database .* cannot be used") as raised, usable(store):
        store.engine.connect()
    assert "secret" not in str(raised.value)
    store.close()


def test_a_sqlite_file_takes_one_process_and_is_free_afterwards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/queue.sqlite"
    store = open_store(url)
    assert isinstance(store, SQLiteStore) and store.schema is None
    with pytest.raises(EngineError, match="another process seems to work on it"):
        open_store(url)
    with store.vacant("anyone") as vacant:
        assert vacant  # who else left work here has ended
    store.tidy()
    store.close()
    open_store(url).close()


@pytest.mark.parametrize(
    "url",
    ["", "x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://h", "mysql://h/d"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="give sqlite:///path/to/file"):
        open_store(url)


def test_the_default_is_in_the_users_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = sa.make_url(default_url()).database
    assert path == str(tmp_path / "bge-engine" / "queue.sqlite")


def test_locks_of_two_names_differ_and_fit_in_64_bits() -> None:
    keys = {_key(f"executor-{n}") for n in range(200)}
    assert len(keys) == 200 and all(-(2**63) <= key < 2**63 for key in keys)
    assert _key("executor-1") == _key("executor-1")
